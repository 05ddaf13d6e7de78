"""The set of symmetric positive definite matrices: membership, projection and samples, before any metric."""

from __future__ import annotations

import torch
from torch import Tensor

from ._divided_differences import EXP, Floor
from ._manifold import Manifold, first_bad
from ._spectral import assemble, decompose, spectral, symmetrised


class PositiveDefiniteSet(Manifold):
    """Symmetric positive definite matrices (..., n, n).

    Membership is judged by Cholesky's method, whatever the scale of rows and columns: no pivot may be smaller
    than the rounding error of its diagonal entry.

    Args:
        n: Number of rows.

    Raises:
        ValueError: If n is no positive integer.
    """

    def __init__(self, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"n must be a whole number, 1 or more, got {n!r}.")
        self.name = f"SPD({n})"
        self.dim = n * (n + 1) // 2
        self.element_shape = (n, n)

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw exp(S), S normal with variance 1/n in orthonormal coordinates, shape (*batch, n, n).

        The distribution is invariant under rotations and inversion. For large n the eigenvalues of S fill the
        interval from -sqrt 2 to sqrt 2, so that condition numbers stay near 17.

        Args:
            *batch: Leading dimensions.
            generator: Source of random numbers.
            dtype: float32 or float64.
            device: Device.

        Returns:
            Points, shape (*batch, n, n).
        """
        n = self.element_shape[0]
        drawn = torch.randn(*batch, n, n, generator=generator, dtype=dtype, device=device)
        return symmetrised(spectral(EXP, drawn / n**0.5))

    def residual(self, x: Tensor) -> Tensor:
        """Compute how far tensors are from symmetric positive definite matrices.

        Args:
            x: Matrices, shape (..., n, n).

        Returns:
            The largest difference from the transpose, as a share of the largest entry; or, where that is
            more, what the smallest eigenvalue is below zero, as a share of the largest one. Matrices that are
            singular up to rounding have the epsilon of the dtype at least. Shape (...).
        """
        self._require_element(x, "x")
        d = decompose(symmetrised(x))[0]
        size = d.abs().amax(-1)
        below = (-d[..., 0] / torch.where(size > 0, size, 1)).clamp_min(torch.finfo(x.dtype).eps)
        return torch.maximum(_asymmetry(x), torch.where(_positive(x), 0 * size, below))

    def project(self, x: Tensor, floor: float | None = None) -> Tensor:
        """Compute the symmetric part, with eigenvalues that are too small raised to a floor.

        Of all symmetric matrices with eigenvalues above the floor it is the nearest in the Frobenius norm
        (Higham 1988).

        Args:
            x: Matrices, shape (..., n, n).
            floor: Smallest eigenvalue as a share of the largest absolute one. None means that matrices which
                are positive definite beyond rounding are only symmetrised, the others get the floor 16 n eps.

        Returns:
            Points, shape (..., n, n).

        Raises:
            ValueError: If the floor is not between 0 and 1.
        """
        self._require_element(x, "x")
        if floor is not None and not 0 < floor < 1:
            raise ValueError(
                f"floor must be between 0 and 1, a share of the largest eigenvalue, got {floor}."
            )
        share = 16 * self.element_shape[0] * torch.finfo(x.dtype).eps if floor is None else floor
        S = symmetrised(x)
        d, V = decompose(S)
        size = d.abs().amax(-1, keepdim=True)
        size = torch.where(size == 0, 1, size)
        scale = size.unsqueeze(-1)
        raised = scale * assemble(Floor(share), S / scale, d / size, V, (d / size).clamp_min(share))
        return torch.where(_positive(x)[..., None, None], S, raised) if floor is None else raised

    def _refuse_strangers(self, x: Tensor, name: str, tol: float) -> None:
        x = x.detach()
        asymmetry = _asymmetry(x)
        good = (asymmetry <= tol) & _positive(x)
        if bool(good.all()):
            return
        where, index = first_bad(good, name)
        bad = x[index]
        if not bool(torch.isfinite(bad).all()):
            raise ValueError(
                f"{where} has entries that are not finite; {name} must hold elements of {self.name}."
            )
        defect = float(self.residual(bad))
        if bool(asymmetry[index] > tol):
            reason = (
                f"is not symmetric, with a defect of {defect:.3g} of its largest entry, more than {tol:.3g}"
            )
        else:
            low, high = (float(end) for end in decompose(symmetrised(bad))[0][[0, -1]])
            reason = (
                f"is not positive definite: its eigenvalues run from {low:.3g} to {high:.3g}, "
                f"a defect of {defect:.3g}"
            )
        raise ValueError(
            f"{where} is not in {self.name}: it {reason}. Bring it back with lie.{self.name}.project."
        )


def _asymmetry(x: Tensor) -> Tensor:
    """Largest difference from the transpose as a share of the largest entry, shape (...)."""
    size = x.abs().amax((-2, -1))
    return (x - x.mT).abs().amax((-2, -1)) / torch.where(size > 0, size, 1)


def _positive(x: Tensor) -> Tensor:
    """Whether the symmetric part is positive definite beyond rounding, shape (...)."""
    S = symmetrised(x.detach())
    finite = torch.isfinite(S).all(-1).all(-1)
    L, info = torch.linalg.cholesky_ex(torch.where(finite[..., None, None], S, 0))
    pivots = L.diagonal(dim1=-2, dim2=-1).square()
    noise = torch.finfo(S.dtype).eps * S.diagonal(dim1=-2, dim2=-1)
    return (info == 0) & (pivots > noise).all(-1)
