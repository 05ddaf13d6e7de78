"""Kernel code of the rigid-body integrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._status import Status
from ..kernels import KernelBuilder, KernelField, KernelPotential, KernelProgram, Rows, emit_linear_solve, lane_text
from ._newton import COMFORTABLE_ANGLE, CONVERGED, DAMPED_ITERATIONS, PLAIN_ITERATIONS, STAGNATED

if TYPE_CHECKING:
    from ._rigid_body import RigidBodyIntegrator

EPS = torch.finfo(torch.float64).eps
XYZ = range(3)


def cross_lines(result: str, a: str, b: str) -> str:
    """Code of ``result = a x b`` on variables ``a0, a1, a2``."""
    return "\n".join(
        f"{result}{i} = {a}{(i + 1) % 3} * {b}{(i + 2) % 3} - {a}{(i + 2) % 3} * {b}{(i + 1) % 3}" for i in XYZ
    )


def dot_text(a: list[str], b: list[str]) -> str:
    """Code of an inner product."""
    return " + ".join(f"{x} * {y}" for x, y in zip(a, b, strict=True))


def names(prefix: str, count: int = 3) -> list[str]:
    """Variables ``prefix0, prefix1, ...``."""
    return [f"{prefix}{i}" for i in range(count)]


def read(prefix: str, rows: Rows) -> str:
    """Code that brings rows into variables ``prefix0, ...``."""
    return "\n".join(f"{prefix}{i} = @{row}" for i, row in enumerate(rows))


def write(rows: Rows, expressions: list[str]) -> str:
    """Code that stores expressions in rows."""
    return "\n".join(f"@{row} = {text}" for row, text in zip(rows, expressions, strict=True))


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
        return [*self.rotation, *self.pi, *self.torque, *self.position, *self.momentum, *self.force, *self.gain]


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
        self.p, self.a, self.z, self.e = b.rows(3), b.rows(3), b.rows(3), b.rows(3)
        self.twist, self.push = b.rows(3), b.rows(self.moving)
        self.scale, self.error, self.verdict = b.rows(3)
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
        self.inverse = b.parameter(k.inverse_inertia)
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
        lines.append(write(self._state_rows("omega"), self._times("K", names("p"))))
        if self.translates:
            lines.append(write(self._state_rows("x"), [f"@{row}" for row in now.position]))
            lines.append(write(self._state_rows("v"), [f"@{row} / mass" for row in now.momentum]))
        b.lanes(*lines)

    @staticmethod
    def _times(matrix: str, vector: list[str]) -> list[str]:
        entries = names(matrix, 9)
        return [dot_text(entries[3 * i : 3 * i + 3], vector) for i in XYZ]

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
        omega = self._times("K", names("p"))
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
            f"a{i} = h * p{i}\n@{self.p[i]} = p{i}\n@{self.a[i]} = a{i}"
            for i in XYZ
        ]
        start = self._times("K", names("a"))
        lines.append(write(self.z, [f"0.5 * ({text})" for text in start]))
        lines.append(f"@{self.scale} = max(max(abs(a0), abs(a1)), abs(a2))")
        b.lanes(*lines)
        self._emit_newton()
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
        """Momentum at ``target`` = ``base`` + potential force + ``R`` push, forces taken at ``rotation_at``."""
        at = rotation_at
        push = [f"@{row}" for row in self.push]
        return [
            f"@{target.momentum[i]} = @{base[i]} + {weight} * h * @{at.force[i]}"
            f" + {dot_text([f'@{row}' for row in at.rotation[3 * i : 3 * i + 3]], push)}"
            for i in XYZ
        ]

    def _residual(self) -> str:
        """Code of the residual ``e`` from ``z``, ``a`` and ``J``; also ``Jz`` as ``w``."""
        lines = ["\n".join(f"w{i} = {text}" for i, text in enumerate(self._times("J", names("z"))))]
        if self.flow.kinetic.name == "trace":
            lines += [cross_lines("c", "a", "z"), f"d = {dot_text(names('a'), names('z'))}"]
            lines += [f"e{i} = a{i} + c{i} + z{i} * d - 2.0 * w{i}" for i in XYZ]
        else:
            lines += [cross_lines("c", "z", "w"), f"d = {dot_text(names('z'), names('w'))}"]
            lines += [f"e{i} = a{i} - 2.0 * (w{i} + c{i} + z{i} * d)" for i in XYZ]
        return "\n".join(lines)

    def _jacobian(self) -> str:
        """Code of the Jacobian ``m0 ... m8`` after ``_residual``."""
        trace = self.flow.kinetic.name == "trace"
        lines = []
        for i in XYZ:
            for j in XYZ:
                diagonal = " + d" if i == j else ""
                if trace:
                    text = f"z{i} * a{j}{diagonal} - 2.0 * J{3 * i + j}{_skew_text('a', i, j, '+')}"
                else:
                    turned = _cross_entry("z", [f"J{3 * k + j}" for k in XYZ], i)
                    text = f"-2.0 * (J{3 * i + j} + {turned}{_skew_text('w', i, j, '-')} + 2.0 * z{i} * w{j}{diagonal})"
                lines.append(f"m{3 * i + j} = {text}")
        return "\n".join(lines)

    @staticmethod
    def _newton_update() -> str:
        """Code of ``s = M^-1 e`` by the adjugate."""
        rows = [names("m", 9)[3 * i : 3 * i + 3] for i in XYZ]
        lines = []
        for i in XYZ:
            first, second = rows[(i + 1) % 3], rows[(i + 2) % 3]
            for j in XYZ:
                k, n = (j + 1) % 3, (j + 2) % 3
                lines.append(f"g{3 * i + j} = {first[k]} * {second[n]} - {first[n]} * {second[k]}")
        lines.append(f"inverse = 1.0 / ({dot_text(rows[0], names('g', 9)[:3])})")
        lines += [f"s{j} = (g{j} * e0 + g{3 + j} * e1 + g{6 + j} * e2) * inverse" for j in XYZ]
        return "\n".join(lines)

    def _emit_newton(self) -> None:
        b = self.builder
        state = f"{read('z', self.z)}\n{read('a', self.a)}"
        size = "max(max(abs(e0), abs(e1)), abs(e2))"
        with b.loop(f"for iteration in range({PLAIN_ITERATIONS + 1}):"):
            b.line("unsettled = 0")
            b.lanes(
                state,
                self._residual(),
                write(self.e, names("e")),
                f"err = {size}",
                f"@{self.error} = err",
                f"unsettled += 0 if err <= {CONVERGED * EPS!r} * @{self.scale} else 1",
            )
            b.line(f"if unsettled == 0 or iteration == {PLAIN_ITERATIONS}:")
            b.line("    break")
            b.lanes(
                state,
                self._residual(),
                self._jacobian(),
                self._newton_update(),
                write(self.z, [f"z{i} - s{i}" for i in XYZ]),
            )
        limit = self.flow.kinetic.admits
        admissible = f"@{self.error} <= {STAGNATED * EPS!r} * @{self.scale}"
        if limit < float("inf"):
            admissible += f" and z0 * z0 + z1 * z1 + z2 * z2 <= {limit**2!r}"
        b.line("refused = 0")
        b.lanes(read("z", self.z), f"refused += 0 if {admissible} else 1")
        b.line("if refused > 0:")
        with b.loop("    for l in range(L):"):
            self._emit_damped(state, size, admissible)
        self._emit_verdict(limit)

    def _emit_damped(self, state: str, size: str, admissible: str) -> None:
        """Damped iteration for the lanes that plain iteration did not settle; inside a loop over lanes."""
        b = self.builder

        def put(text: str) -> None:
            for line in text.splitlines():
                b.line("    " + lane_text(line))

        put(read("z", self.z))
        put(f"if not ({admissible}):")
        start = self._times("K", names("a"))
        inner = [
            read("a", self.a),
            *[f"z{i} = 0.5 * ({text})" for i, text in enumerate(start)],
            self._residual(),
            f"err = {size}",
            "length = 1.0",
            f"for trial in range({DAMPED_ITERATIONS}):",
            f"    if err <= {CONVERGED * EPS!r} * @{self.scale}:",
            "        break",
            *_indent(self._residual()),
            *_indent(self._jacobian()),
            *_indent(self._newton_update()),
            *[f"    y{i} = z{i}\n    z{i} = z{i} - length * s{i}" for i in XYZ],
            *_indent(self._residual()),
            f"    trial_err = {size}",
            "    if trial_err < err:",
            "        err = trial_err",
            "        length = min(1.0, 2.0 * length)",
            "    else:",
            "        length = 0.5 * length",
            *[f"        z{i} = y{i}" for i in XYZ],
            write(self.z, names("z")),
            f"@{self.error} = err",
        ]
        for text in inner:
            for line in text.splitlines():
                put("    " + line)

    def _emit_verdict(self, limit: float) -> None:
        """Status of the solution of each lane."""
        b = self.builder
        guess = self._times("K", names("a"))
        bounded = limit < float("inf")
        lines = [read("a", self.a), read("z", self.z)]
        lines += [f"t{i} = {text}" for i, text in enumerate(guess)]
        lines.append("turn = t0 * t0 + t1 * t1 + t2 * t2")
        lines.append("v = 0.0")
        if bounded:
            lines.append(f"v = {float(Status.LARGE_STEP)} if turn > {COMFORTABLE_ANGLE**2!r} else v")
        unsettled = float(Status.UNSOLVABLE if bounded else Status.NOT_CONVERGED)
        lines.append(f"v = v if @{self.error} <= {STAGNATED * EPS!r} * @{self.scale} else {unsettled}")
        if bounded:
            lines.append(f"v = v if z0 * z0 + z1 * z1 + z2 * z2 <= {limit**2!r} else {float(Status.UNSOLVABLE)}")
        lines.append(f"v = v if turn < 1e300 else {float(Status.NON_FINITE)}")
        lines.append(f"@{self.verdict} = v")
        b.lanes(*lines)

    def _emit_turn(self) -> None:
        """``R' = R Z``, ``pi' = Z^T p`` and the translation."""
        b, now, new = self.builder, self.now, self.next
        rows = [
            *[(now.rotation[3 * i : 3 * i + 3], new.rotation[3 * i : 3 * i + 3]) for i in XYZ],
            (self.p, new.pi),
        ]
        lines = [read("z", self.z), "s = 2.0 / (1.0 + (z0 * z0 + z1 * z1 + z2 * z2))"]
        for source, target in rows:
            lines += [read("r", source), cross_lines("c", "r", "z"), cross_lines("d", "c", "z")]
            lines.append(write(target, [f"r{i} + s * (c{i} + d{i})" for i in XYZ]))
        b.lanes(*lines)
        if self.translates:
            moved = [f"@{new.position[i]} = @{now.position[i]} + (h / mass) * @{new.momentum[i]}" for i in XYZ]
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
        lines = [read("u", right[self.moving :]), write(new.pi, self._times("J", names("u")))]
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
            f"v = @{self.verdict}",
            f"v = v if {size} < 1e300 else max(v, {float(Status.NON_FINITE)})",
            "v = max(v, float(code[l]))",
            f"@{self.verdict} = v",
            *[f"@{old} = @{new} if v < {stop} else @{old}" for old, new in pairs],
        )
        b.emit_codes(self.verdict)

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
        lines.append(f"t = 0.5 * ({dot_text(names('p'), [f'({text})' for text in self._times('K', names('p'))])})")
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


def cross_row(rotation: Rows, slope: Rows, i: int) -> str:
    """Component ``i`` of the sum over rows of ``R`` of row x slope row."""
    j, k = (i + 1) % 3, (i + 2) % 3
    return " + ".join(
        f"@{rotation[3 * r + j]} * @{slope[3 * r + k]} - @{rotation[3 * r + k]} * @{slope[3 * r + j]}" for r in XYZ
    )


def _skew_text(name: str, i: int, j: int, sign: str) -> str:
    """Entry ``(i, j)`` of ``S(name)`` with a leading sign, or nothing on the diagonal."""
    if i == j:
        return ""
    k = 3 - i - j
    positive = (i - j) % 3 == 1
    flipped = "-" if sign == "+" else "+"
    return f" {sign if positive else flipped} {name}{k}"


def _cross_entry(name: str, vector: list[str], i: int) -> str:
    """Component ``i`` of ``name x vector``."""
    j, k = (i + 1) % 3, (i + 2) % 3
    return f"{name}{j} * {vector[k]} - {name}{k} * {vector[j]}"


def _indent(text: str) -> list[str]:
    return ["    " + line for line in text.splitlines()]
