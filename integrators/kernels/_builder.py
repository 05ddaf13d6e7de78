"""Assembly of a kernel's source text: rows of lane values, flat parameters, and lines of code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ._order import streamed

Rows = list[int]
_ROW = re.compile(r"@(\d+)")
_TOGETHER = 3
_LONGEST_PASS = 24
Shared = TypeVar("Shared")


class KernelBuilder:
    """Collects the code of one flow map.

    Values of the trajectories live in a flat array, row after row of ``L`` lanes. ``P`` is the flat
    array of parameters: numbers never appear as literals, so that a retrained model compiles nothing again.
    """

    def __init__(self) -> None:
        """Start with no rows, no parameters and no code."""
        self.row_count = 0
        self.parameters: list[Tensor] = []
        self.parameter_count = 0
        self.functions: dict[str, str] = {}
        """Functions that the sections call, by name, in the order in which they need one another."""
        self._lines: dict[str, list[str]] = {}
        self._section = ""
        self._indent = 1
        self._loaded: dict[str, dict[int, str]] = {}
        self._shared: dict[int, tuple[object, Any]] = {}

    def rows(self, count: int) -> Rows:
        """Reserve consecutive rows of ``A``.

        Args:
            count: How many.

        Returns:
            Their indices.
        """
        start = self.row_count
        self.row_count += count
        return list(range(start, self.row_count))

    def parameter(self, value: Tensor) -> int:
        """Reserve room for a tensor in ``P``, row by row.

        Args:
            value: The tensor; its value is read when the kernel is called.

        Returns:
            Offset of its first entry.
        """
        offset = self.parameter_count
        self.parameters.append(value)
        self.parameter_count += value.numel()
        return offset

    def shared(self, owner: object, make: Callable[[], Shared]) -> Shared:
        """What an object has in this kernel, made when it is asked for the first time.

        Args:
            owner: The object, such as a network whose weights have a place in ``P``.
            make: Makes it.

        Returns:
            The same for every call with this owner.
        """
        if id(owner) not in self._shared:
            self._shared[id(owner)] = (owner, make())
        made: Shared = self._shared[id(owner)][1]
        return made

    def flat_parameters(self, dtype: torch.dtype = torch.float64) -> np.ndarray:
        """Read the current values of all parameters.

        Args:
            dtype: Floating-point type of the array.

        Returns:
            One array.
        """
        if not self.parameters:
            return torch.zeros(1, dtype=dtype).numpy()
        flat = [value.detach().reshape(-1).to("cpu", dtype) for value in self.parameters]
        return torch.cat(flat).numpy()

    def section(self, name: str) -> None:
        """Direct the following lines to the function of this name.

        Args:
            name: ``start``, ``step``, ``finish`` or the name of an observable.
        """
        self._section, self._indent = name, 1
        self._lines.setdefault(name, [])

    def line(self, text: str) -> None:
        """Add one line to the current section.

        Args:
            text: A Python statement.
        """
        self._lines[self._section].append("    " * self._indent + text)

    def load(self, names: Iterable[str], offset: int) -> None:
        """Bring parameters into local variables.

        Args:
            names: One variable per entry.
            offset: Where the entries start in ``P``.
        """
        for index, name in enumerate(names):
            self.line(f"{name} = P[{offset + index}]")

    def number(self, index: int) -> str:
        """Name of a local variable that holds one parameter, loaded once at the head of the section.

        Args:
            index: Place in ``P``.

        Returns:
            The name.
        """
        return self._loaded.setdefault(self._section, {}).setdefault(index, f"number_{index}")

    def lanes(self, *statements: str, join: bool = False) -> None:
        """Add a loop over the lanes; ``@7`` stands for row 7 in the current lane.

        Args:
            *statements: Python statements, one or several lines each.
            join: Whether to go on in the loop of the previous call where nothing came between, so that values
                stay in registers.
        """
        if not any(statement.strip() for statement in statements):
            return
        lines = self._lines[self._section]
        opened = "    " * self._indent + "for l in range(L):"
        inside = "    " * (self._indent + 1)
        last = next((k for k in range(len(lines) - 1, -1, -1) if not lines[k].startswith(inside)), -1)
        if not (join and last >= 0 and last < len(lines) - 1 and lines[last] == opened):
            self.line("for l in range(L):")
        for statement in statements:
            for text in statement.splitlines():
                if text.strip():
                    self.line("    " + lane_text(text))

    def loop(self, header: str) -> _Indented:
        """Open an indented block.

        Args:
            header: A statement that ends in a colon.

        Returns:
            A context manager that closes the block.
        """
        self.line(header)
        return _Indented(self)

    def passes(self, count: str, offset: int, width: int, emit: Callable[[list[str]], None]) -> None:
        """Add a loop of passes over the lanes, each with its own numbers; short ones are taken by threes.

        Values then stay in registers from one pass to the next, which more than doubles the speed of a step
        of many short stages.

        Args:
            count: Number of passes, an expression.
            offset: Place of the numbers of the first pass in ``P``; those of the others follow.
            width: How many numbers a pass has.
            emit: Writes a pass, given the names of its numbers.
        """

        def write(passes: int) -> None:
            names = [[f"own_{k}_{j}" for j in range(width)] for k in range(passes)]
            for k, group in enumerate(names):
                for j, name in enumerate(group):
                    self.line(f"{name} = P[{offset + k * width + j} + {width} * i]")
            for group in names:
                emit(group)

        lines = self._lines[self._section]
        start = len(lines)
        with self.loop(f"for i in range({count}):"):
            write(1)
        if _short_loop(lines[start + 1 + width :], self._indent + 1, _LONGEST_PASS):
            lines[start] = lines[start].replace(count, f"{count} % {_TOGETHER}")
            with self.loop(f"for i in range({count} % {_TOGETHER}, {count}, {_TOGETHER}):"):
                write(_TOGETHER)

    def emit_codes(self, verdict: int) -> None:
        """End a step: turn a row of status numbers into the codes of the lanes and the worst of them.

        Args:
            verdict: Row of the status of each lane.
        """
        self.line("worst = 0")
        with self.loop("for l in range(L):"):
            self.line(f"code[l] = int(A[{verdict} * L + l])")
            self.line("worst = max(worst, code[l])")

    def function(self, name: str, arguments: str, result: str = "") -> str:
        """Text of the function that holds a section.

        Args:
            name: Section.
            arguments: Parameter list.
            result: Expression to return.

        Returns:
            Source text.
        """
        loads = [f"    {variable} = P[{k}]" for k, variable in self._loaded.get(name, {}).items()]
        body = [*loads, *_with_streamed_loops(self._lines.get(name, []))] or ["    pass"]
        tail = [f"    return {result}"] if result else []
        return "\n".join([f"def {name}({arguments}):", *body, *tail])

    def function_twice(self, name: str, arguments: str, most_lines: int) -> str | None:
        """Text of a function that executes a section twice in one loop over the lanes.

        Half of the loads and stores of rows are saved so, where a section is one short loop over lanes. With
        divisions and functions in it the loop is left alone: they take long, and the processor hides that by
        working on other lanes meanwhile, which one long chain of operations leaves it less room for.

        Args:
            name: Section.
            arguments: Parameter list.
            most_lines: The longest loop that is repeated.

        Returns:
            Source text of ``name_twice``, or ``None`` where the section is something else.
        """
        lines = self._lines.get(name, [])
        if not _short_loop(lines, 1, most_lines):
            return None
        header, *body = lines
        loads = [f"    {variable} = P[{k}]" for k, variable in self._loaded.get(name, {}).items()]
        return "\n".join([f"def {name}_twice({arguments}):", *loads, header, *body, *body])


def _with_streamed_loops(lines: list[str]) -> list[str]:
    """The lines with the statements of each loop over the lanes in the order that suits it."""
    out: list[str] = []
    k = 0
    while k < len(lines):
        out.append(lines[k])
        k += 1
        if out[-1].lstrip() == "for l in range(L):":
            inside = " " * (len(out[-1]) - len(out[-1].lstrip()) + 4)
            stop = next((j for j in range(k, len(lines)) if not lines[j].startswith(inside)), len(lines))
            out += streamed(lines[k:stop])
            k = stop
    return out


def _short_loop(lines: list[str], indent: int, most_lines: int) -> bool:
    """Whether lines are one loop over the lanes, short and without divisions and functions."""
    if not 1 < len(lines) <= most_lines + 1:
        return False
    header, *body = lines
    inside = "    " * (indent + 1)
    slow = any(re.search(r"/|\w\(", line) for line in body)
    alone = header == f"{inside[4:]}for l in range(L):" and all(line.startswith(inside) for line in body)
    return alone and not slow


class _Indented:
    """Keeps a builder one level deeper while it is open."""

    def __init__(self, builder: KernelBuilder) -> None:
        self._builder = builder

    def __enter__(self) -> None:
        self._builder._indent += 1

    def __exit__(self, *_: object) -> None:
        self._builder._indent -= 1


@runtime_checkable
class KernelPotential(Protocol):
    """A potential that a compiled kernel can evaluate."""

    def emit_value(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> int:
        """Add code for the energy and return its row."""

    def emit_gradient(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
        """Add code for the gradient and return the rows of ``dU/dx`` (none on SO(3)) and ``dU/dR``."""


@runtime_checkable
class KernelField(Protocol):
    """A function of the configuration with several outputs that a compiled kernel can evaluate."""

    def emit_field(self, builder: KernelBuilder, position: Rows, rotation: Rows) -> Rows:
        """Add code for the flattened output and return its rows."""


def lane_text(text: str) -> str:
    """Replace ``@7`` by the value of row 7 in the current lane.

    Args:
        text: A statement inside a loop over lanes.

    Returns:
        The statement in plain Python.
    """
    return _ROW.sub(r"A[\1 * L + l]", text)
