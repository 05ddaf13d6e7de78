"""Coefficients of Runge-Kutta methods."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._quadrature import quadrature

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Tableau:
    """A Runge-Kutta method ``Y_i = x + h sum_j a_ij f(Y_j)``, ``x' = x + h sum_i b_i f(Y_i)``.

    Attributes:
        name: Name.
        order: Order of accuracy.
        a: Rows of ``a_ij``.
        b: Weights.
        source: Where the coefficients come from.
    """

    name: str
    order: int
    a: Rows
    b: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        """Check shapes and consistency.

        Raises:
            ValueError: If the table is not square or the weights do not sum to one.
        """
        s = len(self.b)
        if s == 0 or len(self.a) != s or any(len(row) != s for row in self.a):
            raise ValueError(
                f"{self.name}: expected {s} rows of {s} numbers for {s} weights, got rows of "
                f"{[len(row) for row in self.a]}"
            )
        if abs(sum(self.b) - 1) > 1e-13:
            raise ValueError(f"{self.name}: weights must sum to one, got {sum(self.b)!r}")

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.b)

    @property
    def c(self) -> tuple[float, ...]:
        """Nodes, the sums of the rows."""
        return tuple(sum(row) for row in self.a)

    @property
    def explicit(self) -> bool:
        """Whether every stage uses earlier ones alone."""
        return all(value == 0 for i, row in enumerate(self.a) for value in row[i:])

    @property
    def symplecticity_residual(self) -> float:
        """Largest ``|b_i a_ij + b_j a_ji - b_i b_j|``, zero for symplectic methods."""
        a, b = torch.tensor(self.a, dtype=torch.float64), torch.tensor(self.b, dtype=torch.float64)
        m = b[:, None] * a
        return float((m + m.T - b[:, None] * b).abs().max())


def gauss(stages: int) -> Tableau:
    """The Gauss method of ``s`` stages: order ``2 s``, symplectic and symmetric.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, II.1.3.

    Args:
        stages: Number of stages.

    Returns:
        The tableau, correct to the last digit of double precision.
    """
    _, b, m = quadrature("gauss", stages)
    a = tuple(tuple(float(value * w) for value, w in zip(row, b, strict=True)) for row in m)
    return Tableau(f"Gauss {2 * stages}", 2 * stages, a, tuple(map(float, b)), "HLW II.1.3")


def lobatto_pair(stages: int) -> tuple[Tableau, Tableau]:
    """The Lobatto IIIA and IIIB methods of ``s`` stages: order ``2 s - 2``, symplectic as a pair.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, II.1.4 and IV.2.2.

    Args:
        stages: Number of stages, at least 2.

    Returns:
        The tableaux for positions and for momenta.
    """
    _, b, m = quadrature("lobatto", stages)
    s, order, weights = stages, 2 * stages - 2, tuple(map(float, b))
    first = tuple(tuple(float(m[i][j] * b[j]) for j in range(s)) for i in range(s))
    second = tuple(tuple(float((1 - m[j][i]) * b[j]) for j in range(s)) for i in range(s))
    return (
        Tableau(f"Lobatto IIIA {order}", order, first, weights, "HLW II.1.4"),
        Tableau(f"Lobatto IIIB {order}", order, second, weights, "HLW II.1.4"),
    )


def coupling(kind: str, stages: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """How stages take weighted slopes: ``Y_i = x + sum_j m_ij (h b_j f_j)`` with ``m_ij = a_ij / b_j``.

    In these numbers a method is symplectic where ``m_ij + m_ji = 1``. For Gauss that holds exactly in the
    arithmetic asked for: the smaller of two entries is one minus the larger, a difference without rounding.

    Source: Antoñana, Makazaga, Murua, Numer. Algorithms 76 (2017) 861, section 3.

    Args:
        kind: ``"gauss"`` or ``"lobatto"`` (IIIA; ``1 - m_ji`` are the numbers of IIIB).
        stages: Number of stages.
        dtype: Arithmetic.

    Returns:
        The matrix ``m``.
    """
    m = torch.tensor([[float(v) for v in row] for row in quadrature(kind, stages)[2]], dtype=dtype)
    if kind == "gauss":
        m = torch.where(m >= 0.5, m, 1 - m.T)
    return m
