"""One compiled call for the implicit part of a step on the torch backend, and one for its derivative."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from ..kernels import KernelBuilder, Rows, load_source, module_source
from ._kernel_newton import NewtonCode, adjugate
from ._kernel_text import TURN_FACTOR, XYZ, cross_lines, dot_text, names, read, turn_text, write
from ._kinetic import DiscreteKinetic

LANES = 16

_DRIVER = """
def turn_all(R, p, P, R1, p1, Z, codes):
    A = np.zeros(ROWS * L)
    code = np.zeros(L, dtype=np.int64)
    worst = 0
    for base in range(0, p.shape[0], L):
        live = min(L, p.shape[0] - base)
        for l in range(L):
            lane = base + min(l, live - 1)
            for r in range(9):
                A[({rows} + r) * L + l] = R[lane, r]
            for r in range(3):
                A[({rows} + 9 + r) * L + l] = p[lane, r]
            code[l] = 0
        worst = max(worst, turn(A, P, code))
        for l in range(live):
            lane = base + l
            codes[lane] = code[l]
            for r in range(9):
                R1[lane, r] = A[({turned} + r) * L + l]
            for r in range(3):
                p1[lane, r] = A[({turned} + 9 + r) * L + l]
                Z[lane, r] = A[({z} + r) * L + l]
    return worst


def turn_back_all(R, p, P, Z, R1_bar, p1_bar, R_bar, p_bar, J_bar):
    A = np.zeros(ROWS * L)
    for base in range(0, p.shape[0], L):
        live = min(L, p.shape[0] - base)
        for l in range(L):
            lane = base + min(l, live - 1)
            for r in range(9):
                A[({rows} + r) * L + l] = R[lane, r]
                A[({turned} + r) * L + l] = R1_bar[lane, r]
            for r in range(3):
                A[({rows} + 9 + r) * L + l] = p[lane, r]
                A[({turned} + 9 + r) * L + l] = p1_bar[lane, r]
                A[({z} + r) * L + l] = Z[lane, r]
        turn_back(A, P)
        for l in range(live):
            lane = base + l
            for r in range(9):
                R_bar[lane, r] = A[({rows_bar} + r) * L + l]
                J_bar[r] += A[({inertia_bar} + r) * L + l]
            for r in range(3):
                p_bar[lane, r] = A[({rows_bar} + 9 + r) * L + l]
"""


class TurnKernel:
    """Code of ``(R, p) -> (R Z, Z^T p)`` with ``Z`` the solution for ``a = h p``, and of its reverse.

    Parameters: ``h``, the nine entries of ``J`` and those of its inverse.
    """

    def __init__(self, kinetic: DiscreteKinetic) -> None:
        """Reserve rows.

        Args:
            kinetic: ``"trace"`` or ``"cayley"``.
        """
        self.builder = b = KernelBuilder()
        self.kinetic = kinetic
        self.rows, self.turned, self.rows_bar, self.inertia_bar = (
            b.rows(12),
            b.rows(12),
            b.rows(12),
            b.rows(9),
        )
        self.newton = NewtonCode(b, kinetic)

    def source(self) -> str:
        """Text of the module."""
        b = self.builder
        for section in ("turn", "turn_back"):
            b.section(section)
            b.load(["h", *names("J", 9), *names("K", 9)], 0)
            scaled = [f"@{a} = h * @{p}" for a, p in zip(self.newton.a, self.rows[9:], strict=True)]
            b.lanes(*scaled)
            if section == "turn":
                self._emit_turn()
            else:
                self._emit_back()
        driver = _DRIVER.format(
            rows=self.rows[0],
            turned=self.turned[0],
            z=self.newton.z[0],
            rows_bar=self.rows_bar[0],
            inertia_bar=self.inertia_bar[0],
        )
        functions = [b.function("turn", "A, P, code", "worst"), b.function("turn_back", "A, P")]
        return module_source([*functions, *driver.strip().split("\n\n\n")], LANES, b.row_count)

    def _vectors(self, rows: Rows) -> list[Rows]:
        return [rows[3 * i : 3 * i + 3] for i in range(4)]

    def _emit_turn(self) -> None:
        b = self.builder
        self.newton.emit()
        pairs = zip(self._vectors(self.rows), self._vectors(self.turned), strict=True)
        b.lanes(read("z", self.newton.z), TURN_FACTOR, *[turn_text(*pair) for pair in pairs])
        b.emit_codes(self.newton.verdict)

    def _emit_back(self) -> None:
        """Reverse of ``turn_text`` for four rows, then the implicit function theorem."""
        b = self.builder
        lines = [read("z", self.newton.z), read("a", self.newton.a), TURN_FACTOR]
        lines += ["s_bar = 0.0", *[f"v{i} = 0.0" for i in XYZ]]
        for row, cotangent, result in zip(
            self._vectors(self.rows), self._vectors(self.turned), self._vectors(self.rows_bar), strict=True
        ):
            lines += [
                read("r", row),
                read("q", cotangent),
                cross_lines("c", "r", "z"),
                cross_lines("d", "c", "z"),
            ]
            lines.append("s_bar = s_bar + " + dot_text(names("q"), [f"(c{i} + d{i})" for i in XYZ]))
            lines += [f"q{i} = s * q{i}" for i in XYZ]
            lines += [cross_lines("t", "z", "q"), cross_lines("u", "q", "c")]
            lines += [f"t{i} = q{i} + t{i}" for i in XYZ]
            lines += [cross_lines("w", "t", "r"), cross_lines("e", "z", "t")]
            lines += [f"v{i} = v{i} + u{i} + w{i}" for i in XYZ]
            lines.append(write(result, [f"@{source} + e{i}" for i, source in enumerate(cotangent)]))
        lines += [f"v{i} = v{i} - s_bar * s * s * z{i}" for i in XYZ]
        lines += [self.newton.residual(), self.newton.jacobian(), adjugate()]
        lines += [
            f"m{i} = -({dot_text(names('g', 9)[3 * i : 3 * i + 3], names('v'))}) * inverse" for i in XYZ
        ]
        lines.append(self._pull_back())
        b.lanes(*lines)

    def _pull_back(self) -> str:
        """Code of the cotangents of ``p`` and ``J`` from the multiplier ``m``."""
        sign = "+" if self.kinetic.name == "trace" else "-"
        lines = [cross_lines("c", "z", "m"), f"d = {dot_text(names('z'), names('m'))}"]
        lines += [f"t{i} = m{i} {sign} c{i} + z{i} * d" for i in XYZ]
        impulse, outer = ("t", "m") if self.kinetic.name == "trace" else ("m", "t")
        lines += [f"@{row} += h * {impulse}{i}" for i, row in enumerate(self.rows_bar[9:])]
        lines += [
            f"@{self.inertia_bar[3 * i + j]} = -({outer}{i} * z{j} + {outer}{j} * z{i})"
            for i in XYZ
            for j in XYZ
        ]
        return "\n".join(lines)


@cache
def turn_module(kinetic: DiscreteKinetic) -> ModuleType:
    """The compiled functions of a kinetic term.

    Args:
        kinetic: ``"trace"`` or ``"cayley"``.

    Returns:
        A module with ``turn_all`` and ``turn_back_all``.
    """
    return load_source(TurnKernel(kinetic).source())
