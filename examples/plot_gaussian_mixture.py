"""
Mixtures of Gaussians beside expectation maximisation
=====================================================

Natural-gradient steps of all components at once, with the factors of their precisions as unknowns. With rate
1 and no momentum an iteration does what one of expectation maximisation does. Where components overlap both
take hundreds of them; momentum that is dropped when it goes uphill takes a fraction. Where components are
apart, a few iterations are enough and momentum is a waste.

Run ``python examples/plot_gaussian_mixture.py --size full``; it writes ``gaussian_mixture.png``.

.. image:: /_static/gaussian_mixture.png
   :alt: What the program draws
"""
# sphinx_gallery_thumbnail_path = '_static/gaussian_mixture.png'

# %%
# Data, and the reference
# -----------------------
# Samples of components with normal means and turned covariances. Both methods begin at the same clusters.
from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Ellipse
from torch import Tensor

from geomlearn import plotting
from geomlearn.spd import MixtureFit, fit_gaussian_mixture

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("gaussian_mixture.png"))
arguments, _ = parser.parse_known_args()
each, limit = {"full": (500, 900), "medium": (500, 900), "small": (100, 60)}[arguments.size]


def drawn(n: int, components: int, deviation: float, spread: float, seed: int) -> Tensor:
    """Samples of ``components`` Gaussians with eigenvalues from 1/spread to spread."""
    g = torch.Generator().manual_seed(seed)
    means = deviation * torch.randn(components, n, generator=g, dtype=torch.float64)
    scales = (0.5 * math.log(spread) * torch.linspace(-1, 1, n, dtype=torch.float64)).exp()
    samples = []
    for mean in means:
        turn = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))[0]
        samples.append(mean + torch.randn(each, n, generator=g, dtype=torch.float64) * scales @ turn.mT)
    return torch.cat(samples)


def expectation_maximisation(x: Tensor, start: MixtureFit) -> Tensor:
    """Mean negative log-density at the start and after each step."""
    weights, means, covariances = start.weights, start.means, start.covariances
    path = []
    for _ in range(limit + 1):
        joint = (
            torch.distributions.MultivariateNormal(means, covariances).log_prob(x[:, None]) + weights.log()
        )
        total = joint.logsumexp(1)
        path.append(-total.mean())
        shares = (joint - total[:, None]).exp()
        mass = shares.sum(0)
        weights, means = mass / len(x), shares.mT @ x / mass[:, None]
        away = x - means[:, None]
        covariances = (shares.mT[..., None] * away).mT @ away / mass[:, None, None]
    return torch.stack(path)


# %%
# Iterations
# ----------
# Counted until the negative log-likelihood is within 1e-6 of the least that any method finds.
WAYS: dict[str, dict[str, Any]] = {
    "rate 1": {"lr": 1.0},
    "0.2, momentum 0.9": {"lr": 0.2, "momentum": 0.9, "restart": False, "backtrack": False},
    "1, momentum, restarts": {"lr": 1.0, "momentum": 0.9},
}


def compare(x: Tensor, components: int) -> dict[str, Tensor]:
    """Paths of the negative log-likelihood above the least."""
    start = fit_gaussian_mixture(x, components, max_iterations=0)
    paths = {"EM": expectation_maximisation(x, start)}
    for name, options in WAYS.items():
        fit = fit_gaussian_mixture(
            x, components, start=start, max_iterations=limit, tolerance=1e-7, **options
        )
        paths[name] = -fit.log_likelihoods
    least = min(float(path.min()) for path in paths.values())
    return {name: path - least for name, path in paths.items()}


problems = {
    "overlapping": (drawn(3, 3, 1.5, 1.0, 0), 3),
    "apart": (drawn(5, 3, 2.0, 3.0, 0), 3),
}
results = {name: compare(*problem) for name, problem in problems.items()}
for name, paths in results.items():
    for way, path in paths.items():
        count = next((k for k, gap in enumerate(path.tolist()) if gap <= 1e-6), None)
        print(f"{name:12s} {way:22s} {count} iterations")

# %%
# A picture of a mixture
# ----------------------
# Components with diagonal precisions need more of them: the criterion of Schwarz counts parameters.
flat = drawn(2, 4, 2.0, 6.0, 3)
choices: dict[tuple[str, int], MixtureFit] = {}
for structure in ("full", "diagonal"):
    for components in range(1, 7):
        fits = [
            fit_gaussian_mixture(
                flat, components, structure, generator=torch.Generator().manual_seed(seed), momentum=0.9
            )
            for seed in range(1 if arguments.size == "small" else 4)
        ]
        choices[structure, components] = max(fits, key=lambda fit: fit.log_likelihood)


def criterion(fit: MixtureFit) -> float:
    """Schwarz's criterion per sample: smaller is better."""
    return -2 * fit.log_likelihood + fit.parameters * math.log(len(flat)) / len(flat)


for structure in ("full", "diagonal"):
    found = [criterion(choices[structure, components]) for components in range(1, 7)]
    print(f"criterion, {structure:9s}" + " ".join(f"{value:.3f}" for value in found))
chosen = {
    structure: min((choices[structure, components] for components in range(1, 7)), key=criterion)
    for structure in ("full", "diagonal")
}
figure, panels = plt.subplots(1, 3, figsize=(12.5, 5.1), layout="constrained")
panels[0].plot(*flat[::2].mT, ".", color="#b9c0cc", ms=2, zorder=0)
for color, (structure, fit) in zip(plotting.PALETTE, chosen.items()):
    for mean, covariance in zip(fit.means, fit.covariances):
        values, vectors = torch.linalg.eigh(covariance)
        width, height = (4 * values.sqrt()).tolist()
        angle = math.degrees(math.atan2(float(vectors[1, 0]), float(vectors[0, 0])))
        ellipse = Ellipse(tuple(mean.tolist()), width, height, angle=angle, fill=False, color=color, lw=1.5)
        panels[0].add_patch(ellipse)
    panels[0].plot([], [], color=color, label=f"{structure}: {len(fit.means)} components")
panels[0].set(title="chosen by Schwarz's criterion, two deviations")
panels[0].legend(loc="lower left", fontsize=8)
for panel, (name, paths) in zip(panels[1:], results.items()):
    for color, (way, path) in zip(["black", *plotting.PALETTE], paths.items()):
        em = way == "EM"
        gap = path.clamp_min(1e-10)
        panel.semilogy(gap, color=color, label=way, ls="--" if em else "-", zorder=2 + em)
    panel.set(xlabel="iteration", title=name, ylim=(1e-9, 2))
    panel.set_ylabel("negative log-likelihood above the least")
panels[1].set(xlim=(-5, 400))
panels[2].set(xlim=(-2, 130))
panels[1].legend()
figure.savefig(arguments.figure, dpi=80)
