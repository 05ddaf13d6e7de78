"""Functions of the positions that say how long steps are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import sympy
import torch
from torch import Tensor, nn

from ..kernels import KernelBuilder, Rows
from ..systems import HamiltonianSystem
from ..systems._function import SymbolicFunction
from ..systems._parse import Expression, as_symbols, parse, require_known


class Monitor(nn.Module, ABC):
    """A positive function ``sigma(q)`` to which the steps are proportional."""

    @abstractmethod
    def sigma(self, q: Tensor) -> Tensor:
        """Compute ``sigma`` at positions ``(..., d)``, shape ``(..., 1)``."""

    @abstractmethod
    def rate(self, q: Tensor, velocity: Tensor) -> Tensor:
        """Compute ``-(grad sigma . velocity) / sigma``, the rate of growth of the density of steps.

        Args:
            q: Positions ``(..., d)``.
            velocity: Their velocities ``(..., d)``.

        Returns:
            Shape ``(..., 1)``.
        """

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the numbers of ``emit_rate`` and give their offset."""
        raise TypeError(f"{type(self).__name__} has no compiled kernel")

    def emit_rate(self, builder: KernelBuilder, offset: int, q: Rows, velocity: Rows, target: str) -> None:
        """Write the rate: one statement, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled kernel")


class SymbolicMonitor(Monitor):
    """A monitor from an expression in the positions and parameters of a system."""

    def __init__(self, expression: Expression, system: HamiltonianSystem) -> None:
        """Differentiate.

        Args:
            expression: ``sigma`` in the positions of the system and the names of its parameters.
            system: The system.

        Raises:
            ValueError: If the expression cannot be read or has an unknown symbol.
        """
        super().__init__()
        d = system.degrees
        positions = list(getattr(system, "positions", None) or as_symbols([f"q{k + 1}" for k in range(d)]))
        self.symbols: list[sympy.Symbol] = list(getattr(system, "parameter_symbols", []))
        sigma = parse(expression, "monitor")
        require_known(
            {"monitor": sigma}, [*positions, *self.symbols], "a monitor is a function of the positions"
        )
        speeds = [sympy.Dummy(f"velocity_{k}", real=True) for k in range(d)]
        growth = [sympy.diff(sigma, s) / sigma * v for s, v in zip(positions, speeds, strict=True)]
        self._sigma = SymbolicFunction([sigma], positions, self.symbols)
        self._rate = SymbolicFunction([-sum(growth)], [*positions, *speeds], self.symbols)
        self.text, self.system = str(sigma), system

    def _values(self, like: Tensor) -> Tensor:
        values: Tensor = self.system.values() if self.symbols else like.new_zeros(0)  # type: ignore[operator]
        return values

    def sigma(self, q: Tensor) -> Tensor:
        """Compute ``sigma`` at positions ``(..., d)``, shape ``(..., 1)``."""
        return self._sigma(q, self._values(q))

    def rate(self, q: Tensor, velocity: Tensor) -> Tensor:
        """Compute ``-(grad sigma . velocity) / sigma``, shape ``(..., 1)``."""
        return self._rate(torch.cat((q, velocity), -1), self._values(q))

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the parameters of the system and give their offset."""
        return builder.parameter(self._values(torch.zeros(0, dtype=torch.float64)))

    def emit_rate(self, builder: KernelBuilder, offset: int, q: Rows, velocity: Rows, target: str) -> None:
        """Write the rate: one statement, ``{}`` standing for its value."""
        self._rate.emit(builder, [*q, *velocity], offset, [target])

    def extra_repr(self) -> str:
        """Show the expression."""
        return self.text


class FunctionMonitor(Monitor):
    """A monitor from a torch function of positions ``(..., d)`` with values ``(...)``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """Wrap.

        Args:
            function: ``sigma``, differentiable; an ``nn.Module`` keeps its parameters.
        """
        super().__init__()
        self.function = function

    def sigma(self, q: Tensor) -> Tensor:
        """Compute ``sigma`` at positions ``(..., d)``, shape ``(..., 1)``."""
        value = self.function(q)
        if value.shape != q.shape[:-1]:
            raise ValueError(
                f"monitor: expected shape {tuple(q.shape[:-1])} at positions {tuple(q.shape)}, got "
                f"{tuple(value.shape)}"
            )
        return value[..., None]

    def rate(self, q: Tensor, velocity: Tensor) -> Tensor:
        """Compute ``-(grad sigma . velocity) / sigma``, shape ``(..., 1)``."""
        flat_q, flat_v = q.reshape(-1, q.shape[-1]), velocity.reshape(-1, q.shape[-1])

        def logarithm(x: Tensor) -> Tensor:
            return torch.log(self.sigma(x)).squeeze(-1)

        slope = torch.func.vmap(torch.func.grad(logarithm))(flat_q)
        return -(slope * flat_v).sum(-1, keepdim=True).reshape(*q.shape[:-1], 1)

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """There is no code of a Python function."""
        raise TypeError("the monitor is a Python function; give it as an expression")


def as_monitor(monitor: Any, system: HamiltonianSystem) -> Monitor:
    """Turn an expression or a function into a monitor.

    Args:
        monitor: An expression in the positions, a torch function of positions, or a monitor.
        system: The system.

    Returns:
        The monitor.
    """
    if isinstance(monitor, Monitor):
        return monitor
    return FunctionMonitor(monitor) if callable(monitor) else SymbolicMonitor(monitor, system)
