"""Hamiltonian systems whose energy is a module: in one piece, or kinetic and potential energy apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._observed import FunctionalSystem, Quantity
from ._scalar import Scalar, require_count
from ._system import HamiltonianSystem

_Energy = Callable[..., Tensor]


class _ModuleSystem(FunctionalSystem, HamiltonianSystem):
    def _describe(
        self, degrees: int, invariants: Mapping[str, Quantity] | None, units: tuple[str, str]
    ) -> None:
        self.degrees = degrees
        self._set_values(None, torch.float64)
        self._set_invariants(invariants, 2 * degrees)
        if self.timed:
            raise ValueError("invariants: expected functions of the state alone, got one that takes t")
        self.space = StateSpace(vector("q", degrees, unit=units[0]), vector("p", degrees, unit=units[1]))


class ModuleHamiltonian(_ModuleSystem):
    """``H(q, p)`` from a module or any torch function of the whole state; not taken to be separable.

    The gradient comes from automatic differentiation, or from a method ``gradient`` of the module. Rollouts
    are compiled for ``nn.Sequential`` of ``nn.Linear`` and one activation, ``geomlearn.nn.MLP``, and modules
    with ``emit_value`` and ``emit_gradient``; weights are read when a rollout begins.

    Examples:
        >>> import torch
        >>> from integrators import ModuleHamiltonian
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        >>> learned = ModuleHamiltonian(net.double(), degrees=1)
        >>> learned.field(torch.zeros(5, 2, dtype=torch.float64)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        module: _Energy,
        degrees: int,
        invariants: Mapping[str, Quantity] | None = None,
        units: tuple[str, str] = ("1", "1"),
    ) -> None:
        """Keep the module and try it.

        Args:
            module: Maps states ``(..., 2 d)``, positions before momenta, to ``(...)`` or ``(..., 1)``.
            degrees: Number ``d`` of degrees of freedom.
            invariants: Conserved quantities beside the energy: torch functions of states ``(..., 2 d)``, or
                functions decorated with ``numba.njit`` of the state as one tuple.
            units: Units of positions and momenta, for files and plots.

        Raises:
            TypeError: If a part is not of its kind.
            ValueError: If a shape is wrong.
        """
        super().__init__()
        require_count("degrees", degrees)
        self.module = Scalar(module, 2 * degrees, "module")
        self._describe(degrees, invariants, units)

    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states ``(..., 2 d)``, shape ``(...)``."""
        value: Tensor = self.module(x)
        return value

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dH/dq`` and ``dH/dp`` of states, each ``(..., d)``."""
        slope = self.module.gradient(x)
        return slope[..., : self.degrees], slope[..., self.degrees :]

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        _write(builder, self.module.emit_gradient(builder, x), targets)

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        if name == "energy":
            _write(builder, [self.module.emit_value(builder, x)], targets)
        else:
            super().emit_observable(builder, name, offset, x, targets)


class SeparableModules(_ModuleSystem):
    """``H = T(p) + V(q)`` from two modules or torch functions, for splitting methods.

    The slopes come from automatic differentiation, or from methods ``gradient`` of the modules. Rollouts are
    compiled where both modules are such as ``ModuleHamiltonian`` can compile. With ``T = p M^-1 p / 2`` a
    ``MechanicalSystem`` is faster, and more methods treat it.

    Examples:
        >>> import torch
        >>> from integrators import SeparableModules, Verlet
        >>> net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        >>> learned = SeparableModules(lambda p: (1 + p[..., 0] ** 2).sqrt(), net.double(), degrees=1)
        >>> Verlet(learned, 0.1)(torch.zeros(5, 2, dtype=torch.float64)).shape
        torch.Size([5, 2])
    """

    separable = True

    def __init__(
        self,
        kinetic: _Energy,
        potential: _Energy,
        degrees: int,
        invariants: Mapping[str, Quantity] | None = None,
        units: tuple[str, str] = ("1", "1"),
    ) -> None:
        """Keep the modules and try them.

        Args:
            kinetic: ``T``: maps momenta ``(..., d)`` to ``(...)`` or ``(..., 1)``.
            potential: ``V``: maps positions ``(..., d)`` to ``(...)`` or ``(..., 1)``.
            degrees: Number ``d`` of degrees of freedom.
            invariants: Conserved quantities beside the energy: torch functions of states ``(..., 2 d)``, or
                functions decorated with ``numba.njit`` of the state as one tuple.
            units: Units of positions and momenta, for files and plots.

        Raises:
            TypeError: If a part is not of its kind.
            ValueError: If a shape is wrong.
        """
        super().__init__()
        require_count("degrees", degrees)
        self.kinetic = Scalar(kinetic, degrees, "kinetic")
        self.potential = Scalar(potential, degrees, "potential")
        self._describe(degrees, invariants, units)

    def energy(self, x: Tensor) -> Tensor:
        """Compute ``T + V`` of states ``(..., 2 d)``, shape ``(...)``."""
        value: Tensor = self.kinetic(x[..., self.degrees :]) + self.potential(x[..., : self.degrees])
        return value

    def force(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)``."""
        return -self.potential.gradient(q)

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``dT/dp`` at momenta ``(..., d)``."""
        return self.kinetic.gradient(p)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dV/dq`` and ``dT/dp`` of states, each ``(..., d)``."""
        return -self.force(x[..., : self.degrees]), self.velocity(x[..., self.degrees :])

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        rows = self.potential.emit_gradient(builder, q)
        builder.lanes(*[a.format(f"(-@{row})") for a, row in zip(targets, rows, strict=True)], join=True)

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``dT/dp``: one statement per component, ``{}`` standing for its value."""
        _write(builder, self.kinetic.emit_gradient(builder, p), targets)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dV/dq`` then ``dT/dp``: one statement per component, ``{}`` standing for its value."""
        slopes = self.potential.emit_gradient(builder, x[: self.degrees])
        kept = builder.rows(self.degrees)  # the two may be one module, which has one place for its slopes
        builder.lanes(*[f"@{a} = @{b}" for a, b in zip(kept, slopes, strict=True)])
        _write(builder, [*kept, *self.kinetic.emit_gradient(builder, x[self.degrees :])], targets)

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        if name != "energy":
            super().emit_observable(builder, name, offset, x, targets)
            return
        (total,) = builder.rows(1)
        builder.lanes(f"@{total} = @{self.potential.emit_value(builder, x[: self.degrees])}")
        kinetic = self.kinetic.emit_value(builder, x[self.degrees :])
        builder.lanes(targets[0].format(f"(@{kinetic} + @{total})"), join=True)


def _write(builder: KernelBuilder, rows: Rows, targets: list[str]) -> None:
    builder.lanes(*[a.format(f"@{row}") for a, row in zip(targets, rows, strict=True)], join=True)
