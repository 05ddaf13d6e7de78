"""The published pendulum experiment: test loss on 10-step windows and the identified product J^-1 g.

Data, loss and bar are those of Duruisseaux, Duong, Leok, Atanasov (L4DC 2023, section 5.1): five inputs,
64 training and 64 test starts, windows of 10 samples at 0.02 s, mean square of (omega, u) plus mean
squared angle. Their log ends at a test loss of 1.47e-6 after 6000 steps. ``exact`` is the loss of the
true parameters, which is the discretisation error of the step. Exits 1 if a goal is missed.

    python benchmarks/pendulum_recipe.py
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402

from geomlearn import LieFVIN, fit, lie  # noqa: E402
from geomlearn.data import Windows, planar_pendulum_windows  # noqa: E402
from geomlearn.losses import VelocityPositionLoss  # noqa: E402
from geomlearn.nn import LogCholeskyInertia, NeuralPotential  # noqa: E402
from integrators import RigidBodyIntegrator  # noqa: E402

LOSS_GOAL = 5e-7
PRODUCT_GOAL = 0.01
PUBLISHED = 1.47e-6


def test_loss(model: torch.nn.Module, windows: Windows, loss: VelocityPositionLoss) -> float:
    with torch.no_grad():
        return float(loss(model, windows.states, windows.controls))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--no-linear", action="store_true", help="potential from the network alone")
    arguments = parser.parse_args()
    train, test = planar_pendulum_windows(arguments.seed)
    loss = VelocityPositionLoss(weights={"omega": 0.75})
    generator = torch.Generator().manual_seed(arguments.seed)
    model = LieFVIN(
        lie.SO3,
        h=train.h,
        inertia=LogCholeskyInertia(trace=1.0),
        potential=NeuralPotential(
            lie.SO3, hidden=(10, 10), linear=not arguments.no_linear, generator=generator
        ),
        input_gain=1,
    )
    torch.nn.init.constant_(model.input_gain.matrix, 0.5)  # type: ignore[union-attr, arg-type]
    clock, processor = time.perf_counter(), time.process_time()
    fit(
        model,
        train,
        loss=loss,
        validation=test,
        validate_every=100,
        restore_best=False,
        optimizer="adam",
        lr=2e-2,
        steps=arguments.steps,
        batch_size=704,
        seed=arguments.seed,
    )
    wall, cpu = time.perf_counter() - clock, time.process_time() - processor
    exact = RigidBodyIntegrator(
        lie.SO3,
        train.h,
        torch.eye(3, dtype=torch.float64) / 3,
        lambda R: 5 * (1 - R[..., 0, 0]),
        [[0.0], [0.0], [1.0]],
    )
    found, floor = test_loss(model, test, loss), test_loss(exact, test, loss)
    product = float(model.identified()["inverse_inertia_gain"][2, 0])
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    print(f"{weights} weights, {arguments.steps} steps, {wall:.0f} s wall, {cpu:.0f} s CPU")
    print(
        f"test loss      {found:.3e}   (goal {LOSS_GOAL:.0e}, published {PUBLISHED:.2e},"
        f" exact parameters {floor:.3e})"
    )
    print(f"J^-1_33 g_3    {product:.5f}     (true 3)")
    return 0 if found <= LOSS_GOAL and abs(product / 3 - 1) <= PRODUCT_GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
