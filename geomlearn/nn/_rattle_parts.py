"""Parts of networks on constraint manifolds: potentials, masses, constraints, and what files say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
import torch
from sympy.printing.str import StrPrinter
from torch import Tensor, nn

from integrators.kernels import KernelBuilder, Rows
from integrators.systems import InverseMass, Scalar

from ._mlp import MLP
from ._slot_config import Description, describe_slot, fill_slot


class MeanPotential(nn.Module):
    """``sum_i c_i V_i / sum_i c_i``: what substeps of lengths ``c_i h`` with potentials ``V_i`` see together.

    By the Baker-Campbell-Hausdorff formula it is the leading term of the potential whose motion a composition
    of such substeps follows.
    """

    def __init__(self, potentials: Sequence[Scalar], fractions: Sequence[Tensor]) -> None:
        """Keep the terms.

        Args:
            potentials: ``V_i``.
            fractions: ``c_i``; parameters stay trained ones.
        """
        super().__init__()
        self.potentials = nn.ModuleList(potentials)
        self.learned = isinstance(fractions[0], nn.Parameter)
        if self.learned:
            self.fractions = nn.ParameterList(fractions)
        else:
            self.register_buffer("fixed", torch.stack(list(fractions)))

    def weights(self) -> Tensor:
        """``c_i / sum c_i``, shape ``(substeps,)``."""
        each: Tensor = torch.stack(list(self.fractions)) if self.learned else self.get_buffer("fixed")
        return each / each.sum()

    def forward(self, q: Tensor) -> Tensor:
        """Compute the mean potential at positions ``(..., d)``, shape ``(...)``."""
        return torch.stack([potential(q) for potential in self.potentials], -1) @ self.weights()

    def gradient(self, q: Tensor) -> Tensor:
        """Compute its slope at positions ``(..., d)``, in the same shape."""
        slopes = [potential.gradient(q) for potential in self._scalars()]
        return torch.stack(slopes, -1) @ self.weights()

    def _scalars(self) -> list[Scalar]:
        return [potential for potential in self.potentials if isinstance(potential, Scalar)]

    def emit_value(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> int:
        """Add kernel code for the value and return its row."""
        total, place = builder.rows(1)[0], builder.parameter(self.weights())
        builder.lanes(f"@{total} = 0.0")
        for k, potential in enumerate(self._scalars()):
            value = potential.emit_value(builder, position)
            builder.lanes(f"@{total} += {builder.number(place + k)} * @{value}")
        return total

    def emit_gradient(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        """Add kernel code for the slope and return its rows; there are none for a rotation."""
        total, place = builder.rows(len(position)), builder.parameter(self.weights())
        builder.lanes(*[f"@{row} = 0.0" for row in total])
        for k, potential in enumerate(self._scalars()):
            slope = potential.emit_gradient(builder, position)
            pairs = zip(total, slope, strict=True)
            builder.lanes(*[f"@{row} += {builder.number(place + k)} * @{s}" for row, s in pairs])
        return total, []


def draw_potentials(
    count: int,
    sizes: Sequence[int],
    activation: str,
    gain: float,
    dtype: torch.dtype,
    generator: torch.Generator | None,
) -> list[nn.Module]:
    """Draw perceptrons.

    Args:
        count: How many.
        sizes: Widths from input to output.
        activation: Activation between the layers.
        gain: Factor on the last layers.
        dtype: Floating-point type.
        generator: Source of the random weights.

    Returns:
        The perceptrons.
    """
    return [MLP(sizes, activation, gain, dtype, generator) for _ in range(count)]


def describe_mass(mass: InverseMass) -> Description:
    """Plain description of a mass; known numbers are weights.

    Args:
        mass: The mass.

    Returns:
        A dictionary of JSON values.
    """
    if mass.source is not None:
        return {"type": "module", "module": describe_slot("mass", mass.source)}
    kind, value = ("constant", mass.inverse) if mass.value is None else ("parameter", mass.value)
    return {"type": kind, "shape": list(value.shape)}


def make_mass(description: Description) -> Any:
    """Make again what ``describe_mass`` described, with placeholders for the numbers.

    Args:
        description: What it returned.

    Returns:
        A mass.
    """
    if description["type"] == "module":
        return fill_slot(description["module"])
    shape = description["shape"]
    ones = torch.ones(shape, dtype=torch.float64)
    value = torch.diag_embed(ones[0]) if len(shape) == 2 else ones
    return nn.Parameter(value) if description["type"] == "parameter" else value


def describe_constraints(constraints: Any) -> Any:
    """Plain description of constraints.

    Args:
        constraints: Expressions by name or in a list, or a function.

    Returns:
        Texts by name, or the configuration of a module.

    Raises:
        TypeError: If they are a function that is no registered module.
    """
    if isinstance(constraints, nn.Module):
        return {"module": describe_slot("constraints", constraints)}
    if callable(constraints):
        raise TypeError(
            "constraints: a function in torch cannot be written to a file; give expressions of q1, q2, ...,"
            " or a module of a class registered with geomlearn.training.register(...)"
        )
    if not isinstance(constraints, Mapping):
        constraints = {f"g{k + 1}": e for k, e in enumerate(constraints)}
    return {"texts": {name: _text(e) for name, e in constraints.items()}}


def make_constraints(description: Any) -> Any:
    """Make again what ``describe_constraints`` described.

    Args:
        description: What it returned.

    Returns:
        Constraints.
    """
    return description["texts"] if "texts" in description else fill_slot(description["module"])


class _Printer(StrPrinter):  # type: ignore[misc]
    """Prints numbers with all their digits."""

    def _print_Float(self, expression: sympy.Float) -> str:
        return repr(float(expression))


def _text(expression: Any) -> str:
    return expression if isinstance(expression, str) else str(_Printer().doprint(expression))
