"""
A layer that stays orthogonal
=============================

The state of a linear recurrence turns by an unknown rotation in every step; it is learned from short noisy
sequences. Three layers: a free matrix, torch's own orthogonal parametrization, and a parameter on the
manifold of frames, which is a plain matrix that the optimizers here keep orthogonal. All three predict
short sequences; over long ones the free matrix loses the length of the state.

Run ``python examples/plot_orthogonal_layer.py --size full``; it writes ``orthogonal_layer.png``.
"""

# %%
# Noisy sequences
# ---------------
from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from geomlearn import lie, plotting
from geomlearn.optim import BrAVO, ManifoldParameter, RiemannianAdam

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("orthogonal_layer.png"))
arguments, _ = parser.parse_known_args()
n, steps, horizon = {"full": (32, 3000, 4000), "medium": (16, 600, 2000), "small": (6, 40, 200)}[
    arguments.size
]
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)

group = lie.SO(n)
turn = group.exp(0.1 * torch.randn(group.dim, generator=generator, dtype=torch.float64))


def sequences(batch: int, length: int, noise: float) -> Tensor:
    """States, (length + 1, batch, n)."""
    states = [torch.randn(batch, n, generator=generator, dtype=torch.float64)]
    for _ in range(length):
        states.append(states[-1] @ turn.mT)
    clean = torch.stack(states)
    return clean + noise * torch.randn(clean.shape, generator=generator, dtype=torch.float64)


# %%
# Three layers
# ------------
# A ``ManifoldParameter`` is a parameter of the module like any other. What torch parametrizes is computed
# from free numbers at each use.
class Turn(nn.Module):
    """A linear layer whose matrix stays among the orthogonal ones."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = ManifoldParameter(lie.Stiefel(n, n), torch.eye(n, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Turn states, (..., n)."""
        return x @ self.weight.mT


def linear() -> nn.Linear:
    layer = nn.Linear(n, n, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(n))
    return layer


free, parametrized, adam, bravo = linear(), parametrizations.orthogonal(linear()), Turn(), Turn()
layers: dict[str, tuple[nn.Module, torch.optim.Optimizer]] = {
    "free matrix, Adam": (free, torch.optim.Adam(free.parameters(), lr=3e-3)),
    "torch's parametrization, Adam": (parametrized, torch.optim.Adam(parametrized.parameters(), lr=3e-3)),
    "on the manifold, RiemannianAdam": (adam, RiemannianAdam(adam.parameters(), lr=3e-2)),
    "on the manifold, BrAVO": (
        bravo,
        BrAVO.from_step_and_momentum(bravo.parameters(), 1e-4, 0.9, family="polynomial"),
    ),
}

# %%
# Training on sequences of five steps
# -----------------------------------
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
batches = [sequences(16, 5, noise=0.3) for _ in range(min(steps, 100))]
for color, (name, (layer, optimizer)) in zip(plotting.PALETTE[:1] + plotting.PALETTE[2:], layers.items()):
    distances, started = [], time.perf_counter()
    for k in range(steps):
        seen = batches[k % len(batches)]
        optimizer.zero_grad()
        state, loss = seen[0], torch.zeros((), dtype=torch.float64)
        for target in seen[1:]:
            state = layer(state)
            loss = loss + (state - target).square().mean()
        loss.backward()
        optimizer.step()
        matrix = layer(torch.eye(n, dtype=torch.float64)).detach().mT
        distances.append(float((matrix - turn).norm()))
    seconds = time.perf_counter() - started
    off = float((matrix.mT @ matrix - torch.eye(n, dtype=torch.float64)).abs().max())
    # %%
    # The state, a unit vector, over a long time.
    state, lengths = torch.full((n,), n**-0.5, dtype=torch.float64), []
    for _time in range(horizon):
        state = matrix @ state
        lengths.append(float(state.norm()))
    print(
        f"{name}: {seconds / steps * 1e3:.2f} ms a step, {distances[-1]:.3f} from the rotation, off the "
        f"orthogonal matrices by {off:.1e}, length {lengths[-1]:.3g} after {horizon} steps"
    )
    panels[0].semilogy(distances, color=color, label=name, lw=1.3)
    panels[1].semilogy(torch.tensor(lengths).clamp(1e-6, 1e6), color=color, lw=1.3)
panels[0].set(xlabel="training step", ylabel="distance from the rotation", title=f"{n} dimensions")
panels[1].set(xlabel="step of the recurrence", ylabel="length of the state", title="far beyond the training")
panels[0].legend()
figure.savefig(arguments.figure, dpi=110)
