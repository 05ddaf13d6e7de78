"""Functions decorated with ``numba.njit`` in systems: in torch and in kernels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from ..kernels import KernelBuilder, Rows
from ._numba_source import read_source
from ._numba_text import kernel_function, torch_function

TIME = "t"


class NumbaFunction:
    """A user's function ``f(q)``, ``f(q, t)`` or ``f(q, k, ...)`` of one state, its first argument a tuple.

    Its source is translated twice: for tensors, with torch in place of ``math``, differentiably; and into the
    text of kernels, with the library's vector functions.
    """

    def __init__(self, function: Any, name: str, size: int, parameters: Collection[str]) -> None:
        """Translate the function and try it.

        Args:
            function: What ``numba.njit`` returned. Its first argument is a tuple of ``size`` numbers, one
                named ``t`` is time, others are parameters. It returns a number or a tuple of numbers.
            name: Name of the argument of ours that it was given for, for messages.
            size: Number of entries of the first argument.
            parameters: Names of the known parameters.

        Raises:
            ValueError: If an argument has no value.
        """
        self.source = read_source(function, name)
        self.function, self.name, self.size, self.parameters = function, name, size, list(parameters)
        arguments = self.source.arguments
        self.extra = arguments[1:]
        unknown = [a for a in self.extra if a != TIME and a not in parameters]
        if not arguments or unknown:
            raise ValueError(
                f"{self.source.name}: expected a tuple of {size} numbers and arguments that have a value, got"
                f" the arguments {', '.join(arguments) or '()'}; the first is the tuple, t is time,"
                f' others get values by parameters={{"{(unknown or ["k"])[0]}": value}}'
            )
        self.timed = TIME in self.extra
        self._torch = torch_function(self.source)
        kernel_function(self.source, {})
        self.count = self._try()

    def _try(self) -> int | None:
        """Number of entries of the result; ``None`` for a number."""
        values = [
            torch.tensor(0.3 + 0.5 * ((0.618 * k) % 1.0), dtype=torch.float64) for k in range(self.size)
        ]
        result = self._call(tuple(values), dict.fromkeys(self.extra, values[0]))
        return len(result) if isinstance(result, tuple) else None

    @property
    def returns(self) -> str:
        """What the function returns, in words."""
        return "a number" if self.count is None else f"a tuple of {self.count}"

    def _call(self, first: tuple[Tensor, ...], extra: dict[str, Tensor]) -> Any:
        try:
            return self._torch(first, *(extra[name] for name in self.extra))
        except RuntimeError as error:
            if "Boolean value of Tensor" not in str(error) and "data-dependent" not in str(error):
                raise
            raise TypeError(
                f"{self.source.name} branches on values, which torch can do for one state only, not for"
                " batches; write 'a if condition else b' or numpy.where, of which both sides are computed, or"
                " run with backend='numba'"
            ) from error

    def __call__(self, first: Tensor, t: Tensor | None, parameters: dict[str, Tensor]) -> Tensor:
        """Compute in torch.

        Args:
            first: States ``(..., size)``.
            t: Times ``(..., 1)``, where the function takes them.
            parameters: Values by name.

        Returns:
            Shape ``(...)`` for a function that returns a number, else ``(..., entries)``.

        Raises:
            TypeError: If the function branches on the values of a batch, or returns something else.
        """
        clock = {} if t is None else {TIME: t[..., 0]}
        result = self._call(first.unbind(-1), parameters | clock)
        like = first[..., 0]
        if self.count is None:
            return _filled(result, like, self.source.name)
        return torch.stack([_filled(value, like, self.source.name) for value in result], -1)

    def call(
        self, builder: KernelBuilder, first: Rows, t: Rows, places: dict[str, int], size: int
    ) -> tuple[str, list[str]]:
        """Text of a call in a loop over the lanes of a kernel.

        Args:
            builder: The kernel under construction.
            first: Rows of the first argument.
            t: Row of time, where the function takes it.
            places: Where parameters are in ``P``, by name.
            size: Number of entries of the result, 1 for a number.

        Returns:
            A statement, and the names that it gives to the entries of the result.
        """
        function = kernel_function(self.source, builder.functions)
        extra = [f"@{t[0]}" if a == TIME else builder.number(places[a]) for a in self.extra]
        arguments = ", ".join([f"({', '.join(f'@{row}' for row in first)},)", *extra])
        names = [f"{function}_{k}" for k in range(size)]
        left = names[0] if self.count is None else f"({', '.join(names)},)"
        return f"{left} = {function}({arguments})", names

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and send the function itself; it is translated anew."""
        return NumbaFunction, (self.function, self.name, self.size, self.parameters)


def _filled(value: Any, like: Tensor, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.to(like.dtype).expand(torch.broadcast_shapes(value.shape, like.shape))
    if isinstance(value, (int, float)):
        return torch.full_like(like, value)
    raise TypeError(f"{name}: expected a number or a tuple of numbers, got {type(value).__name__}")
