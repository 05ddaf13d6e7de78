"""The one interface of everything that moves a state forward."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from ._state import StateSpace
from ._status import Status

if TYPE_CHECKING:
    from .composition import Composition

Carry = Any
Constants = Any


class FlowMap(nn.Module, ABC):
    """A map ``x -> y`` on a state space that advances time by ``h``.

    A subclass says how a state becomes its working form (``start``), how the working form moves one step
    (``advance``) and how it is read out (``finish``). The working form, called the carry, may hold what the
    next step would otherwise compute again: momenta instead of velocities, a force already evaluated. It is a
    tensor or a tuple of tensors. What does not change along a trajectory, such as an inertia and its inverse
    built from learned parameters, comes from ``constants``, once per trajectory.

    Attributes:
        space: Layout of the states.
        h: Step length in the unit of time of the model.
        control_size: Number of control inputs, 0 for none.
        order: Order of accuracy, or ``None`` when the map approximates no differential equation.
        symplectic: Whether the map preserves the symplectic form when it is not forced.
        reversible: Whether flipping the velocities turns the map into its inverse.
        symmetric: Whether the map is its own adjoint: the step with ``-h`` is its inverse.
        energy_preserving: Whether the energy is kept to rounding.
        differentiable: Whether a step can be differentiated.
        evaluations: Evaluations of the force or field in a step; ``None`` where their number varies.
        exact: Whether it is the exact flow of a system, or of a part of one.
        step_in_carry: Whether the carry depends on ``h``, so that the same map at another step cannot take
            it over.
    """

    space: StateSpace
    h: float
    control_size: int = 0
    order: int | None = None
    symplectic: bool = False
    reversible: bool = False
    symmetric: bool = False
    energy_preserving: bool = False
    differentiable: bool = True
    evaluations: int | None = None
    exact: bool = False
    step_in_carry: bool = False

    @property
    def duration(self) -> float:
        """Time that passes in a step: ``h``, but for maps such as a kick that act at one instant."""
        return self.h

    def __matmul__(self, other: FlowMap) -> Composition:
        """Compose: ``(a @ b)(x) = a(b(x))``."""
        if not isinstance(other, FlowMap):
            return NotImplemented
        from .composition import compose

        return compose(self, other)

    def constants(self) -> Constants:
        """Compute what stays the same along a trajectory from the parameters.

        Returns:
            Anything that the other methods want to be given back.
        """
        return None

    def prepare(self, controls: Tensor | None, constants: Constants) -> Tensor | None:
        """Turn controls into the form that ``advance`` takes, for one step or for many at once.

        Args:
            controls: Inputs ``(..., m)``, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            A tensor with the same leading dimensions, or ``None``.
        """
        return controls

    def start(self, x: Tensor, constants: Constants) -> Carry:
        """Turn states ``(..., n)`` into the carry.

        Args:
            x: States ``(..., n)``.
            constants: What ``constants`` returned.

        Returns:
            The carry.
        """
        return x

    @abstractmethod
    def advance(self, carry: Carry, control: Tensor | None, constants: Constants) -> Carry:
        """Move the carry by one step.

        Args:
            carry: What ``start`` or ``advance`` returned.
            control: What ``prepare`` made of the inputs held over the step, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The carry one step later.
        """

    def try_advance(self, carry: Carry, control: Tensor | None, constants: Constants) -> tuple[Carry, Tensor]:
        """Like ``advance``, but report failures per trajectory in place of raising.

        Args:
            carry: What ``start`` or ``advance`` returned.
            control: What ``prepare`` made of the inputs held over the step, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The carry one step later, and codes of ``Status`` ``(...)``.
        """
        carry = self.advance(carry, control, constants)
        finite = torch.isfinite(self.finish(carry, constants)).all(-1)
        return carry, torch.where(finite, int(Status.OK), int(Status.NON_FINITE)).to(torch.int8)

    def finish(self, carry: Carry, constants: Constants) -> Tensor:
        """Read the states ``(..., n)`` out of a carry; leading dimensions of stacked carries are kept.

        Args:
            carry: A carry, or carries stacked along new leading dimensions.
            constants: What ``constants`` returned.

        Returns:
            States ``(..., n)``.
        """
        return carry

    def forward(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Advance states by one step.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` held constant over the step.

        Returns:
            States ``(..., n)`` one step later.
        """
        self.check_inputs(x, control)
        return self._one_step(x, control, self.constants())

    def _one_step(self, x: Tensor, control: Tensor | None, constants: Constants) -> Tensor:
        carry = self.start(_with_batch_of(x, control), constants)
        return self.finish(self.advance(carry, self.prepare(control, constants), constants), constants)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step.

        Args:
            y: States ``(..., n)``.
            control: The inputs that were held over the step.

        Returns:
            The states from which ``forward`` leads to ``y``.

        Raises:
            NotImplementedError: If the map has no known inverse.
        """
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def adjoint(self) -> FlowMap:
        """Give the adjoint map, the inverse of the step with ``-h``; a symmetric map is its own.

        Returns:
            The adjoint map.

        Raises:
            NotImplementedError: If it is not known.
        """
        if self.symmetric:
            return self
        raise NotImplementedError(f"{type(self).__name__} has no known adjoint")

    def unroll(self, x0: Tensor, controls: Tensor | None = None, steps: int | None = None) -> Tensor:
        """Predict the next states, differentiably, keeping the graph of every step.

        Args:
            x0: States ``(..., n)``.
            controls: Inputs of each step ``(steps, ..., m)``.
            steps: Number of steps; taken from ``controls`` when those are given.

        Returns:
            States ``(steps, ..., n)``, the first one step after ``x0``.

        Raises:
            ValueError: If neither or contradictory numbers of steps are given.
        """
        if controls is not None and steps is not None and controls.shape[0] != steps:
            raise ValueError(
                f"controls: expected shape ({steps}, ..., {self.control_size}), got {tuple(controls.shape)}"
            )
        count = controls.shape[0] if controls is not None else steps
        if count is None or count < 1:
            raise ValueError(f"steps: expected at least 1 step, or controls, got steps={steps}")
        first = None if controls is None else controls[0]
        self.check_inputs(x0, first)
        x0 = _with_batch_of(x0, first)
        constants = self.constants()
        carry = self.start(x0, constants)
        inputs = self.prepare(controls, constants)
        each = [None] * count if inputs is None else inputs.unbind(0)
        carries = []
        for control in each:
            carry = self.advance(carry, control, constants)
            carries.append(carry)
        return self.finish(stack_carries(carries), constants)

    def with_step(self, h: float) -> Self:
        """The same system at another step.

        Args:
            h: Step length; a negative one goes back in time.

        Returns:
            A shallow copy: it shares parameters, buffers and modules with this map.

        Raises:
            ValueError: If the step is zero or not finite.
        """
        if not 0 < abs(h) < float("inf"):
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
        other = copy.copy(self)
        for registry in ("_parameters", "_buffers", "_modules"):
            other.__dict__[registry] = self.__dict__[registry].copy()
        other.h = float(h)
        return other

    def check_inputs(self, x: Tensor, control: Tensor | None = None) -> None:
        """Refuse states or controls whose shape or dtype does not fit the map.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` of one step, or ``None``.

        Raises:
            ValueError: If a shape is wrong.
            TypeError: If the dtypes of states, controls and parameters differ.
        """
        if x.ndim == 0 or x.shape[-1] != self.space.size:
            raise ValueError(
                f"x: expected shape (..., {self.space.size}) for {self.space}, got {tuple(x.shape)}"
            )
        own = self.dtype
        if own is not None and x.dtype != own:
            raise TypeError(
                f"x: expected the dtype of the map, {own}, got {x.dtype}; convert the states with x.to({own})"
                f" or the map with .to({x.dtype})"
            )
        if control is None:
            return
        if self.control_size == 0:
            raise ValueError(
                f"control: expected None, since the map has no inputs, got shape {tuple(control.shape)}"
            )
        if control.ndim == 0 or control.shape[-1] != self.control_size:
            raise ValueError(
                f"control: expected shape (..., {self.control_size}), got {tuple(control.shape)}"
            )
        if control.dtype != x.dtype:
            raise TypeError(
                f"control: expected the dtype of x, {x.dtype}, got {control.dtype}; convert one of them"
            )

    @property
    def dtype(self) -> torch.dtype | None:
        """Dtype of the parameters and buffers, ``None`` if there are none."""
        for tensor in chain(self.parameters(), self.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return None


def stack_carries(carries: list[Carry]) -> Carry:
    """Stack the carries of successive steps along a new leading dimension.

    Args:
        carries: One per step: tensors, or (named) tuples of tensors and ``None``.

    Returns:
        The same structure with the steps in the first dimension.
    """
    if isinstance(carries[0], Tensor):
        return torch.stack(carries)
    blocks = [None if column[0] is None else torch.stack(column) for column in zip(*carries, strict=True)]
    return type(carries[0])(*blocks) if hasattr(carries[0], "_fields") else tuple(blocks)


def _with_batch_of(x: Tensor, control: Tensor | None) -> Tensor:
    """States in the batch shape that they have together with the controls."""
    if control is None or control.shape[:-1] == x.shape[:-1]:
        return x
    return x.expand(*torch.broadcast_shapes(x.shape[:-1], control.shape[:-1]), -1)
