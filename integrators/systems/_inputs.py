"""Controls of systems from expressions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy
import torch
from torch import Tensor

from ._parse import as_symbols


def parse_inputs(
    inputs: str | Sequence[str | sympy.Symbol], expressions: Iterable[sympy.Expr]
) -> list[sympy.Symbol]:
    """Read the names of controls.

    Args:
        inputs: Names in order.
        expressions: The expressions in which they act.

    Returns:
        The symbols.

    Raises:
        ValueError: If an input occurs in none of the expressions.
    """
    symbols = as_symbols(inputs)
    used = set().union(*(e.free_symbols for e in expressions))
    idle = [s.name for s in symbols if s not in used]
    if idle:
        raise ValueError(
            f"inputs: {', '.join(idle)} acts nowhere; use it in an expression or leave it out of inputs="
        )
    return symbols


def with_inputs(x: Tensor, control: Tensor | None, size: int) -> Tensor:
    """Put states and controls side by side.

    Args:
        x: States ``(..., n)``.
        control: Inputs ``(..., m)``; None stands for zero.
        size: Number ``m`` of inputs.

    Returns:
        Shape ``(..., n + m)``.

    Raises:
        ValueError: If the number of inputs is wrong.
    """
    if control is None:
        return torch.cat((x, x.new_zeros(*x.shape[:-1], size)), -1) if size else x
    if control.shape[-1] != size:
        raise ValueError(f"control: expected shape (..., {size}), got {tuple(control.shape)}")
    batch = torch.broadcast_shapes(x.shape[:-1], control.shape[:-1])
    return torch.cat((x.expand(*batch, -1), control.expand(*batch, -1)), -1)
