"""Text of the functions of a perceptron: products of matrices with rows of lanes, a few rows at a time.

A block of ``OUTPUTS`` rows of results takes in ``INPUTS`` rows at a time, so that every number is used
several times while it is in a register. A single trajectory has no lanes to run over: there the inner loops
run over the rows of results, whose weights are then next to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

OUTPUTS, INPUTS = 3, 6
_TAB = "    "

Lines = list[str]


@dataclass(frozen=True)
class Product:
    """``results = first + M inputs``, and what is done with the results.

    Attributes:
        target: First row of the results.
        count: Their number.
        source: First row of the inputs.
        length: Their number.
        matrix: Place of ``M``, row by row.
        transposed: Place of its transpose.
        bias: Place of ``first``; none for zero.
        after: Gives the statements on result ``s``, whose row is given as text, such as ``"7 + i"``.
    """

    target: int
    count: int
    source: int
    length: int
    matrix: int
    transposed: int
    bias: int | None
    after: Callable[[str], Lines]

    def lanes(self) -> Lines:
        """Statements for a block of trajectories."""
        blocks, rest = divmod(self.count, OUTPUTS)
        lines: Lines = []
        if blocks:
            lines.append(f"for i in range(0, {blocks * OUTPUTS}, {OUTPUTS}):")
            lines += _indented(self._block("i", OUTPUTS))
        if rest:
            lines += self._block(str(blocks * OUTPUTS), rest)
        return lines

    def _block(self, i: str, outputs: int) -> Lines:
        groups, rest = divmod(self.length, INPUTS)
        passes: list[tuple[str, int]] = []
        if groups > 1:
            passes.append(("j", INPUTS))
        elif groups:
            passes.append(("0", INPUTS))
        if rest:
            passes.append((str(groups * INPUTS), rest))
        lines: Lines = []
        started = self.bias is None and groups <= 1
        if not started:
            first = [f"A[({self.target + c} + {i}) * L + l] = {self._first(i, c)}" for c in range(outputs)]
            lines += ["for l in range(L):", *_indented(first)]
        for j, inputs in passes:
            new = started and j == "0"
            body = self._pass(i, j, outputs, inputs, new)
            if j == "j":
                lines += [f"for j in range(0, {groups * INPUTS}, {INPUTS}):", *_indented(body)]
            else:
                lines += body
        for c in range(outputs):
            after = self.after(f"{c} + {i}")
            if after:
                lines += ["for l in range(L):", f"{_TAB}s = A[({self.target + c} + {i}) * L + l]"]
                lines += _indented(after)
        return lines

    def _first(self, i: str, c: int) -> str:
        return "0.0" if self.bias is None else f"P[{self.bias + c} + {i}]"

    def _pass(self, i: str, j: str, outputs: int, inputs: int, new: bool) -> Lines:
        lines = []
        for c in range(outputs):
            for k in range(inputs):
                lines.append(f"w{c}_{k} = P[{self.matrix} + ({i} + {c}) * {self.length} + {j} + {k}]")
        lines.append("for l in range(L):")
        lines += _indented([f"x{k} = A[({self.source + k} + {j}) * L + l]" for k in range(inputs)])
        for c in range(outputs):
            total = f"A[({self.target + c} + {i}) * L + l]"
            terms = [f"w{c}_{k} * x{k}" for k in range(inputs)]
            lines += _indented([f"{total} = {' + '.join(terms if new else [total, *terms])}"])
        return lines

    def single(self) -> Lines:
        """Statements for one trajectory."""
        first = "0.0" if self.bias is None else f"P[{self.bias} + i]"
        lines = [f"for i in range({self.count}):", f"{_TAB}A[{self.target} + i] = {first}"]
        groups, rest = divmod(self.length, INPUTS)
        for j, inputs in [("j", INPUTS)] * bool(groups) + [(str(groups * INPUTS), rest)] * bool(rest):
            body = [f"x{k} = A[{self.source + k} + {j}]" for k in range(inputs)]
            body.append(f"for i in range({self.count}):")
            terms = [f"P[{self.transposed} + ({j} + {k}) * {self.count} + i] * x{k}" for k in range(inputs)]
            total = f"A[{self.target} + i]"
            body.append(f"{_TAB}{total} = {' + '.join([total, *terms])}")
            loop = [f"for j in range(0, {groups * INPUTS}, {INPUTS}):"] if j == "j" else []
            lines += [*loop, *(_indented(body) if loop else body)]
        if after := self.after("i"):
            lines.append(f"for i in range({self.count}):")
            lines += _indented(["l = 0", f"s = A[{self.target} + i]", *after])
        return lines


def function_text(name: str, parts: Iterable[Product | Lines]) -> str:
    """Text of a function ``name(A, P)`` that computes products one after another.

    Args:
        name: Name of the function.
        parts: Products, or statements that serve any number of lanes.

    Returns:
        Source text.
    """
    listed = list(parts)
    several = [line for part in listed for line in (part.lanes() if isinstance(part, Product) else part)]
    one = [line for part in listed for line in (part.single() if isinstance(part, Product) else part)]
    body = ["if L == 1:", *_indented(one), "else:", *_indented(several)]
    return "\n".join([f"def {name}(A, P):", *_indented(body)])


def _indented(lines: Iterable[str]) -> Lines:
    return list(_indents(lines))


def _indents(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield _TAB + line
