"""What all numerical methods for systems share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ._flow import FlowMap
from .kernels import KernelBuilder, KernelProgram, Rows
from .systems import HamiltonianSystem, System


@dataclass
class StepCode:
    """The kernel of a method while it is written.

    Attributes:
        builder: Collects the code.
        state: Rows of the state.
        carried: Rows that the method carries from step to step beside the state.
        control: Rows of the inputs.
        verdict: Row in which an implicit step leaves the largest ``Status`` of each lane; none otherwise.
        offset: Place of the system's parameters.
    """

    builder: KernelBuilder
    state: Rows
    carried: Rows
    control: Rows
    verdict: Rows = field(default_factory=list)
    offset: int = 0


class SystemMethod(FlowMap):
    """A numerical method bound to a system.

    A subclass says in ``requires`` which systems it takes, and gives the torch step (``start``, ``advance``,
    ``finish`` of ``FlowMap``) and the kernel of a step (``emit_start``, ``emit_step``).

    Attributes:
        system: The system.
        observables: Names of what can be followed in the compiled loop, with their number of components.
        implicit: Whether a step solves equations and can fail; its kernel leaves a ``Status`` in a row.
    """

    requires: ClassVar[Any] = System
    implicit: ClassVar[bool] = False
    system: System
    observables: dict[str, int]

    def __init__(self, system: System, h: float) -> None:
        """Bind.

        Args:
            system: The system.
            h: Step; negative steps go back in time.

        Raises:
            TypeError: If the system is not of the kind that the method takes.
            ValueError: If the step is zero or not finite.
        """
        super().__init__()
        if not isinstance(system, self.requires):
            raise TypeError(
                f"system: {type(self).__name__} expects a {self.requires.__name__}, "
                f"got {type(system).__name__}"
            )
        if not 0 < abs(h) < math.inf:
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
        self.system, self.h = system, float(h)
        self.space, self.control_size = system.space, system.control_size
        self.observables = system.observables

    def __getattr__(self, name: str) -> Any:
        """Give the system's energy and invariants as methods."""
        system = self.__dict__.get("_modules", {}).get("system")
        if system is not None and name in system.observables:
            return system.energy if name == "energy" else lambda x: system.invariant(name, x)
        return super().__getattr__(name)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: a step of the adjoint method with the opposite step length."""
        back: Tensor = self.adjoint().with_step(-self.h)(y, control)
        return back

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve consecutive rows for what is carried beside the state; none by default."""
        return []

    def emit_start(self, code: StepCode) -> None:
        """Write the computation of the carried rows from the state; nothing by default."""

    def emit_step(self, code: StepCode) -> None:
        """Write one step: rows of the state and carried rows in, the same rows out."""
        raise TypeError(f"{type(self).__name__} has no compiled kernel")

    def emit_observable(self, code: StepCode, name: str, targets: list[str]) -> None:
        """Write an observed quantity of the state: one statement per component, ``{}`` for its value."""
        self.system.emit_observable(code.builder, name, code.offset, code.state, targets)

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.
        """
        b = KernelBuilder()
        state = b.rows(self.space.size)
        carried = self.emit_carried(b)
        code = StepCode(b, state, carried, b.rows(self.control_size))
        code.verdict = b.rows(1) if self.implicit else []
        observed = b.rows(max(sum(self.observables[name] for name in observables), 1))
        code.offset = self.system.emit_parameters(b)
        b.section("start")
        self.emit_start(code)
        b.section("step")
        self.emit_step(code)
        b.section("finish")
        b.section("observe")
        first = 0
        for name in observables:
            rows = observed[first : first + self.observables[name]]
            first += len(rows)
            self.emit_observable(code, name, [f"@{row} = {{}}" for row in rows])
        return KernelProgram(
            b,
            carry_size=len(state) + len(carried),
            state_row=state[0],
            state_size=len(state),
            control_row=code.control[0] if code.control else state[0],
            observed_row=observed[0],
            observed_size=first,
            checked=False,
            verdict_row=code.verdict[0] if code.verdict else None,
            controlled=bool(code.control),
            double=self.implicit,
        )


class HamiltonianMethod(SystemMethod):
    """A numerical method for Hamiltonian systems.

    Attributes:
        takes_forces: Whether it takes forces beside those of the Hamiltonian.
    """

    requires: ClassVar[Any] = HamiltonianSystem
    takes_forces: ClassVar[bool] = False
    system: HamiltonianSystem

    def __init__(self, system: HamiltonianSystem, h: float) -> None:
        """Bind.

        Args:
            system: The system.
            h: Step; negative steps go back in time.

        Raises:
            ValueError: If forces beside those of the Hamiltonian act, which the method does not know.
        """
        super().__init__(system, h)
        if system.forced and not self.takes_forces:
            raise ValueError(
                f"system: {type(self).__name__} integrates a Hamiltonian alone, but other forces act on "
                f"{system!r}; GaussLegendre and RungeKutta4 treat them"
            )

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Change the sign of the momenta, and of time."""
        d = self.system.degrees
        return torch.cat((x[..., :d], -x[..., d:]), -1)

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step in ``(q, p)`` and the symplectic form before and after it."""
        d = self.system.degrees

        def step(z: Tensor, rest: Tensor, u: Tensor | None) -> Tensor:
            return self(torch.cat((z, rest), -1), u)[..., : 2 * d]

        inputs = (x[..., : 2 * d], x[..., 2 * d :], control)
        derivative = torch.func.vmap(torch.func.jacrev(step), (0, 0, None if control is None else 0))(*inputs)
        zero, eye = x.new_zeros(d, d), torch.eye(d, dtype=x.dtype, device=x.device)
        form = torch.cat((torch.cat((zero, eye), -1), torch.cat((-eye, zero), -1)))
        return derivative, form, form
