"""Kernel code of the splitting of a rigid body."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from ..kernels import Rows
from ..variational._kernel_body import BodyKernel, CarryRows
from ..variational._kernel_text import XYZ, dot_text, names, read, write

if TYPE_CHECKING:
    from ._rigid_splitting import RigidBodySplitting

LONGEST = 35
AXES = ((0, 0.5), (1, 0.5), (2, 1.0), (1, 0.5), (0, 0.5))
"""Axes of the turns of a symmetric step, with their share of it."""


def turn_lines(axis: int, rate: str) -> str:
    """Code of a turn about one axis, on ``r0 ... r8`` and ``p0 ... p2``.

    Args:
        axis: The axis.
        rate: Time over moment of inertia.

    Returns:
        Statements.
    """
    j, k = (axis + 1) % 3, (axis + 2) % 3
    lines = [f"angle = {rate} * p{axis}", "c = cosine(angle)", "s = sine(angle)"]
    for first, second in (*((f"r{3 * i + j}", f"r{3 * i + k}") for i in XYZ), (f"p{j}", f"p{k}")):
        lines += [f"t = {first}", f"{first} = c * t + s * {second}", f"{second} = c * {second} - s * t"]
    return "\n".join(lines)


class SplittingKernel(BodyKernel):
    """Builds the program of one splitting; call ``build`` once.

    Parameters beside those of the body: the number of symmetric steps, half of the first, and for each of
    them its length and the half of it together with the half of the next.
    """

    flow: RigidBodySplitting
    checked = False

    def __init__(self, flow: RigidBodySplitting, observables: list[str]) -> None:
        """Reserve rows and parameters.

        Args:
            flow: The splitting, its potential kernel-ready.
            observables: Names of the observed values.
        """
        self.free = flow.free
        super().__init__(flow, observables)
        weights = flow.weights
        table = [float(len(weights)), 0.5 * flow.h * weights[0]]
        for weight, following in pairwise((*weights, 0.0)):
            table += [flow.h * weight, 0.5 * flow.h * (weight + following)]
        table += [0.0] * (2 + 2 * LONGEST - len(table))
        self.table = self.builder.parameter(torch.tensor(table, dtype=torch.float64))

    def _carry_rows(self) -> CarryRows:
        b, m, n = self.builder, 3 if self.translates else 0, 0 if self.free else 3
        return CarryRows(b.rows(9), b.rows(3), b.rows(n), b.rows(m), b.rows(m), b.rows(min(m, n)), [])

    def _emit_forces(self, at: CarryRows) -> None:
        if not self.free:
            super()._emit_forces(at)

    def _emit_step(self) -> None:
        b, first = self.builder, self.table + 1
        b.section("step")
        self._load_constants()
        b.line(f"first = P[{first}]")
        self._emit_edge("first")
        if len(self.flow.weights) == 1:
            b.load(["whole", "edge"], first + 1)
            self._emit_symmetric_step()
        else:
            with b.loop(f"for i in range(int(P[{self.table}])):"):
                b.line(f"whole = P[{first + 1} + 2 * i]")
                b.line(f"edge = P[{first + 2} + 2 * i]")
                self._emit_symmetric_step()

    def _emit_edge(self, step: str) -> None:
        """What two neighbouring symmetric steps share: the kick, or the turn about the first axis."""
        if self.free:
            self._emit_turns([(0, step)])
            return
        pairs = [(self.now.pi, self.now.torque), (self.now.momentum, self.now.force)]
        kicks = [f"@{p} = @{p} + {step} * @{f}" for a, b in pairs for p, f in zip(a, b, strict=True)]
        self.builder.lanes(*kicks, join=True)

    def _emit_symmetric_step(self) -> None:
        inner = AXES[1:-1] if self.free else AXES
        self._emit_turns([(axis, f"{share} * whole") for axis, share in inner])
        if self.translates:
            now = self.now
            moves = [
                f"@{x} = @{x} + whole / mass * @{p}" for x, p in zip(now.position, now.momentum, strict=True)
            ]
            self.builder.lanes(*moves, join=True)
        self._emit_forces(self.now)
        self._emit_edge("edge")

    def _emit_turns(self, turns: list[tuple[int, str]]) -> None:
        now = self.now
        lines = [read("r", now.rotation), read("p", now.pi)]
        lines += [turn_lines(axis, f"({step} * K{4 * axis})") for axis, step in turns]
        lines += [write(now.rotation, names("r", 9)), write(now.pi, names("p"))]
        self.builder.lanes(*lines, join=True)

    def _observe_momentum_norm(self, target: Rows) -> None:
        pi = [f"@{row}" for row in self.now.pi]
        self.builder.lanes(f"@{target[0]} = math.sqrt({dot_text(pi, pi)})")
