"""The chain in Cartesian coordinates: against equations written down here, and against its own angles."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy
import torch

from integrators import Rattle, VectorField, zoo

chain = cache(zoo.PendulumChain)
GENERATOR = torch.Generator().manual_seed(3)


def draw(n: int, batch: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    angles = 6 * torch.rand(batch, n, generator=GENERATOR, dtype=torch.float64) - 3
    return angles, 5 * torch.randn(batch, n, generator=GENERATOR, dtype=torch.float64)


def angular_acceleration(angles: np.ndarray, rates: np.ndarray, friction: float) -> np.ndarray:
    """The published equations: ``sum_j c_ij (cos w'_j + sin w_j^2) = -g (n - i + 1) sin``, less friction."""
    n = len(angles)
    i, j = np.indices((n, n)) + 1
    weight, gap = n + 1 - np.maximum(i, j), angles[:, None] - angles
    right = -(weight * np.sin(gap)) @ rates**2 - 9.81 * (n - np.arange(n)) * np.sin(angles)
    free: np.ndarray = np.linalg.solve(weight * np.cos(gap), right)
    return free - friction * np.diff(rates, prepend=0.0)


@pytest.mark.parametrize(("n", "friction"), [(1, 0.3), (2, 0.1), (4, 0.1), (3, 0.0)])
def test_the_motion_is_that_of_the_published_equations(n: int, friction: float) -> None:
    system = chain(n, friction).problem.system
    angles, rates = draw(n)

    def rate_of(x: torch.Tensor) -> torch.Tensor:
        return system.velocity_of(x)

    x = system.state(angles, rates)
    acceleration = torch.func.jvp(rate_of, (x,), (system.field(x),))[1]
    expected = [angular_acceleration(a, w, friction) for a, w in zip(angles.numpy(), rates.numpy())]
    torch.testing.assert_close(acceleration, torch.tensor(np.array(expected)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_angles_and_cartesian_states_are_one_another_and_keep_the_rods(n: int) -> None:
    angles, rates = draw(n)
    u = chain(n).cartesian(angles, rates)
    assert u.shape == (5, 4 * n)
    for found, given in zip(chain(n).angles(u), (angles, rates), strict=True):
        torch.testing.assert_close(found, given, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(chain(n).from_problem(chain(n).to_problem(u)), u, rtol=0, atol=1e-12)
    assert float(chain(n).residual(u).abs().max()) < 1e-13
    assert chain(n).cartesian(angles[0, :0].new_zeros(0, n), rates.new_zeros(0, n)).shape == (0, 4 * n)
    hanging = chain(n).cartesian(torch.zeros(n).double(), torch.zeros(n).double())
    assert float(chain(n).energy(hanging)) == pytest.approx(-9.81 * n * (n + 1) / 2)
    moving = chain(n).to_problem(u)
    torch.testing.assert_close(chain(n).energy(u), chain(n).problem.system.energy(moving))


@pytest.mark.parametrize("n", [1, 3])
def test_expressions_are_the_residual_and_its_rate(n: int) -> None:
    names = [f"{letter}{k}" for letter in "qv" for k in range(1, 2 * n + 1)]
    u = torch.randn(7, 4 * n, generator=GENERATOR, dtype=torch.float64)
    texts = [*chain(n).rods.values(), *chain(n).rates.values()]
    values = [sympy.lambdify(names, text)(*u.T.numpy()) for text in texts]
    torch.testing.assert_close(torch.tensor(np.array(values)).T, chain(n).residual(u))
    turned = torch.cat((u[:, 2 * n :], torch.zeros_like(u[:, 2 * n :])), -1)
    rates = torch.func.jvp(chain(n).residual, (u,), (turned,))[1][:, :n]
    torch.testing.assert_close(chain(n).residual(u)[:, n:], rates)


@pytest.mark.parametrize(("n", "friction"), [(1, 0.3), (3, 0.1), (2, 0.0)])
def test_accelerations_with_rods_as_constraints_are_the_motion(n: int, friction: float) -> None:
    """Gauss: what the rods add is the smallest change that keeps them."""
    link = chain(n, friction)
    names = [f"{letter}{k}" for letter in "qv" for k in range(1, 2 * n + 1)]
    raw = VectorField([*names[2 * n :], *link.accelerations], link.parameters, names)
    u = link.cartesian(*draw(n))
    f = raw.field(u)
    slope = torch.func.vmap(torch.func.jacrev(link.residual))(u)
    hidden = slope[:, n:, 2 * n :]
    excess = (slope[:, n:] @ f.unsqueeze(-1)).squeeze(-1)
    pull = torch.linalg.solve(hidden @ hidden.mT, excess)
    f[:, 2 * n :] -= (hidden.mT @ pull.unsqueeze(-1)).squeeze(-1)
    x = link.to_problem(u)
    moved = torch.func.jvp(link.from_problem, (x,), (link.problem.system.field(x),))[1]
    torch.testing.assert_close(f, moved, rtol=1e-10, atol=1e-10)


def test_friction_takes_energy_and_none_keeps_it() -> None:
    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    energies = {}
    for friction in (0.0, 0.1):
        problem = chain(2, friction).problem
        energies[friction] = problem.system.energy(problem.reference(times))
    torch.testing.assert_close(energies[0.0], energies[0.0][:1].expand(3), rtol=1e-12, atol=0)
    lost = energies[0.1].diff()
    assert bool((lost < -1e-3).all())


def test_rattle_follows_the_chain_in_angles() -> None:
    link = chain(2, 0.0)
    start = link.from_problem(link.problem.start)
    system, end = link.constrained(), link.from_problem(link.problem.reference(0.5))
    assert float(system.residual(start).abs().max()) < 1e-15
    torch.testing.assert_close(system.energy(start), link.energy(start))
    errors = [
        float((Rattle(system, 0.5 / steps).unroll(start, steps=steps)[-1] - end).abs().max())
        for steps in (25, 50)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=0.1)
    assert errors[1] < 2e-3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zoo.PendulumChain(0), "n: expected at least 1 mass"),
        (lambda: zoo.PendulumChain(2, -0.1), "friction: expected a finite rate"),
        (lambda: zoo.n_pendulum(2, friction=float("nan")), "friction: expected"),
    ],
)
def test_impossible_chains_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
