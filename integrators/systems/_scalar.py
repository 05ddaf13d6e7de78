"""Functions with one value for each vector, from modules and torch callables."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn

from ..kernels import EmittedLayers, KernelBuilder, KernelPotential, Rows, emit_network


class Scalar(nn.Module):
    """A function of vectors ``(..., n)`` with values ``(...)``, its gradient, and its kernel code, if any.

    The gradient is that of automatic differentiation, unless the callable has a method ``gradient``.
    """

    def __init__(self, function: Callable[..., Tensor], size: int, name: str) -> None:
        """Keep the callable and try it.

        Args:
            function: Maps ``(..., n)`` to ``(...)`` or ``(..., 1)``, each batch element on its own; the
                parameters of a module are registered.
            size: Number ``n`` of entries of a vector.
            name: Name of the argument, for messages.

        Raises:
            TypeError: If it cannot be called, or returns no tensor.
            ValueError: If its values have another shape.
        """
        super().__init__()
        if not callable(function):
            raise TypeError(
                f"{name}: expected a module or a torch function of vectors (..., {size}), got {function!r}"
            )
        self.function, self.size, self.name = function, size, name
        with torch.no_grad():
            self(sample((2,), size, self))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the values.

        Args:
            x: Vectors ``(..., n)``.

        Returns:
            Shape ``(...)``.

        Raises:
            TypeError: If the callable returns no tensor.
            ValueError: If its values have another shape.
        """
        value = self.function(x)
        if not isinstance(value, Tensor):
            raise TypeError(f"{self.name}: expected a tensor, got {type(value).__name__}")
        if value.shape == x.shape[:-1]:
            return value
        if value.shape == (*x.shape[:-1], 1):
            return value.squeeze(-1)
        raise ValueError(
            f"{self.name}: expected values of shape {tuple(x.shape[:-1])} for vectors of shape"
            f" {tuple(x.shape)}, got {tuple(value.shape)}; sum over the last dimension alone"
        )

    def gradient(self, x: Tensor) -> Tensor:
        """Compute the derivatives.

        Args:
            x: Vectors ``(..., n)``.

        Returns:
            Shape ``(..., n)``.

        Raises:
            ValueError: If the callable's own gradient has another shape.
        """
        own = getattr(self.function, "gradient", None)
        if not callable(own):
            return torch.func.grad(lambda y: self(y).sum())(x)
        slope: Tensor | tuple[Tensor, ...] = own(x)
        slope = slope[0] if isinstance(slope, tuple) else slope
        if slope.shape != x.shape:
            raise ValueError(
                f"{self.name}: expected a gradient of shape {tuple(x.shape)}, got {tuple(slope.shape)}"
            )
        return slope

    def emit_value(self, builder: KernelBuilder, x: Rows) -> int:
        """Add kernel code for the value and return its row; ``TypeError`` says why there is none."""
        if isinstance(self.function, KernelPotential):
            return self.function.emit_value(builder, x, [])
        return self._network(builder).emit_forward(x)[0]

    def emit_gradient(self, builder: KernelBuilder, x: Rows) -> Rows:
        """Add kernel code for the gradient and return its rows; ``TypeError`` says why there is none."""
        if isinstance(self.function, KernelPotential):
            return self.function.emit_gradient(builder, x, [])[0]
        network = self._network(builder)
        network.emit_forward(x)
        return network.emit_backward()

    def _network(self, builder: KernelBuilder) -> EmittedLayers:
        try:
            return emit_network(builder, self.function)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from error


class Called(nn.Module):
    """A callable as a module, so that the parameters of one that is a module are registered."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        """Keep the callable.

        Args:
            function: The callable.
        """
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Tensor:
        """Call it."""
        return self.function(*x)


def require_count(name: str, value: int, least: int = 1) -> None:
    """Refuse what is no number of something.

    Args:
        name: Name of the argument.
        value: The number.
        least: The smallest one.

    Raises:
        ValueError: If it is no integer or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")


def sample(batch: tuple[int, ...], size: int, like: nn.Module) -> Tensor:
    """Vectors on which a callable is tried, in the dtype and on the device of a module's parameters.

    Args:
        batch: Batch shape.
        size: Number of entries of a vector.
        like: The module.

    Returns:
        Vectors ``(*batch, size)`` between 0.3 and 0.8, all entries different.
    """
    numbers = (t for t in chain(like.parameters(), like.buffers()) if t.is_floating_point())
    tensor = next(numbers, torch.zeros((), dtype=torch.float64))
    entries = torch.arange(1, torch.Size([*batch, size]).numel() + 1, dtype=tensor.dtype)
    return (0.3 + (0.6180339887 * entries) % 0.5).reshape(*batch, size).to(tensor.device)
