"""Gauss collocation: symplectic, symmetric, of any even order, for every system."""

from __future__ import annotations

import torch
from torch import Tensor

from ..systems import System
from ._stages import Solver, StageMethod
from ._tableau import coupling

MOST_STAGES = 16


class GaussLegendre(StageMethod):
    """The Gauss method with ``s`` stages: order ``2 s``, symmetric, for every system.

    It preserves the symplectic form of a Hamiltonian system and all linear and quadratic invariants of any
    system, and is A-stable. Its stages are solved until rounding stops the iteration, since a method with
    stages solved to a tolerance drifts; a step whose stages cannot be solved raises ``StepError``, or stops
    its trajectory in a rollout.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, II.1.3, IV.2 and VIII.5-6;
    Hairer, McLachlan, Razakarivony, BIT 48 (2008) 231; the form of the stages in which the coefficients are
    symplectic without rounding: Antoñana, Makazaga, Murua, Numer. Algorithms 76 (2017) 861.

    Example:
        >>> import torch
        >>> from integrators import GaussLegendre, Hamiltonian
        >>> flow = GaussLegendre(Hamiltonian("p**2*(1 + q**2)/2 + q**2/2"), h=0.1, stages=3)
        >>> flow.order
        6
        >>> x = torch.tensor([0.5, 0.0], dtype=torch.float64)
        >>> bool((flow.energy(flow(x)) - flow.energy(x)).abs() < 1e-10)
        True
    """

    kind = "gauss"

    def __init__(
        self,
        system: System,
        h: float,
        stages: int = 2,
        compensated: bool = False,
        tolerance: float | None = None,
        solver: Solver = "fixed point",
    ) -> None:
        """Bind.

        Args:
            system: Any system.
            h: Step; negative steps go back in time.
            stages: Number of stages, half the order.
            compensated: Whether the rounding errors of the state are carried along, for errors that grow like
                the square root of the number of steps.
            tolerance: Where to stop the solution of the stages: when the largest change of an entry of
                ``h b_i f_i`` falls to it. Invariants then drift, and a warning says so. None goes on until
                rounding stops the iteration.
            solver: ``"fixed point"``, which needs a step shorter than the fastest time of the system, or
                ``"newton"`` with the field's derivative in the middle of the step, for stiff systems.

        Raises:
            ValueError: If the number of stages, the tolerance or the solver is not one of those.
        """
        if not (isinstance(stages, int) and 1 <= stages <= MOST_STAGES):
            raise ValueError(f"stages: expected an integer from 1 to {MOST_STAGES}, got {stages!r}")
        super().__init__(system, h, stages, compensated, tolerance, solver)
        self.order = 2 * stages

    def couplings(self, dtype: torch.dtype = torch.float64) -> list[tuple[int, int, Tensor]]:
        """One group with all entries of the state."""
        return [(0, self.space.size, coupling("gauss", self.stages, dtype))]


class _Named(GaussLegendre):
    """A Gauss method whose number of stages is fixed by its class."""

    stages_used: int

    def __init__(
        self,
        system: System,
        h: float,
        compensated: bool = False,
        tolerance: float | None = None,
        solver: Solver = "fixed point",
    ) -> None:
        """Bind; the arguments are those of ``GaussLegendre``.

        Args:
            system: Any system.
            h: Step.
            compensated: Whether rounding errors are carried along.
            tolerance: Where to stop the solution of the stages; None goes on to rounding.
            solver: ``"fixed point"`` or ``"newton"``.
        """
        super().__init__(system, h, self.stages_used, compensated, tolerance, solver)


class ImplicitMidpoint(_Named):
    """The implicit midpoint rule, the Gauss method of order 2: ``x' = x + h f((x + x') / 2)``."""

    stages_used = 1


class Gauss2(ImplicitMidpoint):
    """The Gauss method of order 2, the implicit midpoint rule."""


class Gauss4(_Named):
    """The Gauss method of order 4, with two stages."""

    stages_used = 2


class Gauss6(_Named):
    """The Gauss method of order 6, with three stages."""

    stages_used = 3
