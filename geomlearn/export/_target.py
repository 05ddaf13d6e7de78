"""What is exported: a function of states and inputs, its names, and states to try it on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from integrators import FlowMap, StateSpace
from integrators.systems import System

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Target:
    """A quantity of a model as a function of states, and of inputs where the quantity depends on them.

    Attributes:
        model: The flow map or system.
        quantity: ``"step"``, ``"field"`` or the name of a method of the model.
        steps: Number of steps that are unrolled, or ``None``.
        controlled: Whether inputs are the second argument.
        dtype: Floating-point type.
    """

    model: nn.Module
    quantity: str
    steps: int | None
    controlled: bool
    dtype: torch.dtype

    @property
    def space(self) -> StateSpace:
        """Layout of the states."""
        space: StateSpace = self.model.space  # type: ignore[assignment]
        return space

    @property
    def controls(self) -> int:
        """Number of inputs."""
        return int(self.model.control_size)  # type: ignore[arg-type]

    @property
    def inputs(self) -> list[str]:
        """Names of the arguments of the graph."""
        return ["state", "controls"] if self.controlled else ["state"]

    @property
    def output(self) -> str:
        """Name of the result of the graph."""
        if self.quantity == "step":
            return "next_state" if self.steps is None else "states"
        return self.quantity

    def function(self, model: nn.Module) -> Function:
        """Take the quantity of a model of the same structure.

        Args:
            model: The model, or a copy.

        Returns:
            A function of states ``(..., n)`` and, where they matter, inputs.
        """
        if self.quantity != "step":
            method: Function = getattr(model, self.quantity)
            return method
        if self.steps is None:
            return model
        unroll: Function = model.unroll  # type: ignore[assignment]
        return unroll if self.controlled else partial(unroll, steps=self.steps)

    def samples(self, batch: int, example: Tensor | None) -> tuple[Tensor, ...]:
        """Make arguments to trace or to compare with.

        Args:
            batch: Number of states.
            example: States ``(..., n)`` from which they are taken, or ``None`` for random ones.

        Returns:
            States ``(batch, n)``, and inputs ``(batch, m)`` or ``(steps, batch, m)`` where they matter.
        """
        generator = torch.Generator().manual_seed(batch)
        if example is None:
            x = self._random_states(batch, generator)
        else:
            rows = example.detach().reshape(-1, example.shape[-1]).to(self.dtype)
            x = rows[torch.arange(batch) % len(rows)]
        if not self.controlled:
            return (x,)
        lead = (batch,) if self.steps is None else (self.steps, batch)
        u = torch.randn(*lead, self.controls, generator=generator, dtype=torch.float64)
        return x, (0.3 * u).to(self.dtype)

    def _random_states(self, batch: int, generator: torch.Generator) -> Tensor:
        blocks = []
        for part in self.space.parts:
            if part.manifold is None:
                block = 0.5 * torch.randn(batch, part.size, generator=generator, dtype=torch.float64)
            else:
                block = part.manifold.random(batch, generator=generator, dtype=torch.float64)
            blocks.append(block.reshape(batch, part.size).to(self.dtype))
        return torch.cat(blocks, -1)


def choose_target(model: nn.Module, quantity: str | None, steps: int | None) -> Target:
    """Check what is asked for.

    Args:
        model: A flow map or a system.
        quantity: Name of the quantity, or ``None`` for a step or a field.
        steps: Number of steps, or ``None``.

    Returns:
        The target.

    Raises:
        TypeError: If the model is neither a flow map nor a system.
        ValueError: If the model has no such quantity, or the number of steps is not positive.
    """
    if not isinstance(model, FlowMap | System):
        raise TypeError(
            f"model: expected a flow map or a system, got {type(model).__name__}; wrap a module that is a"
            " field with ModuleField(module, size=...), an energy with ModuleHamiltonian(module, degrees=...)"
        )
    observables: dict[str, int] = getattr(model, "observables", {})
    named = ["step" if isinstance(model, FlowMap) else "field", *observables]
    quantity = named[0] if quantity is None else quantity
    if quantity not in named and not callable(getattr(type(model), quantity, None)):
        raise ValueError(f"quantity: expected one of {named} for {type(model).__name__}, got {quantity!r}")
    if steps is not None and quantity != "step":
        raise ValueError(f"steps: expected None for the quantity {quantity!r}, got {steps}")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"steps: expected None for one step, or an integer of at least 1, got {steps!r}")
    controlled = model.control_size > 0 and quantity in ("step", "field")
    return Target(model, quantity, steps, controlled, _dtype(model))


def frozen(model: nn.Module) -> nn.Module:
    """Copy a flow map in which what does not change along a trajectory is computed once, now.

    Args:
        model: A flow map or a system.

    Returns:
        A shallow copy with the same parameters, in evaluation mode as the model is; a system as it is.
    """
    if not isinstance(model, FlowMap):
        return model
    with torch.no_grad():
        constants = model.constants()
    other = copy.copy(model)
    other.__dict__["constants"] = lambda: constants
    return other


def _dtype(model: nn.Module) -> torch.dtype:
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float64
