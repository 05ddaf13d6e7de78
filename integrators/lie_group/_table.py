"""Coefficients of explicit Runge-Kutta methods on Lie groups."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exponent:
    """What an exponential is taken of, for right-trivialised slopes ``k_1, k_2, ...`` scaled by the step.

    Attributes:
        weights: Coefficients of the slopes.
        brackets: Triples of a coefficient and the numbers, from 0, of two slopes: ``c [k_i, k_j]``.
    """

    weights: tuple[float, ...]
    brackets: tuple[tuple[float, int, int], ...] = ()


@dataclass(frozen=True)
class GroupScheme:
    """An explicit method on a group: each stage, and the step itself, is a product of exponentials.

    Attributes:
        name: Name.
        order: Order of accuracy.
        stages: Exponents of each stage, the one that acts first on the state first.
        update: Exponents of the step.
        corrected: Whether slopes are turned back by the inverse derivative of the exponential at the stage's
            exponent, ``v - [u, v]/2 + [u, [u, v]]/12``.
        source: Where the coefficients come from.
    """

    name: str
    order: int
    stages: tuple[tuple[Exponent, ...], ...]
    update: tuple[Exponent, ...]
    corrected: bool = False
    source: str = ""


def exponent(*weights: float) -> Exponent:
    """An exponent without brackets.

    Args:
        *weights: Coefficients of the slopes.

    Returns:
        The exponent.
    """
    return Exponent(tuple(float(w) for w in weights))


def _each(*weights: float) -> tuple[Exponent, ...]:
    """One exponential for each slope, the first slope acting first."""
    return tuple(exponent(*(0.0,) * k, w) for k, w in enumerate(weights))


LIE_EULER = GroupScheme(
    "Lie-Euler", 1, ((),), (exponent(1),), source="Iserles et al., Acta Numerica 9 (2000)"
)

_CG = "Crouch, Grossman, J. Nonlinear Sci. 3 (1993) 1"
CROUCH_GROSSMAN_3 = GroupScheme(
    "Crouch-Grossman 3", 3, ((), _each(3 / 4), _each(119 / 216, 17 / 108)), _each(13 / 51, -2 / 3, 24 / 17),
    source=_CG,
)  # fmt: skip
CROUCH_GROSSMAN_4 = GroupScheme(
    "Crouch-Grossman 4", 4,
    (
        (),
        _each(0.8177227988124852),
        _each(0.3199876375476427, 0.0659864263556022),
        _each(0.9214417194464946, 0.4997857776773573, -1.0969984448371582),
        _each(0.3552358559023322, 0.2390958372307326, 1.3918565724203246, -1.1092979392113465),
    ),
    _each(
        0.1370831520630755, -0.0183698531564020, 0.7397813985370780, -0.1907142565505889, 0.3322195591068374
    ),
    source="Owren, Marthinsen, BIT 39 (1999) 116",
)  # fmt: skip

_CF = "Celledoni, Marthinsen, Owren, Future Gener. Comput. Syst. 19 (2003) 341"
_THIRD, _HALF = exponent(1 / 3), exponent(1 / 2)
COMMUTATOR_FREE_3 = GroupScheme(
    "commutator-free 3", 3, ((), (_THIRD,), (exponent(0, 2 / 3),)), (_THIRD, exponent(-1 / 12, 0, 3 / 4)),
    source=_CF,
)  # fmt: skip
COMMUTATOR_FREE_4 = GroupScheme(
    "commutator-free 4", 4,
    ((), (_HALF,), (exponent(0, 1 / 2),), (_HALF, exponent(-1 / 2, 0, 1))),
    (exponent(3 / 12, 2 / 12, 2 / 12, -1 / 12), exponent(-1 / 12, 2 / 12, 2 / 12, 3 / 12)),
    source=_CF,
)  # fmt: skip

_MK = (
    "Munthe-Kaas, Appl. Numer. Math. 29 (1999) 115; Munthe-Kaas, Owren, Phil. Trans. R. Soc. A 357 (1999) 957"
)
_AVERAGE = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
RKMK_4 = GroupScheme(
    "Runge-Kutta-Munthe-Kaas 4, two commutators", 4,
    ((), (_HALF,), (Exponent((0.0, 1 / 2), ((-1 / 8, 0, 1),)),), (exponent(0, 0, 1),)),
    (Exponent(_AVERAGE, ((-1 / 12, 0, 3),)),), source=_MK,
)  # fmt: skip
RKMK_4_FULL = GroupScheme(
    "Runge-Kutta-Munthe-Kaas 4", 4, ((), (_HALF,), (exponent(0, 1 / 2),), (exponent(0, 0, 1),)),
    (exponent(*_AVERAGE),), corrected=True, source=_MK,
)  # fmt: skip
