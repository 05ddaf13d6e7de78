"""Errors of a matrix group's closed forms and their derivatives against 40-digit series, in epsilons."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from lie import SE2, SE23, SO2, MatrixLieGroup, Sim3

from . import reference, series


def spread(count: int, size: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Random vectors of length 1."""
    drawn = np.random.default_rng(seed).standard_normal((count, size))
    return torch.tensor(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=dtype)


def turns(dtype: torch.dtype, every: int) -> torch.Tensor:
    """Rotation vectors of all angles about every n-th axis: (count, 3)."""
    axes = reference.axes()[::every]
    return torch.tensor((np.array(reference.ANGLES)[:, None, None] * axes).reshape(-1, 3), dtype=dtype)


SCALES = (0.0, 1e-12, -1e-8, 1e-4, -1e-2, 0.1, -0.5, 1.0, -1.0, 2.0, -2.0)


class Acceptance:
    """The errors of one group in one dtype, at given tangents.

    Args:
        group: The group.
        xi: Tangents, translations of size 1, (N, dim).
        turn: Slice of the rotation in the tangent.
    """

    def __init__(self, group: MatrixLieGroup, xi: torch.Tensor, turn: slice) -> None:
        self.group, self.xi, self.turn = group, xi, turn
        self.eps = reference.EPS[xi.dtype]
        self.angle = torch.linalg.vector_norm(xi[:, turn].double(), dim=-1).numpy()
        self.below = self.angle < np.pi - 8 * self.eps  # where the logarithm gives the tangent back
        self.hat = group.hat(xi.double())
        self.truth = cache(lambda: series.exponential(self.hat))

    def _largest(self, got: torch.Tensor, truth: np.ndarray, floor: float = 0.0) -> float:
        """Largest entry error of an element of the batch, relative to its largest true entry."""
        size = np.abs(truth).astype(float).reshape(len(truth), -1).max(1)
        return float((reference.error(got, truth) / np.maximum(size, floor)).max()) / self.eps

    def exp(self) -> float:
        """Error of exp relative to its largest entry, which is 1 at least."""
        return self._largest(self.group.exp(self.xi), self.truth())

    def log(self) -> tuple[float, float]:
        """Relative error of the rotation, and absolute error of the rest, from the rounded element."""
        element = torch.tensor(self.truth().astype(float)).to(self.xi.dtype)[self.below]
        got = self.group.log(element)
        truth = reference.exact(self.xi)[self.below]
        turn = reference.error(got[:, self.turn], truth[:, self.turn])
        rest = np.ones(self.group.dim, dtype=bool)
        rest[self.turn] = False
        angle = np.maximum(self.angle[self.below], 1e-300)
        other = reference.error(got[:, rest], truth[:, rest]).max() if rest.any() else 0.0
        return float((turn / angle).max()) / self.eps, float(other) / self.eps

    def jacobian(self) -> float:
        """Error of the left Jacobian, over twice its largest entry: translations have size 1."""
        truth = series.phi1(self.group.ad(self.xi.double()))
        return self._largest(self.group.left_jacobian(self.xi), truth) / 2

    def jacobian_inverse(self) -> float:
        """Residual of the inverse left Jacobian times the true one, over the sizes of both, both times 2."""
        truth = series.phi1(self.group.ad(self.xi.double()))
        inverse = reference.exact(self.group.left_jacobian_inverse(self.xi))
        eye = np.eye(self.group.dim, dtype=int).astype(object)
        defect = np.abs(inverse @ truth - eye).astype(float).max((1, 2))
        size = np.abs(truth).astype(float).max((1, 2)) * np.abs(inverse).astype(float).max((1, 2))
        return float((defect / size).max()) / self.eps / 2

    def derivatives_of_exp(self) -> tuple[float, float]:
        """Errors of gradient and Hessian of <W, exp(xi)>, each relative to its largest entry."""
        n, dtype = self.group.matrix_dim, self.xi.dtype
        weight = torch.randn(len(self.xi), n, n, generator=torch.Generator().manual_seed(2), dtype=dtype)
        basis = self.group.basis(torch.float64)
        truths = series.gradient_and_hessian(self.hat, weight, basis)

        def function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return (w * self.group.exp(x)).sum()

        gradient, hessian = (
            self._largest(torch.vmap(order(function))(self.xi, weight), truth)
            for order, truth in zip((torch.func.grad, torch.func.hessian), truths)
        )
        return gradient, hessian

    def derivatives_of_log(self) -> tuple[float, float]:
        """Gradient of w log(exp(xi)) against w, relative; its Hessian against 0."""
        xi = self.xi[torch.tensor(self.below)]
        w = torch.tensor([0.36, -0.48, 0.8, -0.6, 0.64, 0.48, -0.28, 0.96, 0.56], dtype=xi.dtype)
        w = w[: self.group.dim]

        def function(x: torch.Tensor) -> torch.Tensor:
            return (w * self.group.log(self.group.exp(x), check=False)).sum()

        gradient = torch.vmap(torch.func.grad(function))(xi)
        hessian = torch.vmap(torch.func.hessian(function))(xi)
        slope = float((gradient - w).abs().max() / w.abs().max())
        return slope / self.eps, float(hessian.abs().max()) / self.eps


@cache
def acceptance(name: str, dtype: torch.dtype) -> Acceptance:
    """A group at all angles, translations of size 1, and for Sim(3) scales from 1/7 to 7."""
    if name in ("SO2", "SE2"):
        angles = torch.tensor(np.array([[a, -a] for a in reference.ANGLES]).ravel(), dtype=dtype)[:, None]
        if name == "SO2":
            return Acceptance(SO2, angles, slice(0, 1))
        angles = angles.repeat_interleave(3, 0)
        return Acceptance(SE2, torch.cat((spread(len(angles), 2, 0, dtype), angles), 1), slice(2, 3))
    phi = turns(dtype, 11 if name == "SE23" else 7)
    count = len(phi)
    if name == "SE23":
        vectors = (spread(count, 3, seed, dtype) for seed in (0, 1))
        return Acceptance(SE23, torch.cat((*vectors, phi), 1), slice(6, 9))
    sigma = torch.tensor(np.resize(SCALES, count), dtype=dtype)[:, None]
    return Acceptance(Sim3, torch.cat((spread(count, 3, 0, dtype), phi, sigma), 1), slice(3, 6))
