"""Conserved quantities of systems that are given as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numba.core.dispatcher import Dispatcher
from torch import Tensor, nn

from ..kernels import KernelBuilder, Rows
from ._numba_function import NumbaFunction
from ._scalar import Called, sample
from ._system import System
from ._values import register_values, stack_values

Quantity = Callable[..., Any]


class FunctionalSystem(System):
    """A system made of torch functions, modules and functions decorated with ``numba.njit``."""

    _compiled: dict[str, NumbaFunction]

    def __repr__(self) -> str:
        """Name and layout, without the modules."""
        return f"{type(self).__name__}({self.space!r})"

    def _set_values(self, parameters: Mapping[str, float | Tensor] | None, dtype: torch.dtype) -> None:
        """Register the numbers that functions decorated with ``numba.njit`` take by name."""
        self._names = register_values(self, dict(parameters or {}), dtype)
        self._compiled = {}

    def _compile(self, function: Any, name: str, size: int) -> NumbaFunction:
        self._compiled[name] = compiled = NumbaFunction(function, name, size, self._names)
        return compiled

    def _set_invariants(self, invariants: Mapping[str, Quantity] | None, size: int) -> None:
        """Register quantities of ``size`` entries of the state, once all functions have been compiled."""
        self._quantities = nn.ModuleDict()
        counts = {}
        for name, function in (invariants or {}).items():
            label = f"invariants[{name!r}]"
            if isinstance(function, Dispatcher):
                counts[name] = self._compile(function, label, size).count or 1
            elif callable(function):
                self._quantities[name] = Called(function)
            else:
                raise TypeError(f"{label}: expected a function of states, got {function!r}")
        self.timed = any(function.timed for function in self._compiled.values())
        for name in self._quantities:
            states = sample((2,), size + self.timed, self)
            with torch.no_grad():
                value = self._quantities[name](states)
            if not isinstance(value, Tensor) or value.shape[:1] != (2,) or value.ndim > 2:
                got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(
                    f"invariants[{name!r}]: expected shape (2,) or (2, components) for states"
                    f" {tuple(states.shape)}, got {got}"
                )
            counts[name] = value.shape[1] if value.ndim == 2 else 1
        self.invariants = {name: counts[name] for name in (invariants or {})}
        taken = {a for function in self._compiled.values() for a in function.extra}
        idle = [name for name in self._names if name not in taken]
        if idle:
            raise ValueError(f"parameters: {', '.join(idle)} is an argument of none of the njit functions")

    def _named(self) -> dict[str, Tensor]:
        return dict(zip(self._names, stack_values(self, self._names).unbind(), strict=True))

    def _evaluate(self, name: str, first: Tensor, t: Tensor | None) -> Tensor:
        """Compute one of the functions decorated with ``numba.njit`` in torch."""
        return self._compiled[name](first, t, self._named())

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states, shape ``(...)`` or ``(..., components)``."""
        label = f"invariants[{name!r}]"
        if label in self._compiled:
            t = x[..., -1:] if self.timed else None
            value = self._evaluate(label, x[..., : self._compiled[label].size], t)
        elif name in self._quantities:
            value = self._quantities[name](x)
        else:
            return super().invariant(name, x)
        batch = x.ndim - 1
        return value.squeeze(-1) if value.ndim > batch and value.shape[-1] == 1 else value

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the values of the parameters and return their offset."""
        return builder.parameter(stack_values(self, self._names))

    def _call(
        self, builder: KernelBuilder, name: str, offset: int, first: Rows, t: Rows, size: int
    ) -> tuple[str, list[str]]:
        """Statement that calls one of the functions decorated with ``numba.njit``, and its results."""
        places = {parameter: offset + k for k, parameter in enumerate(self._names)}
        return self._compiled[name].call(builder, first, t, places, size)

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write an invariant: one statement per component, ``{}`` for its value."""
        label = f"invariants[{name!r}]"
        if label not in self._compiled:
            raise TypeError(
                f"{label} is a torch function, which has no kernel code; decorate it with numba.njit, as a"
                " function of one state"
            )
        t = x[-1:] if self.timed else []
        first = x[: self._compiled[label].size]
        statement, values = self._call(builder, label, offset, first, t, len(targets))
        builder.lanes(
            statement, *[target.format(v) for target, v in zip(targets, values, strict=True)], join=True
        )


def negative(target: str) -> str:
    """The statement with the value's sign changed.

    Args:
        target: A statement in which ``{}`` or ``{0}`` stands for a value.

    Returns:
        The statement.
    """
    return target.replace("{}", "(-{})").replace("{0}", "(-{0})")
