"""Kernel code of the implicit equation of a rotation step."""

from __future__ import annotations

import torch

from .._status import Status
from ..kernels import KernelBuilder, lane_text
from ._kernel_text import (
    XYZ,
    cross_entry,
    cross_lines,
    dot_text,
    indent,
    names,
    read,
    skew_text,
    times,
    write,
)
from ._kinetic import DiscreteKinetic
from ._newton import COMFORTABLE_ANGLE, CONVERGED, DAMPED_ITERATIONS, PLAIN_ITERATIONS, STAGNATED

EPS = torch.finfo(torch.float64).eps


def adjugate() -> str:
    """Code of the cofactors ``g0 ... g8`` and the inverse determinant of the matrix ``m0 ... m8``."""
    rows = [names("m", 9)[3 * i : 3 * i + 3] for i in XYZ]
    lines = []
    for i in XYZ:
        first, second = rows[(i + 1) % 3], rows[(i + 2) % 3]
        for j in XYZ:
            k, n = (j + 1) % 3, (j + 2) % 3
            lines.append(f"g{3 * i + j} = {first[k]} * {second[n]} - {first[n]} * {second[k]}")
    lines.append(f"inverse = 1.0 / ({dot_text(rows[0], names('g', 9)[:3])})")
    return "\n".join(lines)


class NewtonCode:
    """The iteration that finds ``z`` from ``a``; expects ``J`` and its inverse ``K`` in local variables.

    Attributes:
        a: Rows of the scaled impulse.
        z: Rows of the solution.
        verdict: Row of the status.
    """

    def __init__(self, builder: KernelBuilder, kinetic: DiscreteKinetic) -> None:
        """Reserve rows.

        Args:
            builder: The kernel under construction.
            kinetic: ``"trace"`` or ``"cayley"``.
        """
        self.builder, self.kinetic = builder, kinetic
        self.a, self.z, self.e = builder.rows(3), builder.rows(3), builder.rows(3)
        self.scale, self.error, self.verdict = builder.rows(3)

    def residual(self) -> str:
        """Code of the residual ``e`` from ``z``, ``a`` and ``J``; also ``Jz`` as ``w``."""
        lines = ["\n".join(f"w{i} = {text}" for i, text in enumerate(times("J", names("z"))))]
        if self.kinetic.name == "trace":
            lines += [cross_lines("c", "a", "z"), f"d = {dot_text(names('a'), names('z'))}"]
            lines += [f"e{i} = a{i} + c{i} + z{i} * d - 2.0 * w{i}" for i in XYZ]
        else:
            lines += [cross_lines("c", "z", "w"), f"d = {dot_text(names('z'), names('w'))}"]
            lines += [f"e{i} = a{i} - 2.0 * (w{i} + c{i} + z{i} * d)" for i in XYZ]
        return "\n".join(lines)

    def jacobian(self) -> str:
        """Code of the Jacobian ``m0 ... m8`` after ``_residual``."""
        trace = self.kinetic.name == "trace"
        lines = []
        for i in XYZ:
            for j in XYZ:
                diagonal = " + d" if i == j else ""
                if trace:
                    text = f"z{i} * a{j}{diagonal} - 2.0 * J{3 * i + j}{skew_text('a', i, j, '+')}"
                else:
                    turned = cross_entry("z", [f"J{3 * k + j}" for k in XYZ], i)
                    skewed = skew_text("w", i, j, "-")
                    text = f"-2.0 * (J{3 * i + j} + {turned}{skewed} + 2.0 * z{i} * w{j}{diagonal})"
                lines.append(f"m{3 * i + j} = {text}")
        return "\n".join(lines)

    @staticmethod
    def _update() -> str:
        """Code of ``s = M^-1 e``."""
        solution = [f"s{j} = (g{j} * e0 + g{3 + j} * e1 + g{6 + j} * e2) * inverse" for j in XYZ]
        return "\n".join([adjugate(), *solution])

    def emit(self) -> None:
        """Add the iteration: from the rows of ``a`` to those of ``z`` and of the status."""
        b = self.builder
        b.lanes(
            read("a", self.a),
            write(self.z, [f"0.5 * ({text})" for text in times("K", names("a"))]),
            f"@{self.scale} = max(max(abs(a0), abs(a1)), abs(a2))",
        )
        state = f"{read('z', self.z)}\n{read('a', self.a)}"
        size = "max(max(abs(e0), abs(e1)), abs(e2))"
        frozen = f"code[l] >= {int(Status.NOT_CONVERGED)}"
        with b.loop(f"for iteration in range({PLAIN_ITERATIONS + 1}):"):
            b.line("unsettled = 0")
            b.lanes(
                state,
                self.residual(),
                write(self.e, names("e")),
                f"err = {size}",
                f"@{self.error} = err",
                f"unsettled += 0 if err <= {CONVERGED * EPS!r} * @{self.scale} or {frozen} else 1",
            )
            b.line(f"if unsettled == 0 or iteration == {PLAIN_ITERATIONS}:")
            b.line("    break")
            b.lanes(
                state,
                self.residual(),
                self.jacobian(),
                self._update(),
                write(self.z, [f"z{i} - s{i}" for i in XYZ]),
            )
        limit = self.kinetic.admits
        admissible = f"@{self.error} <= {STAGNATED * EPS!r} * @{self.scale}"
        if limit < float("inf"):
            admissible += f" and z0 * z0 + z1 * z1 + z2 * z2 <= {limit**2!r}"
        b.line("refused = 0")
        b.lanes(read("z", self.z), f"refused += 0 if {admissible} or {frozen} else 1")
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
        start = times("K", names("a"))
        inner = [
            read("a", self.a),
            *[f"z{i} = 0.5 * ({text})" for i, text in enumerate(start)],
            self.residual(),
            f"err = {size}",
            "length = 1.0",
            f"for trial in range({DAMPED_ITERATIONS}):",
            f"    if err <= {CONVERGED * EPS!r} * @{self.scale}:",
            "        break",
            *indent(self.residual()),
            *indent(self.jacobian()),
            *indent(self._update()),
            *[f"    y{i} = z{i}\n    z{i} = z{i} - length * s{i}" for i in XYZ],
            *indent(self.residual()),
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
        guess = times("K", names("a"))
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
            lines.append(
                f"v = v if z0 * z0 + z1 * z1 + z2 * z2 <= {limit**2!r} else {float(Status.UNSOLVABLE)}"
            )
        lines.append(f"v = v if turn < 1e300 else {float(Status.NON_FINITE)}")
        lines.append(f"@{self.verdict} = v")
        b.lanes(*lines)
