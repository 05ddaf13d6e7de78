"""What the kernels of rigid bodies share: rows and parameters, forces, observables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..kernels import KernelBuilder, KernelPotential, KernelProgram, Rows
from ._kernel_text import XYZ, cross_lines, cross_row, dot_text, names, read, times, write

if TYPE_CHECKING:
    from ._body import RigidBody


@dataclass
class CarryRows:
    """Rows of a carry.

    Attributes:
        rotation: The 9 entries of ``R``.
        pi: Body momentum.
        torque: Body torque of the potential.
        position: ``x``, none on SO(3).
        momentum: ``m v``, none on SO(3).
        force: World force of the potential, none on SO(3).
        gain: Flattened input gain where it varies.
    """

    rotation: Rows
    pi: Rows
    torque: Rows
    position: Rows
    momentum: Rows
    force: Rows
    gain: Rows

    @property
    def all(self) -> Rows:
        """All rows, consecutive."""
        return [
            *self.rotation,
            *self.pi,
            *self.torque,
            *self.position,
            *self.momentum,
            *self.force,
            *self.gain,
        ]


class BodyKernel(ABC):
    """Builds the program of a map of rigid bodies; call ``build`` once."""

    checked = True
    control: Rows

    def __init__(self, flow: RigidBody, observables: list[str]) -> None:
        """Reserve rows and parameters.

        Args:
            flow: The map, whose slots must be kernel-ready.
            observables: Names of the observed values.
        """
        self.flow, self.observables = flow, observables
        self.builder = b = KernelBuilder()
        self.translates = flow.translates
        self.now = self._carry_rows()
        self.state = self.control = b.rows(flow.space.size)
        self.constants = k = flow.constants()
        self.inertia = b.parameter(k.inertia)
        self.inverse = b.parameter(torch.linalg.inv(k.inertia.double()))
        self.mass = None if k.mass is None else b.parameter(k.mass)

    @property
    def _gain_size(self) -> int:
        """Entries of an input gain that varies."""
        return 0

    def _carry_rows(self) -> CarryRows:
        b, m = self.builder, 3 if self.translates else 0
        return CarryRows(
            b.rows(9), b.rows(3), b.rows(3), b.rows(m), b.rows(m), b.rows(m), b.rows(self._gain_size)
        )

    def build(self) -> KernelProgram:
        """Write all sections."""
        self._emit_start()
        self._emit_step()
        self._emit_finish()
        observed = self._emit_observables()
        return KernelProgram(
            self.builder,
            carry_size=len(self.now.all),
            state_row=self.state[0],
            state_size=len(self.state),
            control_row=self.control[0],
            observed_row=observed[0] if observed else 0,
            observed_size=len(observed),
            checked=self.checked,
        )

    @abstractmethod
    def _emit_step(self) -> None:
        """Write one step on the rows ``now``."""

    def _load_constants(self) -> None:
        b = self.builder
        b.load(names("J", 9), self.inertia)
        b.load(names("K", 9), self.inverse)
        if self.mass is not None:
            b.load(["mass"], self.mass)

    def _state_rows(self, part: str) -> Rows:
        return self.state[self.flow.space.slices[part]]

    def _emit_start(self) -> None:
        b, now = self.builder, self.now
        b.section("start")
        self._load_constants()
        omega = [f"@{row}" for row in self._state_rows("omega")]
        lines = [
            write(now.rotation, [f"@{row}" for row in self._state_rows("R")]),
            write(now.pi, [dot_text(names("J", 9)[3 * i : 3 * i + 3], omega) for i in XYZ]),
        ]
        if self.translates:
            lines.append(write(now.position, [f"@{row}" for row in self._state_rows("x")]))
            lines.append(write(now.momentum, [f"mass * @{row}" for row in self._state_rows("v")]))
        b.lanes(*lines)
        self._emit_forces(now)

    def _emit_finish(self) -> None:
        b, now = self.builder, self.now
        b.section("finish")
        self._load_constants()
        lines = [write(self._state_rows("R"), [f"@{row}" for row in now.rotation]), read("p", now.pi)]
        lines.append(write(self._state_rows("omega"), times("K", names("p"))))
        if self.translates:
            lines.append(write(self._state_rows("x"), [f"@{row}" for row in now.position]))
            lines.append(write(self._state_rows("v"), [f"@{row} / mass" for row in now.momentum]))
        b.lanes(*lines)

    def _emit_forces(self, at: CarryRows) -> None:
        """Torque and force of the potential at a configuration."""
        b, potential = self.builder, self.flow.potential
        if not isinstance(potential, KernelPotential):
            raise TypeError(f"{type(potential).__name__} has no kernel code")
        slope_x, slope_r = potential.emit_gradient(b, at.position, at.rotation)
        rows = [cross_row(at.rotation, slope_r, i) for i in XYZ]
        b.lanes(write(at.torque, rows))
        if self.translates:
            b.lanes(write(at.force, [f"-@{row}" for row in slope_x]))

    def _emit_observables(self) -> Rows:
        b = self.builder
        b.section("observe")
        self._load_constants()
        sizes = {name: self.flow.observables[name] for name in self.observables}
        observed = b.rows(sum(sizes.values()))
        first = 0
        for name, size in sizes.items():
            getattr(self, f"_observe_{name}")(observed[first : first + size])
            first += size
        return observed

    def _observe_potential_energy(self, target: Rows) -> None:
        potential = self.flow.potential
        if not isinstance(potential, KernelPotential):
            raise TypeError(f"{type(potential).__name__} has no kernel code")
        value = potential.emit_value(self.builder, self.now.position, self.now.rotation)
        self.builder.lanes(f"@{target[0]} = @{value}")

    def _observe_kinetic_energy(self, target: Rows) -> None:
        lines = [read("p", self.now.pi)]
        lines.append(f"t = 0.5 * ({dot_text(names('p'), [f'({text})' for text in times('K', names('p'))])})")
        if self.translates:
            momentum = [f"@{row}" for row in self.now.momentum]
            lines.append(f"t = t + 0.5 * ({dot_text(momentum, momentum)}) / mass")
        self.builder.lanes(*lines, f"@{target[0]} = t")

    def _observe_energy(self, target: Rows) -> None:
        self._observe_potential_energy(target)
        kinetic = self.builder.rows(1)
        self._observe_kinetic_energy(kinetic)
        self.builder.lanes(f"@{target[0]} = @{target[0]} + @{kinetic[0]}")

    def _observe_momentum(self, target: Rows) -> None:
        now = self.now
        lines = [read("p", now.pi)]
        spun = [dot_text([f"@{row}" for row in now.rotation[3 * i : 3 * i + 3]], names("p")) for i in XYZ]
        lines += [f"t{i} = {text}" for i, text in enumerate(spun)]
        if self.translates:
            lines += [read("x", now.position), read("g", now.momentum), cross_lines("c", "x", "g")]
            lines.append(write(target[:3], names("g")))
            lines.append(write(target[3:], [f"t{i} + c{i}" for i in XYZ]))
        else:
            lines.append(write(target, names("t")))
        self.builder.lanes(*lines)

    def _observe_orthogonality(self, target: Rows) -> None:
        columns = [[f"@{self.now.rotation[3 * i + j]}" for i in XYZ] for j in XYZ]
        lines = ["worst = 0.0"]
        for i in XYZ:
            for j in range(i + 1):
                goal = "1.0" if i == j else "0.0"
                lines.append(f"worst = max(worst, abs({dot_text(columns[i], columns[j])} - {goal}))")
        self.builder.lanes(*lines, f"@{target[0]} = worst")
