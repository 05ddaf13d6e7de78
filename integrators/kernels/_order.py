"""The order of the statements of a loop over lanes."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
