"""The Lobatto IIIA-IIIB pair: symplectic and symmetric for every Hamiltonian."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..systems import HamiltonianSystem
from ._stages import Solver, StageMethod
from ._tableau import coupling

MOST_STAGES = 10


class LobattoPair(StageMethod):
    """Lobatto IIIA for positions with IIIB for momenta: order ``2 s - 2``, symplectic, symmetric.

    It treats every Hamiltonian ``H(q, p)``, with time as one more position. With two stages it is the
    Störmer-Verlet method, for ``H = T(p) + V(q)`` the same map as the explicit ``Verlet``, which is the
    cheaper way to compute it; elsewhere it is implicit. Positions at the end of a step are those of its last
    stage, which constraints on positions ask for.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, II.1.4, IV.2.2 and
    VI.4.

    Example:
        >>> import torch
        >>> from integrators import Hamiltonian, LobattoPair
        >>> flow = LobattoPair(Hamiltonian("p**2*(1 + q**2)/2 + q**2/2"), h=0.1, stages=3)
        >>> x = torch.tensor([0.5, 0.0], dtype=torch.float64)
        >>> bool((flow.energy(flow(x)) - flow.energy(x)).abs() < 1e-6)
        True
    """

    requires: ClassVar[Any] = HamiltonianSystem
    kind = "lobatto"
    system: HamiltonianSystem

    def __init__(
        self,
        system: HamiltonianSystem,
        h: float,
        stages: int = 3,
        compensated: bool = False,
        tolerance: float | None = None,
        solver: Solver = "fixed point",
    ) -> None:
        """Bind.

        Args:
            system: Any Hamiltonian system.
            h: Step; negative steps go back in time.
            stages: Number of stages, from 2.
            compensated: Whether the rounding errors of the state are carried along.
            tolerance: Where to stop the solution of the stages; None goes on until rounding stops it.
            solver: ``"fixed point"`` or ``"newton"``, as for ``GaussLegendre``.

        Raises:
            ValueError: If the number of stages, the tolerance or the solver is not one of those.
        """
        if not (isinstance(stages, int) and 2 <= stages <= MOST_STAGES):
            raise ValueError(f"stages: expected an integer from 2 to {MOST_STAGES}, got {stages!r}")
        super().__init__(system, h, stages, compensated, tolerance, solver)
        self.order = 2 * stages - 2

    def couplings(self, dtype: torch.dtype = torch.float64) -> list[tuple[int, int, Tensor]]:
        """IIIA for positions and time, IIIB for momenta."""
        d, n = self.system.degrees, self.space.size
        second = 1 - coupling("lobatto", self.stages, dtype).T
        first = 1 - second.T
        clock = [(2 * d, n, first)] if n > 2 * d else []
        return [(0, d, first), (d, 2 * d, second), *clock]
