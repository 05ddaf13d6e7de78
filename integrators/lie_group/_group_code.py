"""Kernel code of exponentials and brackets on groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lie import SE3, SO3, LieGroup, UnitQuaternion
from lie.device import (
    Matrix,
    Motion,
    Quaternion,
    Twist,
    Vector,
    quaternion_compose,
    quaternion_exp,
    se3_compose,
    se3_exp,
    so3_compose,
    so3_exp,
)

from ..kernels import KernelBuilder, Rows
from ..kernels._flatten import Flattener
from ._field import GroupSystem


def _so3_left(y: Matrix, xi: Vector) -> Matrix:
    return so3_compose(y, so3_exp(xi))


def _so3_right(y: Matrix, xi: Vector) -> Matrix:
    return so3_compose(so3_exp(xi), y)


def _se3_left(y: Motion, xi: Twist) -> Motion:
    return se3_compose(y, se3_exp(xi))


def _se3_right(y: Motion, xi: Twist) -> Motion:
    return se3_compose(se3_exp(xi), y)


def _quaternion_left(y: Quaternion, xi: Vector) -> Quaternion:
    return quaternion_compose(y, quaternion_exp(xi))


def _quaternion_right(y: Quaternion, xi: Vector) -> Quaternion:
    return quaternion_compose(quaternion_exp(xi), y)


_MOVES: tuple[tuple[LieGroup, int, Callable[..., Any], Callable[..., Any]], ...] = (
    (SO3, 9, _so3_left, _so3_right),
    (SE3, 12, _se3_left, _se3_right),
    (UnitQuaternion, 4, _quaternion_left, _quaternion_right),
)


class GroupCode:
    """Writes the motions of one system into one section of a kernel.

    Attributes:
        entries: Number of entries of a group element that change.
        dim: Number of entries of a tangent, with those of the vectors.
    """

    def __init__(self, system: GroupSystem, builder: KernelBuilder, state: Rows) -> None:
        """Look up the group.

        Args:
            system: The system.
            builder: The kernel.
            state: Rows of the state.

        Raises:
            TypeError: If the group has no exponential in kernels.
        """
        found = [move for move in _MOVES if move[0] == system.group]
        if not found:
            raise TypeError(
                f"{system.group.name} has no exponential in kernels; SO3, SE3 and UnitQuaternion have"
            )
        _, self.entries, left, right = found[0]
        self.system, self.builder, self.state = system, builder, state
        self.left = system.trivialization == "left"
        self._move = left if self.left else right
        self.dim, self.size = system.whole.dim, system.space.parts[0].size
        self._count = 0

    def stage(self) -> Rows:
        """Reserve rows for a state; what is constant it shares with the state itself."""
        b, constant = self.builder, self.state[self.entries : self.size]
        return [*b.rows(self.entries), *constant, *b.rows(len(self.state) - self.size)]

    def move(self, source: Rows, target: Rows, tangents: Sequence[Sequence[str]]) -> None:
        """Write motions one after the other.

        Args:
            source: Rows of the state from which they start.
            target: Rows of the state to which they lead; may be those of the source.
            tangents: For each motion the text of each of its ``dim`` numbers.
        """
        out = Flattener(torch.float64, branches=False)
        n = self.system.group.dim
        element: Any = tuple(f"y{k}" for k in range(self.entries))
        lines = [f"{name} = @{row}" for name, row in zip(element, source, strict=False)]
        for m, tangent in enumerate(tangents):
            names = tuple(f"e{m}_{k}" for k in range(n))
            lines += [f"{name} = {text}" for name, text in zip(names, tangent, strict=False)]
            element = out.apply(self._move, element, names)
        results = [out.text(value) for value in element]
        lines += [_vectorised(line) for line in out.lines(results)]
        lines += [f"@{row} = {result}" for row, result in zip(target, results, strict=False)]
        vectors = zip(source[self.size :], target[self.size :], strict=True)
        for k, (old, new) in enumerate(vectors):
            total = " + ".join(f"({tangent[n + k]})" for tangent in tangents)
            lines.append(f"@{new} = @{old} + {total}")
        self._count += 1
        self.builder.lanes(*[re.sub(r"\b(t\d+)\b", rf"m{self._count}_\1", line) for line in lines], join=True)

    def bracket(self, name: str, a: Sequence[str], b: Sequence[str]) -> list[str]:
        """Write the bracket with the sign of the trivialisation.

        Args:
            name: Beginning of the names of the variables that it is put in.
            a: Text of the numbers of the first tangent.
            b: Those of the second.

        Returns:
            Statements.
        """
        x, y = (b, a) if self.left else (a, b)
        if self.system.group == SE3:
            turned = [f"{_cross(x[3:6], y[:3], i)} + {_cross(x[:3], y[3:6], i)}" for i in range(3)]
            texts = [*turned, *[_cross(x[3:6], y[3:6], i) for i in range(3)]]
        else:
            texts = [_cross(x, y, i) for i in range(3)]
        return [f"{name}{i} = {text}" for i, text in enumerate(texts)]


def _cross(a: Sequence[str], b: Sequence[str], i: int) -> str:
    j, k = (i + 1) % 3, (i + 2) % 3
    return f"{a[j]} * {b[k]} - {a[k]} * {b[j]}"


def _vectorised(line: str) -> str:
    """The line with functions that loops over lanes can be made vectors of."""
    return line.replace("math.sin(", "sine(").replace("math.cos(", "cosine(")
