"""Kernel code of the rigid-body integrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .._status import Status
from ..kernels import KernelField, Rows, emit_linear_solve
from ._kernel_body import BodyKernel, CarryRows
from ._kernel_newton import NewtonCode
from ._kernel_text import (
    TURN_FACTOR,
    XYZ,
    dot_text,
    names,
    read,
    times,
    turn_text,
    write,
)

if TYPE_CHECKING:
    from ._rigid_body import RigidBodyIntegrator


class RigidBodyKernel(BodyKernel):
    """Builds the program of one variational integrator; call ``build`` once."""

    flow: RigidBodyIntegrator

    def __init__(self, flow: RigidBodyIntegrator, observables: list[str]) -> None:
        """Reserve rows and parameters.

        Args:
            flow: The integrator, whose slots must be kernel-ready.
            observables: Names of the observed values.
        """
        super().__init__(flow, observables)
        b = self.builder
        self.moving = 3 if self.translates else 0
        self.rows_out = 6 if self.translates else 3
        self.next = self._carry_rows()
        self.control = b.rows(max(flow.control_size, 1))
        self.p = b.rows(3)
        self.newton = NewtonCode(b, flow.kinetic)
        self.twist, self.push = b.rows(3), b.rows(self.moving)
        k = self.constants
        scheme = torch.tensor([flow.h, k.alpha, k.force_split], dtype=torch.float64)
        self.scheme = b.parameter(scheme)
        self.gain = None if k.gain is None else b.parameter(k.gain)
        self.damping = None if k.damping is None else b.parameter(k.damping)

    @property
    def _gain_size(self) -> int:
        return self.flow.rows * self.flow.control_size if self.flow.gain_varies else 0

    def _emit_forces(self, at: CarryRows) -> None:
        """Torque and force of the potential and the input gain at a configuration."""
        super()._emit_forces(at)
        b, flow = self.builder, self.flow
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
        b.load(["h", "alpha", "split"], self.scheme)
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
