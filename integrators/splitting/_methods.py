"""The named splitting methods."""

from __future__ import annotations

from ..systems import HamiltonianSystem
from . import _table
from ._scheme import Scheme
from ._splitting import Splitting


class _Named(Splitting):
    """A splitting whose scheme is fixed by its class."""

    scheme_used: Scheme

    def __init__(self, system: HamiltonianSystem, h: float, compensated: bool = False) -> None:
        """Bind the scheme to a system.

        Args:
            system: Separable, ``H = T(p) + V(q)``.
            h: Step.
            compensated: Whether rounding errors are carried along.
        """
        super().__init__(system, h, self.scheme_used, compensated)


class SymplecticEuler(_Named):
    """Kick, then drift: order 1, symplectic, one force a step; its adjoint drifts first."""

    scheme_used = _table.SYMPLECTIC_EULER


class Verlet(_Named):
    """Störmer-Verlet, kick-drift-kick: order 2, symplectic, reversible, one force a step."""

    scheme_used = _table.VERLET


class VerletDriftFirst(_Named):
    """Störmer-Verlet, drift-kick-drift: order 2, one force a step, better on eccentric orbits."""

    scheme_used = _table.VERLET_DRIFT_FIRST


class Ruth3(_Named):
    """Ruth's scheme: order 3, symplectic, not reversible, three forces."""

    scheme_used = _table.RUTH_3


class Yoshida4(_Named):
    """Triple jump: order 4, three forces; Suzuki4 and BlanesMoanS6 are far more accurate at equal cost."""

    scheme_used = _table.of_weights("Yoshida 4", 4, _table.YOSHIDA_4)


class Yoshida6(_Named):
    """Yoshida's solution A: order 6, seven forces; KahanLi6 and BlanesMoanS10 are more accurate."""

    scheme_used = _table.of_weights("Yoshida 6", 6, _table.YOSHIDA_6)


class Yoshida8(_Named):
    """Yoshida's solution D: order 8, fifteen forces; KahanLi8 is far more accurate."""

    scheme_used = _table.of_weights("Yoshida 8", 8, _table.YOSHIDA_8)


class Suzuki4(_Named):
    """Five Verlet steps: order 4, five forces."""

    scheme_used = _table.of_weights("Suzuki 4", 4, _table.SUZUKI_4)


class SuzukiUmeno8(_Named):
    """Fifteen Verlet steps: order 8."""

    scheme_used = _table.of_weights("Suzuki-Umeno 8", 8, _table.SUZUKI_UMENO_8)


class KahanLi6(_Named):
    """Nine Verlet steps: order 6."""

    scheme_used = _table.of_weights("Kahan-Li 6", 6, _table.KAHAN_LI_6)


class KahanLi8(_Named):
    """Seventeen Verlet steps: order 8; the choice for errors at rounding level."""

    scheme_used = _table.of_weights("Kahan-Li 8", 8, _table.KAHAN_LI_8)


class SofroniouSpaletta10(_Named):
    """Thirty-five Verlet steps: order 10."""

    scheme_used = _table.of_weights("Sofroniou-Spaletta 10", 10, _table.SOFRONIOU_SPALETTA_10)


class PEFRL(_Named):
    """Position-extended Forest-Ruth-like: order 4, four forces."""

    scheme_used = _table.PEFRL


class McLachlan4(_Named):
    """McLachlan's scheme: order 4, five forces."""

    scheme_used = _table.MCLACHLAN_4


class BlanesMoanS6(_Named):
    """Blanes-Moan S6: order 4, six forces; the accurate choice of order 4 for any T(p) + V(q)."""

    scheme_used = _table.BLANES_MOAN_4


class BlanesMoanS10(_Named):
    """Blanes-Moan S10: order 6, ten forces."""

    scheme_used = _table.BLANES_MOAN_6


class SRKN6(_Named):
    """Blanes-Moan SRKN 6b: order 4 where T is quadratic, six forces; the accurate choice there."""

    scheme_used = _table.SRKN_6B


class SRKN11(_Named):
    """Blanes-Moan SRKN 11b: order 6 where T is quadratic, eleven forces."""

    scheme_used = _table.SRKN_11B


class SRKN14(_Named):
    """Blanes-Moan SRKN 14a: order 6 where T is quadratic, fourteen forces."""

    scheme_used = _table.SRKN_14A


class McLachlanAtela4(_Named):
    """McLachlan-Atela: order 4 where T is quadratic, four forces, not reversible."""

    scheme_used = _table.MCLACHLAN_ATELA_4


class ABA864(_Named):
    """Near-integrable splitting of effective order (8, 6, 4): order 4 in general, seven forces."""

    scheme_used = _table.ABA_864
