"""Coefficients of splitting schemes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Scheme:
    """A product of drifts ``q += a h dT/dp`` and kicks ``p -= b h dV/dq``, applied from left to right.

    Attributes:
        name: Name.
        order: Order of accuracy.
        drifts: Coefficients ``a`` in order.
        kicks: Coefficients ``b`` in order.
        kick_first: Whether the first factor is a kick; drifts and kicks alternate.
        quadratic_only: Whether the order holds only for ``T = p M^-1 p / 2`` (Runge-Kutta-Nystrom).
        source: Where the coefficients come from.
    """

    name: str
    order: int
    drifts: tuple[float, ...]
    kicks: tuple[float, ...]
    kick_first: bool
    quadratic_only: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        """Check that the factors alternate and each kind sums to one.

        Raises:
            ValueError: If they do not.
        """
        gap = len(self.kicks) - len(self.drifts)
        if gap not in ((0, 1) if self.kick_first else (0, -1)):
            raise ValueError(
                f"{self.name}: {len(self.drifts)} drifts and {len(self.kicks)} kicks do not alternate"
            )
        if abs(sum(self.drifts) - 1) > 1e-13 or abs(sum(self.kicks) - 1) > 1e-13:
            raise ValueError(f"{self.name}: drifts and kicks must each sum to one")

    @property
    def factors(self) -> tuple[tuple[str, float], ...]:
        """Pairs of ``"drift"`` or ``"kick"`` and the coefficient, in order."""
        first, second = ("kick", "drift") if self.kick_first else ("drift", "kick")
        table = {"kick": self.kicks, "drift": self.drifts}
        out = []
        for k in range(max(len(self.drifts), len(self.kicks))):
            for kind in (first, second):
                if k < len(table[kind]):
                    out.append((kind, table[kind][k]))
        return tuple(out)

    @property
    def symmetric(self) -> bool:
        """Whether the scheme is its own adjoint."""
        return self.factors == self.factors[::-1]

    @property
    def forces(self) -> int:
        """Evaluations of the force in a step, one that two steps share counted once."""
        shared = self.factors[0][0] == self.factors[-1][0] == "kick"
        return len(self.kicks) - shared

    def adjoint(self) -> Scheme:
        """Give the adjoint scheme, the inverse of the step backwards: the factors in reverse order."""
        backwards = self.factors[::-1]
        return Scheme(
            f"adjoint of {self.name}",
            self.order,
            self.drifts[::-1],
            self.kicks[::-1],
            backwards[0][0] == "kick",
            self.quadratic_only,
            self.source,
        )


def composed(name: str, order: int, weights: tuple[float, ...], kick_first: bool, source: str) -> Scheme:
    """Compose Verlet steps of different lengths, neighbouring half steps merged.

    Args:
        name: Name.
        order: Order of the composition.
        weights: Lengths as shares of h, in order.
        kick_first: Whether the Verlet step is kick-drift-kick.
        source: Where the weights come from.

    Returns:
        The scheme.
    """
    halves = (
        0.5 * weights[0],
        *(0.5 * (a + b) for a, b in pairwise(weights)),
        0.5 * weights[-1],
    )
    drifts, kicks = (weights, halves) if kick_first else (halves, weights)
    return Scheme(name, order, drifts, kicks, kick_first, False, source)


def palindrome(*left: float, middle: float | None = None) -> tuple[float, ...]:
    """Continue coefficients symmetrically; the middle one makes the sum one unless given.

    Args:
        *left: Coefficients of the first half.
        middle: The middle one; None takes ``1 - 2 sum(left)``.

    Returns:
        All coefficients.
    """
    centre = 1 - 2 * sum(left) if middle is None else middle
    return (*left, centre, *reversed(left))


def doubled(*left: float) -> tuple[float, ...]:
    """Continue coefficients symmetrically without a middle one; the last makes the half sum one half.

    Args:
        *left: All but the last coefficient of the first half.

    Returns:
        All coefficients.
    """
    half = (*left, 0.5 - sum(left))
    return (*half, *reversed(half))
