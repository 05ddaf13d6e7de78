"""Maps of positions and momenta in positions and velocities, as they are measured."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from integrators import FlowMap, StateSpace, vector


class VelocityFlow(FlowMap):
    """A map of a mechanical system, its states ``(q, v)`` with ``v = M^-1 p`` in place of ``(q, p)``.

    The masses are those of the map, so that measured velocities satisfy constraints whatever learned masses
    are. It is trained in place of the map, whose weights it has; rollouts are made of the map.

    Attributes:
        flow: The map of positions and momenta; its system has constant masses.
    """

    def __init__(self, flow: FlowMap) -> None:
        """Keep the map.

        Args:
            flow: A map whose ``system`` has ``inverse_mass`` and states ``(q, p)``.
        """
        super().__init__()
        self.flow, self.h = flow, flow.h
        self.control_size, self.order = flow.control_size, flow.order
        self.reversible, self.symmetric = flow.reversible, flow.symmetric
        d = flow.space.size // 2
        self.space = StateSpace(vector("q", d), vector("v", d))

    def momenta(self, x: Tensor) -> Tensor:
        """States ``(q, M v)`` of states ``(q, v)``, shape ``(..., 2 d)``."""
        q, v = x.chunk(2, -1)
        system: Any = self.flow.system
        mass = torch.linalg.inv(system.inverse_mass)
        return torch.cat((q, v @ mass), -1)

    def velocities(self, x: Tensor) -> Tensor:
        """States ``(q, M^-1 p)`` of states ``(q, p)``, shape ``(..., 2 d)``."""
        q, p = x.chunk(2, -1)
        system: Any = self.flow.system
        return torch.cat((q, system.velocity(p)), -1)

    def check_inputs(self, x: Tensor, control: Tensor | None = None) -> None:
        """Refuse states and controls that do not fit the map.

        Args:
            x: States ``(..., 2 d)``.
            control: Inputs ``(..., m)`` of one step, or ``None``.
        """
        super().check_inputs(x, control)
        self.flow.check_inputs(self.momenta(x), control)

    def constants(self) -> Any:
        """Compute what stays the same along a trajectory."""
        return self.flow.constants()

    def prepare(self, controls: Tensor | None, constants: Any) -> Tensor | None:
        """Turn controls into the form that ``advance`` takes."""
        return self.flow.prepare(controls, constants)

    def start(self, x: Tensor, constants: Any) -> Any:
        """Turn states ``(q, v)`` into the carry of the map."""
        return self.flow.start(self.momenta(x), constants)

    def advance(self, carry: Any, control: Tensor | None, constants: Any) -> Any:
        """Move the carry by one step."""
        return self.flow.advance(carry, control, constants)

    def try_advance(self, carry: Any, control: Tensor | None, constants: Any) -> tuple[Any, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        return self.flow.try_advance(carry, control, constants)

    def finish(self, carry: Any, constants: Any) -> Tensor:
        """Read the states ``(q, v)`` out of a carry."""
        return self.velocities(self.flow.finish(carry, constants))

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step."""
        return self.velocities(self.flow.inverse(self.momenta(y), control))

    def with_step(self, h: float) -> Self:
        """The same map at another step, which shares its parameters."""
        other = super().with_step(h)
        other.flow = self.flow.with_step(h)
        return other
