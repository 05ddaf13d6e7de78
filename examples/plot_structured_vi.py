"""
Gaussian posteriors with a structure
====================================

Logistic regression on measurements of 569 tumours, with a Gaussian prior on the 31 weights. The posterior is
approximated by the Gaussian that is nearest in KL(q || p), with precisions of several structures, and the
deviations of its weights are compared with a long run of Hamiltonian Monte Carlo. The measurements are
strongly correlated: an approximation with independent weights (mean field) believes them to be far more
certain than they are. At the right a density of one's own, by draws.

Run ``python examples/plot_structured_vi.py --size full``; it writes ``structured_vi.png``.

.. image:: /_static/structured_vi.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/structured_vi.png'

# %%
# Fits
# ----
# All averages are one-dimensional integrals, so that the fit is deterministic.
from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Ellipse
from sklearn.datasets import load_breast_cancer
from torch import Tensor

from geomlearn import lie, plotting
from geomlearn.spd import GaussianPosterior, GeneralisedLinearModel, LogDensity, fit_gaussian_posterior

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("structured_vi.png"))
arguments, _ = parser.parse_known_args()
draws, limit = {"full": (20_000, 1000), "medium": (2_000, 1000), "small": (50, 40)}[arguments.size]

data = load_breast_cancer()
features = (data.data - data.data.mean(0)) / data.data.std(0)
model = GeneralisedLinearModel(np.hstack([features, np.ones((len(features), 1))]), data.target)
STRUCTURES: dict[str, Any] = {
    "full": "full",
    "rank 5 + diagonal": lie.structured_factor("block_lower", 31, rank=5),
    "blocks of 10": lie.structured_factor("block_diagonal", 31, block=10),
    "diagonal": "diagonal",
}
fits: dict[str, GaussianPosterior] = {}
for name, structure in STRUCTURES.items():
    fit = fits[name] = fit_gaussian_posterior(model, structure, max_iterations=limit)
    right = ((fit.predict(model.features) > 0.5) == model.targets.bool()).double().mean()
    print(
        f"{name:18s} {fit.structure.memory:4d} numbers, {fit.status} after {fit.iterations} iterations,"
        f" evidence bound {fit.elbo:.4f}, {float(right):.1%} right"
    )


# %%
# Hamiltonian Monte Carlo
# -----------------------
# In the coordinates of the full fit, where the posterior is nearly a standard normal.
def slope(w: Tensor) -> tuple[Tensor, Tensor]:
    """Minus the log-posterior, (chains,), and its gradient, (chains, n)."""
    eta = w @ model.features.mT
    value = torch.nn.functional.softplus(eta).sum(1) - eta @ model.targets + 0.5 * w.square().sum(1)
    return value, (eta.sigmoid() - model.targets) @ model.features + w


def sample(count: int, chains: int = 20, steps: int = 8, size: float = 0.2) -> Tensor:
    """Draws of the weights, (count, n)."""
    g = torch.Generator().manual_seed(0)
    full = fits["full"]
    inverse = torch.linalg.inv(full.factor)  # w = mean + z A^-1
    z = torch.randn(chains, 31, generator=g, dtype=torch.float64)
    kept, accepted = [], 0.0
    for k in range(count // chains + 50):
        p = torch.randn(chains, 31, generator=g, dtype=torch.float64)
        new, momentum = z, p
        value, gradient = slope(full.mean + new @ inverse)
        before = value + 0.5 * p.square().sum(1)
        for _ in range(steps):
            momentum = momentum - 0.5 * size * gradient @ inverse.mT
            new = new + size * momentum
            value, gradient = slope(full.mean + new @ inverse)
            momentum = momentum - 0.5 * size * gradient @ inverse.mT
        after = value + 0.5 * momentum.square().sum(1)
        yes = torch.rand(chains, generator=g, dtype=torch.float64) < (before - after).exp()
        z = torch.where(yes[:, None], new, z)
        accepted += float(yes.double().mean())
        if k >= 50:
            kept.append(full.mean + z @ inverse)
    print(f"Monte Carlo: {len(kept) * chains} draws, {accepted / (count // chains + 50):.0%} accepted")
    return torch.cat(kept)


true = sample(draws).std(0)
for name, fit in fits.items():
    ratio = fit.deviations / true
    print(f"{name:18s} deviations / true: {float(ratio.min()):.2f} ... {float(ratio.max()):.2f}")


# %%
# A density of one's own
# ----------------------
def banana(w: Tensor) -> Tensor:
    """Log-density of a bent normal, not normalised."""
    return -0.5 * w[0] ** 2 - 2 * (w[1] - 0.8 * w[0] - 0.4 * w[0] ** 2) ** 2


bent = LogDensity(banana, 2, draws=512)
bows = {name: fit_gaussian_posterior(bent, name) for name in ("full", "diagonal")}
for name, fit in bows.items():
    print(
        f"banana, {name:9s} {fit.status}, evidence bound {fit.elbo:.3f}, log-evidence {math.log(math.pi):.3f}"
    )

# %%
# Pictures
# --------
figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for color, (name, fit) in zip(plotting.PALETTE, fits.items()):
    panels[0].semilogy(-fit.elbos[:80], color=color, label=f"{name}: {fit.elbo:.2f}")
    panels[1].loglog(true, fit.deviations, "o", ms=4, color=color, label=name)
panels[0].set(xlabel="iteration", ylabel="minus the evidence bound", title="logistic regression, 31 weights")
panels[0].legend()
ends = [0.9 * float(true.min()), 1.1 * float(true.max())]
panels[1].plot(ends, ends, color="grey", lw=0.8)
panels[1].set(xlabel="deviation by Monte Carlo", ylabel="deviation of the fit", title="each weight")
panels[1].legend()
span = torch.linspace(-3, 3, 121, dtype=torch.float64)
rise = torch.linspace(-2.5, 5, 111, dtype=torch.float64)
mesh = torch.stack(torch.meshgrid(span, rise, indexing="xy"), -1)
density = torch.func.vmap(torch.func.vmap(banana))(mesh).exp()
panels[2].contourf(span, rise, density, levels=12, cmap="Greys", alpha=0.6)
for color, (name, fit) in zip(plotting.PALETTE[:4:3], bows.items()):
    values, vectors = torch.linalg.eigh(fit.covariance)
    width, height = (4 * values.sqrt()).tolist()
    angle = math.degrees(math.atan2(float(vectors[1, 0]), float(vectors[0, 0])))
    panels[2].add_patch(
        Ellipse(tuple(fit.mean.tolist()), width, height, angle=angle, fill=False, color=color, lw=1.5)
    )
    panels[2].plot([], [], color=color, label=name)
panels[2].set(title="a bent density, two deviations", xlabel="$w_0$", ylabel="$w_1$")
panels[2].legend(loc="upper left")
figure.savefig(arguments.figure, dpi=97)
