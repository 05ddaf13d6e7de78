"""Vector fields that are modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, KernelField, Rows, emit_network
from ._inputs import with_inputs
from ._observed import FunctionalSystem, Quantity
from ._scalar import Called, Scalar, require_count, sample


class ModuleField(FunctionalSystem):
    """``x' = f(x, u)`` from a module or any torch function.

    Rollouts are compiled for ``nn.Sequential`` of ``nn.Linear`` and one activation, ``geomlearn.nn.MLP``, and
    modules with ``emit_field``; weights are read when a rollout begins.

    Examples:
        >>> import torch
        >>> from integrators import ModuleField
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
        >>> learned = ModuleField(net.double(), size=2, control_size=1)
        >>> learned.field(torch.zeros(5, 2).double(), torch.ones(1).double()).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        module: Callable[..., Tensor],
        size: int,
        control_size: int = 0,
        energy: Callable[..., Tensor] | None = None,
        invariants: Mapping[str, Quantity] | None = None,
        unit: str = "1",
    ) -> None:
        """Keep the module and try it.

        Args:
            module: Maps ``(..., n + m)``, states and inputs side by side, to ``(..., n)``; one with two
                arguments is given states ``(..., n)`` and inputs ``(..., m)``.
            size: Number ``n`` of entries of a state.
            control_size: Number ``m`` of inputs.
            energy: An energy, to be observed, a torch function of states; nothing says that it is conserved.
            invariants: Conserved quantities: torch functions of states ``(..., n)``, or functions decorated
                with ``numba.njit`` of the state as one tuple.
            unit: Unit of the entries, for files and plots.

        Raises:
            TypeError: If a part is not of its kind.
            ValueError: If a shape is wrong.
        """
        super().__init__()
        require_count("size", size)
        require_count("control_size", control_size, 0)
        if not callable(module):
            raise TypeError(f"module: expected a module or a torch function, got {module!r}")
        self.module, self.size, self.control_size = Called(module), size, control_size
        self.apart = control_size > 0 and _arguments(module) == 2
        self._energy = None if energy is None else Scalar(energy, size, "energy")
        self.has_energy = energy is not None
        self._set_values(None, torch.float64)
        self._set_invariants(invariants, size)
        if self.timed:
            raise ValueError("invariants: expected functions of the state alone, got one that takes t")
        self.space = StateSpace(vector("x", size, unit))
        with torch.no_grad():
            self.field(sample((2,), size, self.module))

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative of states.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``; None stands for zero.

        Returns:
            Shape ``(..., n)``.

        Raises:
            ValueError: If the module returns another shape.
        """
        both = with_inputs(x, control, self.control_size)
        if self.apart:
            slope: Tensor = self.module(both[..., : self.size], both[..., self.size :])
        else:
            slope = self.module(both)
        if slope.shape != (*both.shape[:-1], self.size):
            raise ValueError(
                f"module: expected slopes of shape {(*both.shape[:-1], self.size)}, got {tuple(slope.shape)}"
            )
        return slope

    def energy(self, x: Tensor) -> Tensor:
        """Compute the energy of states ``(..., n)``, shape ``(...)``."""
        if self._energy is None:
            return super().energy(x)
        value: Tensor = self._energy(x)
        return value

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the time derivative: one statement per component, ``{}`` standing for its value."""
        function = self.module.function
        if self.apart:
            raise TypeError("module: one that takes states and inputs apart has no kernel code")
        if isinstance(function, KernelField):
            rows = function.emit_field(builder, [*x, *control], [])
        else:
            try:
                rows = emit_network(builder, function).emit_forward([*x, *control])
            except TypeError as error:
                raise TypeError(f"module: {error}") from error
        builder.lanes(*[a.format(f"@{row}") for a, row in zip(targets, rows, strict=True)], join=True)

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        if name == "energy" and self._energy is not None:
            builder.lanes(targets[0].format(f"@{self._energy.emit_value(builder, x)}"), join=True)
        else:
            super().emit_observable(builder, name, offset, x, targets)


def _arguments(module: Callable[..., Tensor]) -> int:
    """Number of positional arguments that must be given."""
    forward = getattr(module, "forward", module)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(forward).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)
