"""
Groups and manifolds: small angles, screws and means
====================================================

Three pictures of what the objects of ``lie`` do. Formulas from a textbook lose their digits next to the
identity, where a robot spends most of its time; the functions of the library do not, in value or in
derivative. Between two poses there is more than one straight way. And the mean of rotations, poses or
covariance matrices is the point where their logarithms cancel.

Run ``python examples/plot_groups.py``; it writes ``groups.png``.
"""

# %%
# Small angles
# ------------
# The translation of ``SE3.exp`` is ``rho + B phi x rho + C phi x (phi x rho)`` with
# ``C = (theta - sin theta) / theta^3``. As written, C has lost all digits of float32 at a hundredth of a
# radian. Its derivative, which a network is trained with, is worse still. Both are compared with the
# series that defines the exponential, summed in float64.
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from geomlearn import lie, plotting

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "small"), default="full")
parser.add_argument("--figure", type=Path, default=Path("groups.png"))
arguments, _ = parser.parse_known_args()
count = 121 if arguments.size == "full" else 25

rho = torch.tensor([0.6, -0.48, 0.64])
axis = torch.tensor([2.0, -1.0, 2.0]) / 3


def textbook(phi: Tensor, rho: Tensor) -> Tensor:
    """The translation of the exponential by the closed forms, as they are printed."""
    theta = phi.norm(dim=-1, keepdim=True)
    b, c = (1 - theta.cos()) / theta**2, (theta - theta.sin()) / theta**3
    once = torch.cross(phi, rho.expand_as(phi), -1)
    return rho + b * once + c * torch.linalg.cross(phi, once)


def series(phi: Tensor, rho: Tensor) -> Tensor:
    """The same in float64 by the sum of hat(phi)^k rho / (k + 1)!, which cancels nothing at these angles."""
    total, term = torch.zeros_like(phi), rho.expand_as(phi)
    for k in range(1, 25):
        total, term = total + term, torch.linalg.cross(phi, term) / (k + 1)
    return total


def library(phi: Tensor, rho: Tensor) -> Tensor:
    """The translation of ``SE3.exp``."""
    return lie.SE3.translation(lie.SE3.exp(torch.cat((rho.expand_as(phi), phi), -1)))


angles = torch.logspace(-5, 0, count)
phi = angles[:, None] * axis
errors: dict[str, tuple[Tensor, Tensor]] = {}
exact_phi, exact_rho = phi.double(), rho.double()
slope = torch.vmap(torch.func.jacrev(series), (0, None))(exact_phi, exact_rho)
for name, function in (("as printed", textbook), ("lie.SE3.exp", library)):
    value = function(phi, rho)
    derivative = torch.vmap(torch.func.jacrev(function), (0, None))(phi, rho)
    errors[name] = (
        (value.double() - series(exact_phi, exact_rho)).abs().amax(-1),
        (derivative.double() - slope).abs().amax((-2, -1)),
    )
    print(f"{name}: largest error {float(errors[name][0].max()):.1e}, of the derivative "
          f"{float(errors[name][1].max()):.1e} (float32)")  # fmt: skip

# %%
# Two ways between two poses
# --------------------------
# ``interpolate`` moves along a screw, the path of constant body velocity; ``interpolate_split`` turns and
# translates independently.
start = lie.SE3.identity(dtype=torch.float64)
twist = torch.tensor([2.0, 0.0, 0.6, 0.0, 0.0, 2.4], dtype=torch.float64)
end = lie.SE3.exp(twist)
share = torch.linspace(0, 1, 9, dtype=torch.float64)
paths = {
    "screw": lie.SE3.interpolate(start, end, share),
    "split": lie.SE3.interpolate_split(start, end, share),
}
speeds = lie.SE3.minus(paths["screw"][1:], paths["screw"][:-1])
print(f"body velocity along the screw changes by {float((speeds - speeds[0]).abs().max()):.1e}")

# %%
# The mean of covariance matrices
# -------------------------------
# The mean in the affine-invariant geometry keeps the determinant's geometric mean; the arithmetic mean of two
# thin ellipses is a fat one.
plane = lie.SPD(2)
thin = torch.diag(torch.tensor([4.0, 0.1], dtype=torch.float64))
turns = lie.SO2.exp(torch.tensor([[0.2], [0.8], [1.5]], dtype=torch.float64))
covariances = turns @ thin @ turns.mT
means = {"affine-invariant": plane.mean(covariances), "arithmetic": covariances.mean(0)}
print("determinants: of each", f"{float(torch.linalg.det(thin)):.3f},", ", ".join(
    f"of the {name} mean {float(torch.linalg.det(mean)):.3f}" for name, mean in means.items()))  # fmt: skip

# %%
# Pictures
# --------
figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for color, (name, pair) in zip(plotting.PALETTE, errors.items(), strict=False):
    for error, style, what in zip(pair, ("-", "--"), ("value", "derivative"), strict=True):
        panels[0].loglog(angles, error.clamp_min(1e-9), style, color=color, label=f"{name}, {what}")
panels[0].set(xlabel="angle [rad]", ylabel="error (float32)", title="Translation of exp")
panels[0].legend(fontsize=8)

for color, (name, poses) in zip(plotting.PALETTE, paths.items(), strict=False):
    at, x_axis = lie.SE3.translation(poses), lie.SE3.rotation(poses)[..., 0]
    panels[1].plot(at[:, 0], at[:, 1], "o-", color=color, ms=3, label=name)
    panels[1].quiver(at[:, 0], at[:, 1], x_axis[:, 0], x_axis[:, 1], color=color, scale=9, width=0.004)
panels[1].set(xlabel="x", ylabel="y", title="Between two poses, from above", aspect="equal")
panels[1].legend(fontsize=8, loc="lower right")

circle = torch.linspace(0, 2 * torch.pi, 100, dtype=torch.float64)
unit = torch.stack((circle.cos(), circle.sin()))
for covariance in covariances:
    panels[2].plot(*(torch.linalg.cholesky(covariance) @ unit), color="0.7", lw=1)
for color, (name, mean) in zip(plotting.PALETTE, means.items(), strict=False):
    panels[2].plot(*(torch.linalg.cholesky(mean) @ unit), color=color, label=f"{name} mean")
panels[2].set(title="Means of three covariance ellipses", aspect="equal")
panels[2].legend(fontsize=8, loc="lower left")
figure.savefig(arguments.figure, dpi=150)
