"""The order of the statements of a loop over lanes."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONG_LOOP = 48
"""Statements of a loop over lanes from which on their order matters: more values than registers."""
_ROW = r"A\[\d+ \* L \+ l\]"
_VALUE = re.compile(rf"{_ROW}|[A-Za-z_]\w*")
_STATEMENT = re.compile(rf"^(\s*)({_ROW}|[A-Za-z_]\w*) ([-+*/]?)= (.*)$")
Statement = tuple[str, str, str, str]
"""Indentation, target, operator of an assignment such as ``+=`` without ``=``, value."""
_WORD = re.compile(r"@\d+|[A-Za-z_]\w*")
_ASSIGNED = re.compile(r"^\s*(@\d+|[A-Za-z_]\w*) [-+*/]?= ", re.MULTILINE)


def on_demand(definitions: Sequence[str], uses: Sequence[str]) -> list[str]:
    """Put every definition right before the first statement that needs it, and leave out those not needed.

    A value that waits long for its use holds a register or is written to memory and read again; a long
    expression such as the force of a chain takes half the time when its terms are computed where they are
    added up. Where a statement changes what a later definition reads, the given order is kept.

    Args:
        definitions: Statements ``name = expression``, each name once, in an order in which they can be
            executed.
        uses: Statements that use the names, one or several lines each.

    Returns:
        All statements.
    """
    known = {text.split(" = ", 1)[0]: text for text in definitions}
    read = {word for text in definitions for word in _WORD.findall(text.split(" = ", 1)[1])}
    if any(read.intersection(_ASSIGNED.findall(text)) for text in uses):
        return [*definitions, *uses]
    ordered: list[str] = []

    def require(text: str) -> None:
        for name in _WORD.findall(text):
            statement = known.pop(name, None)
            if statement is not None:
                require(statement.split(" = ", 1)[1])
                ordered.append(statement)

    for text in uses:
        require(text)
        ordered.append(text)
    return ordered


def streamed(statements: Sequence[str]) -> list[str]:
    """Order the statements of a loop so that each value is used up soon after it is computed.

    The results, which no other statement reads, are computed one after the other, each with what it needs
    right before it. A step of a long chain then passes once along the chain where it would pass once for each
    of its stages.

    Args:
        statements: Assignments to names or to entries of ``A``, in an order in which they can be executed.

    Returns:
        The same statements, names that are used again told apart; unchanged where they are few, or one is
        no assignment, takes a row that is not written as a number, or a name from the lane before.
    """
    parsed: list[Statement] = [
        (m[1], m[2], m[3], m[4]) for text in statements if (m := _STATEMENT.match(text)) is not None
    ]
    if len(statements) < LONG_LOOP or len(parsed) < len(statements) or not _plain(parsed):
        return list(statements)
    parsed = _renamed(parsed)
    needs = _needs(parsed)
    read = {k for before in needs for k in before}
    ordered: list[int] = []
    seen: set[int] = set()
    for result in range(len(statements)):
        waiting = [] if result in read else [result]
        while waiting:
            k = waiting[-1]
            missing = [] if k in seen else [n for n in needs[k] if n not in seen]
            if missing:
                waiting.append(missing[0])
                continue
            waiting.pop()
            if k not in seen:
                seen.add(k)
                ordered.append(k)
    return ["{}{} {}= {}".format(*parsed[k]) for k in ordered]


def _plain(statements: Sequence[Statement]) -> bool:
    """Whether every row is a number and no name is read before it is assigned, if it is assigned at all."""
    assigned = {target for _, target, _, _ in statements}
    for _, target, operator, value in statements:
        reads = {*_VALUE.findall(value), *([target] if operator else [])}
        if "A" in reads or any(name in assigned and not name.startswith("A[") for name in reads):
            return False
        assigned.discard(target)
    return True


def _renamed(statements: Sequence[Statement]) -> list[Statement]:
    """The statements with a new name for each value, so that none waits for another that had its name."""
    current: dict[str, str] = {}
    count: dict[str, int] = {}
    out = []
    for space, target, operator, value in statements:
        value = _VALUE.sub(lambda match: current.get(match[0], match[0]), value)
        if not target.startswith("A[") and not operator:
            count[target] = count.get(target, 0) + 1
            current[target] = target if count[target] == 1 else f"{target}_again_{count[target]}"
        out.append((space, current.get(target, target), operator, value))
    return out


def _needs(statements: Sequence[Statement]) -> list[list[int]]:
    """For each statement those that must come before it, in order."""
    written: dict[str, int] = {}
    readers: dict[str, set[int]] = {}
    needs = []
    for k, (_, target, operator, value) in enumerate(statements):
        reads = set(_VALUE.findall(value)) | ({target} if operator else set())
        before = {written[name] for name in reads if name in written} | readers.get(target, set())
        if target in written:
            before.add(written[target])
        needs.append(sorted(before - {k}))
        for name in reads:
            readers.setdefault(name, set()).add(k)
        written[target], readers[target] = k, set()
    return needs
