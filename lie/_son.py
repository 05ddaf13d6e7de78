"""The rotation groups SO(n)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from ._linalg import determinant
from ._matrix_group import MatrixLieGroup
from ._pairs import PairCoordinates
from ._polar import nearest_rotation
from ._quadratic import QuadraticGroup
from ._rotation_log import rotation_logarithm
from ._so2 import SO2
from ._so3 import SO3


class SpecialOrthogonalGroup(QuadraticGroup):
    """Rotation matrices R of n dimensions, (..., n, n): R^T R = I and det R = 1. Made by ``SO``."""

    def __init__(self, n: int) -> None:
        self.name = f"SO({n})"
        self.matrix_dim = n
        self._pairs = PairCoordinates(n, skew=True)
        super().__init__()

    def __reduce__(self) -> tuple[Callable[[int], MatrixLieGroup], tuple[int]]:
        return SO, (self.matrix_dim,)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        """Compute the coordinates of the skew matrix of angles below pi whose exponential is g.

        Right to rounding, with its derivatives, at equal angles and next to half turns.

        Args:
            g: Rotations, shape (..., n, n).
            check: Whether values are checked; without, NaN marks what has no logarithm.

        Returns:
            Coordinates, shape (..., n (n - 1) / 2).

        Raises:
            ValueError: If an element is not in the group or, up to rounding, turns a plane by pi.
        """
        return self._log_by(rotation_logarithm, g, check)

    @property
    def _no_logarithm(self) -> str:
        return (
            f"turns a plane by pi, up to rounding: its logarithm in {self.name} is not unique. Write it as a "
            "product of smaller rotations, or pass check=False to get NaN there."
        )

    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw rotations uniformly (Haar measure), shape (*batch, n, n).

        From the QR factorization of normal matrices, R with a positive diagonal (Stewart, SIAM Journal on
        Numerical Analysis 17, 1980).

        Args:
            *batch: Batch dimensions.
            generator: Source of randomness.
            dtype: Dtype.
            device: Device.

        Returns:
            Rotations, shape (*batch, n, n).
        """
        n = self.matrix_dim
        normal = torch.randn(*batch, n, n, generator=generator, dtype=dtype, device=device)
        q, r = torch.linalg.qr(normal)
        q = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).unsqueeze(-2)
        sign = torch.where(torch.linalg.det(q) < 0, -1, 1)[..., None, None]
        return torch.cat((q[..., :1] * sign, q[..., 1:]), -1)

    def project(self, x: Tensor) -> Tensor:
        """Compute the rotation nearest to any matrix in the Frobenius norm, its polar factor.

        Args:
            x: Matrices, shape (..., n, n).

        Returns:
            Rotations, shape (..., n, n); NaN where several are nearest, as for x = 0.
        """
        self._require_element(x, "x")
        return nearest_rotation(x)

    def residual(self, x: Tensor) -> Tensor:
        """Compute the larger of max |x^T x - I| and |det x - 1|, shape (...)."""
        self._require_element(x, "x")
        return torch.maximum(self._defect(x), (determinant(x) - 1).abs())


def SO(n: int) -> MatrixLieGroup:
    """Make the group of rotations of n dimensions.

    Its tangent coordinates are (-1)^(j - i - 1) A_ji for the axes i < j of a skew matrix A, in the order
    (n - 2, n - 1), ..., (0, n - 1), ..., (1, 2), (0, 2), (0, 1): positive turns go from axis i to axis j,
    but for every other distance of the axes. They are orthonormal for tr(A^T B) / 2. For n = 3 this is the
    rotation vector, for n = 2 the angle; the last coordinates of SO(n) are those of the rotations of
    its first axes.

    Args:
        n: Dimension, at least 2.

    Returns:
        ``SO2``, ``SO3`` or the group, one for each n.

    Raises:
        ValueError: If n is not an integer of at least 2.

    Examples:
        >>> import torch
        >>> from lie import SO
        >>> R = SO(4).exp(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, torch.pi / 2], dtype=torch.float64))
        >>> SO(4).act(R, torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)).round(decimals=12)
        tensor([0., 1., 0., 0.], dtype=torch.float64)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f"n of SO(n) must be an integer of at least 2, the dimension, got {n!r}.")
    return {2: SO2, 3: SO3}.get(n) or _rotations(n)


@cache
def _rotations(n: int) -> SpecialOrthogonalGroup:
    return SpecialOrthogonalGroup(n)
