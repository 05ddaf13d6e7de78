"""Kernel code of the rigid-body integrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._status import Status
from ..kernels import KernelBuilder, KernelField, KernelPotential, KernelProgram, Rows, emit_linear_solve
from ._kernel_newton import NewtonCode
from ._kernel_text import (
    TURN_FACTOR,
    XYZ,
    cross_lines,
    cross_row,
    dot_text,
    names,
    read,
    times,
    turn_text,
    write,
)

if TYPE_CHECKING:
    from ._rigid_body import RigidBodyIntegrator


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


class RigidBodyKernel:
    """Builds the program of one integrator; call ``build`` once."""

    def __init__(self, flow: RigidBodyIntegrator, observables: list[str]) -> None:
        """Reserve rows and parameters.

        Args:
            flow: The integrator, whose slots must be kernel-ready.
            observables: Names of the observed values.
        """
        self.flow, self.observables = flow, observables
        self.builder = b = KernelBuilder()
        self.translates = flow.translates
        self.moving = 3 if self.translates else 0
        self.rows_out = 6 if self.translates else 3
        self.now = self._carry_rows()
        self.next = self._carry_rows()
        self.control = b.rows(max(flow.control_size, 1))
        self.state = b.rows(flow.space.size)
        self.p = b.rows(3)
        self.newton = NewtonCode(b, flow.kinetic)
        self.twist, self.push = b.rows(3), b.rows(self.moving)
        self._reserve_parameters()

    def _carry_rows(self) -> CarryRows:
        b, m = self.builder, self.moving
        gain = self.rows_out * self.flow.control_size if self.flow.gain_varies else 0
        return CarryRows(b.rows(9), b.rows(3), b.rows(3), b.rows(m), b.rows(m), b.rows(m), b.rows(gain))

    def _reserve_parameters(self) -> None:
        flow, b = self.flow, self.builder
        k = flow.constants()

        def number(value: float) -> Tensor:
            return torch.tensor([value], dtype=torch.float64)

        self.scalars = b.parameter(
            torch.cat([number(v) for v in (flow.h, k.alpha, k.force_split)]),
        )
        self.inertia = b.parameter(k.inertia)
        self.inverse = b.parameter(torch.linalg.inv(k.inertia.double()))
        self.mass = None if k.mass is None else b.parameter(k.mass)
        self.gain = None if k.gain is None else b.parameter(k.gain)
        self.damping = None if k.damping is None else b.parameter(k.damping)

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
        )

    def _load_constants(self) -> None:
        b = self.builder
        b.load(["h", "alpha", "split"], self.scalars)
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
        """Torque and force of the potential and the input gain at a configuration."""
        b, flow = self.builder, self.flow
        potential = flow.potential
        if not isinstance(potential, KernelPotential):
            raise TypeError(f"{type(potential).__name__} has no kernel code")
        slope_x, slope_r = potential.emit_gradient(b, at.position, at.rotation)
        rows = [cross_row(at.rotation, slope_r, i) for i in XYZ]
        b.lanes(write(at.torque, rows))
        if self.translates:
            b.lanes(write(at.force, [f"-@{row}" for row in slope_x]))
        if flow.gain_varies:
            if not isinstance(flow.input_gain, KernelField):
                raise TypeError(f"{type(flow.input_gain).__name__} has no kernel code")
            values = flow.input_gain.emit_field(b, at.position, at.rotation)
            b.lanes(write(at.gain, [f"@{row}" for row in values]))

    def _emit_impulses(self, at: CarryRows, share: str, damped: bool) -> None:
        """Body impulses of inputs, and of explicit damping: rows ``push`` and ``twist``."""
        b, flow = self.builder, self.flow
        targets = [*self.push, *self.twist]
        m = flow.control_size
        texts = ["0.0"] * len(targets)
        if m:
            controls = [f"@{row}" for row in self.control[:m]]
            for i in range(len(targets)):
                if self.gain is not None:
                    entries = [f"P[{self.gain + i * m + j}]" for j in range(m)]
                else:
                    entries = [f"@{at.gain[i * m + j]}" for j in range(m)]
                texts[i] = f"{share} * h * ({dot_text(entries, controls)})"
        b.lanes(write(targets, texts))
        if damped and flow.dissipation is not None:
            drag = self._emit_damping(at)
            n = len(targets)
            lines = [self._body_velocity(at)]
            for i, row in enumerate(targets):
                lines.append(f"@{row} -= {share} * h * ({dot_text(drag[i * n : i * n + n], names('u', n))})")
            b.lanes(*lines)

    def _emit_damping(self, at: CarryRows) -> list[str]:
        """Entries of the damping matrix as expressions."""
        flow, n = self.flow, self.rows_out
        if self.damping is not None:
            return [f"P[{self.damping + i}]" for i in range(n * n)]
        if not isinstance(flow.dissipation, KernelField):
            raise TypeError(f"{type(flow.dissipation).__name__} has no kernel code")
        return [f"@{row}" for row in flow.dissipation.emit_field(self.builder, at.position, at.rotation)]

    def _body_velocity(self, at: CarryRows) -> str:
        """Code for ``u = (R^T v, omega)``, or ``omega`` on SO(3)."""
        lines = [read("p", at.pi)]
        omega = times("K", names("p"))
        lines += [f"u{self.moving + i} = {omega[i]}" for i in XYZ]
        for i in range(self.moving):
            column = [f"@{at.rotation[3 * j + i]}" for j in XYZ]
            lines.append(f"u{i} = ({dot_text(column, [f'@{row}' for row in at.momentum])}) / mass")
        return "\n".join(lines)

    def _emit_step(self) -> None:
        b, now, new = self.builder, self.now, self.next
        b.section("step")
        self._load_constants()
        self._emit_impulses(now, "split", damped=True)
        lines = [
            f"p{i} = @{now.pi[i]} + (1.0 - alpha) * h * @{now.torque[i]} + @{self.twist[i]}\n"
            f"@{self.p[i]} = p{i}\n@{self.newton.a[i]} = h * p{i}"
            for i in XYZ
        ]
        b.lanes(*lines)
        self.newton.emit()
        self._emit_turn()
        self._emit_forces(new)
        self._emit_impulses(new, "(1.0 - split)", damped=False)
        b.lanes(*[f"@{new.pi[i]} += alpha * h * @{new.torque[i]} + @{self.twist[i]}" for i in XYZ])
        if self.translates:
            b.lanes(*self._accelerate(new, new, "alpha", base=new.momentum))
        if self.flow.dissipation is not None:
            self._emit_implicit_damping(new)
        self._emit_commit()

    def _accelerate(self, rotation_at: CarryRows, target: CarryRows, weight: str, base: Rows) -> list[str]:
        """Momentum at ``target``: ``base`` + potential force + ``R`` push, forces at ``rotation_at``."""
        at = rotation_at
        push = [f"@{row}" for row in self.push]
        return [
            f"@{target.momentum[i]} = @{base[i]} + {weight} * h * @{at.force[i]}"
            f" + {dot_text([f'@{row}' for row in at.rotation[3 * i : 3 * i + 3]], push)}"
            for i in XYZ
        ]

    def _emit_turn(self) -> None:
        """``R' = R Z``, ``pi' = Z^T p`` and the translation."""
        b, now, new = self.builder, self.now, self.next
        rows = [
            *[(now.rotation[3 * i : 3 * i + 3], new.rotation[3 * i : 3 * i + 3]) for i in XYZ],
            (self.p, new.pi),
        ]
        b.lanes(read("z", self.newton.z), TURN_FACTOR, *[turn_text(*pair) for pair in rows])
        if self.translates:
            moved = [
                f"@{new.position[i]} = @{now.position[i]} + (h / mass) * @{new.momentum[i]}" for i in XYZ
            ]
            b.lanes(*self._accelerate(now, new, "(1.0 - alpha)", base=now.momentum), *moved)

    def _emit_implicit_damping(self, new: CarryRows) -> None:
        """``(M + (1 - split) h D) velocity = momentum`` in the body frame."""
        b, n = self.builder, self.rows_out
        drag = self._emit_damping(new)
        matrix, right = b.rows(n * n), b.rows(n)
        lines = []
        for i in range(n):
            for j in range(n):
                mass = "0.0"
                if i >= self.moving and j >= self.moving:
                    mass = f"J{3 * (i - self.moving) + j - self.moving}"
                elif i == j:
                    mass = "mass"
                lines.append(f"@{matrix[i * n + j]} = {mass} + (1.0 - split) * h * {drag[i * n + j]}")
        for i in range(self.moving):
            column = [f"@{new.rotation[3 * j + i]}" for j in XYZ]
            lines.append(f"@{right[i]} = {dot_text(column, [f'@{row}' for row in new.momentum])}")
        lines.append(write(right[self.moving :], [f"@{row}" for row in new.pi]))
        b.lanes(*lines)
        emit_linear_solve(b, matrix, right)
        lines = [read("u", right[self.moving :]), write(new.pi, times("J", names("u")))]
        if self.translates:
            speed = [f"@{row}" for row in right[:3]]
            rotated = [dot_text([f"@{row}" for row in new.rotation[3 * i : 3 * i + 3]], speed) for i in XYZ]
            lines.append(write(new.momentum, [f"mass * ({text})" for text in rotated]))
        b.lanes(*lines)

    def _emit_commit(self) -> None:
        """Take the step in the lanes that did not fail; freeze the others."""
        b = self.builder
        pairs = list(zip(self.now.all, self.next.all, strict=True))
        size = " + ".join(f"abs(@{new})" for _, new in pairs)
        stop = float(Status.NOT_CONVERGED)
        b.lanes(
            f"v = @{self.newton.verdict}",
            f"v = v if {size} < 1e300 else max(v, {float(Status.NON_FINITE)})",
            "v = max(v, float(code[l]))",
            f"@{self.newton.verdict} = v",
            *[f"@{old} = @{new} if v < {stop} else @{old}" for old, new in pairs],
        )
        b.emit_codes(self.newton.verdict)

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
