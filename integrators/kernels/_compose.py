"""Programs made of the programs of several flow maps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._builder import KernelBuilder, Rows
from ._program import KernelProgram

FAILED = 2.0
"""The least status that stops a trajectory."""


@dataclass
class Stage:
    """One map of a composition.

    Attributes:
        program: Its code.
        joined: Whether it takes over the carry of the map before it as it is; if not, the state is read out
            and the carry built anew.
        takes_control: Whether it takes the inputs of the composition.
    """

    program: KernelProgram
    joined: bool
    takes_control: bool


@dataclass(frozen=True)
class Part:
    """A stage whose functions have been written: how they are called, and where its numbers are."""

    stage: Stage
    key: str
    offset: str

    def call(self, section: str, offset: str = "", extra: str = "") -> str:
        """Write a call of a section.

        Args:
            section: Its name.
            offset: Place of the numbers, where it is not the usual one.
            extra: Further arguments.

        Returns:
            The call.
        """
        return f"{section}_{self.key}(A, P[{offset or self.offset}:]{extra})"


def compose_programs(
    stages: Sequence[Stage],
    closed: bool,
    control_size: int,
    observe: Callable[[KernelBuilder, Rows], Rows] | None = None,
) -> KernelProgram:
    """Write a program that runs others one after another.

    Maps of one kind differ in their numbers alone, so their code is written once, as functions that are given
    the place of their numbers, and successive ones become one loop. The maps share one work array: what a map
    has to remember is in its carry, and the carry of the first is the carry of the whole.

    Args:
        stages: The maps in the order of application; the first one's program holds the observed values.
        closed: Whether the first map can take over the carry of the last as it is.
        control_size: Number of inputs of the composition.
        observe: Writes observed values from the rows of the state and returns their rows; without it the
            section of the first program is used.

    Returns:
        The program.
    """
    b = KernelBuilder()
    first = stages[0].program
    b.row_count = max(stage.program.builder.row_count for stage in stages)
    control = b.rows(control_size)
    checked = all(stage.program.checked for stage in stages)
    can_fail = any(s.program.checked or s.program.verdict_row is not None for s in stages)
    verdict = b.rows(1)[0] if can_fail and not checked else None
    saved = b.rows(first.carry_size if checked else 0)
    parts = [define(b, stage) for stage in stages]
    b.section("start")
    b.line(parts[0].call("start"))
    b.section("step")
    b.lanes(*[f"@{row} = @{k}" for k, row in enumerate(saved)])
    runs = _runs(parts)
    around = len(runs) == 1 and not closed and _hands_over(runs[0])
    for k, run in enumerate(runs):
        if k and not run[0].stage.joined:
            _hand_over(b, runs[k - 1][-1], run[0])
        _write_run(b, run, control, verdict, around)
    if not closed and not around:
        _hand_over(b, parts[-1], parts[0])
    if checked:
        _write_codes(b, saved)
    b.section("finish")
    b.line(parts[0].call("finish"))
    b.section("observe")
    state = list(range(first.state_row, first.state_row + first.state_size))
    if observe is None:
        b.line(call_observe(b, parts[0]))
        observed_row, observed_size = first.observed_row, first.observed_size
    else:
        b.line(parts[0].call("finish"))
        observed = observe(b, state)
        observed_row, observed_size = (observed[0] if observed else 0), len(observed)
    return KernelProgram(
        b,
        carry_size=first.carry_size,
        state_row=first.state_row,
        state_size=first.state_size,
        control_row=control[0] if control else first.state_row,
        observed_row=observed_row,
        observed_size=observed_size,
        checked=checked,
        verdict_row=verdict,
        controlled=control_size > 0,
        double=any(stage.program.double or stage.program.checked for stage in stages),
        apart=verdict is not None,
    )


def define(b: KernelBuilder, stage: Stage) -> Part:
    """Add the functions of a stage, unless others have written the same, and its numbers.

    Args:
        b: The program under construction.
        stage: The stage.

    Returns:
        How the functions are called.
    """
    program = stage.program
    own = program.builder
    arguments = "A, P, code" if program.checked else "A, P"
    texts = [own.function("start", "A, P"), own.function("step", arguments), own.function("finish", "A, P")]
    key = _key([*own.functions, *texts])
    b.functions |= own.functions
    for name, text in zip(("start", "step", "finish"), texts, strict=True):
        b.functions.setdefault(f"{name}_{key}", text.replace(f"def {name}(", f"def {name}_{key}(", 1))
    offset = b.parameter_count
    for value in own.parameters:
        b.parameter(value)
    return Part(stage, key, str(offset))


def call_observe(b: KernelBuilder, part: Part) -> str:
    """Add the function that observes a stage.

    Args:
        b: The program under construction.
        part: The stage.

    Returns:
        A call of it.
    """
    program = part.stage.program
    text = program.builder.function("observe", "A, P")
    key = _key([*program.builder.functions, text])
    b.functions.setdefault(f"observe_{key}", text.replace("def observe(", f"def observe_{key}(", 1))
    return f"observe_{key}(A, P[{part.offset}:])"


def _key(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n\n".join(texts).encode()).hexdigest()[:12]


def _runs(parts: Sequence[Part]) -> list[list[Part]]:
    """Successive parts of one kind that all hand on their carries, or all their states."""
    runs: list[list[Part]] = []
    for part in parts:
        if runs and _continues(runs[-1], part):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _continues(run: list[Part], part: Part) -> bool:
    last = run[-1]
    same = last.key == part.key and last.stage.takes_control == part.stage.takes_control
    return same and (len(run) == 1 or part.stage.joined == last.stage.joined)


def _hands_over(run: list[Part]) -> bool:
    """Whether the steps of a run hand on their states, and not their carries as they are."""
    return len(run) > 1 and not run[1].stage.joined


def _write_run(
    b: KernelBuilder, run: list[Part], control: Rows, verdict: int | None, around: bool = False
) -> None:
    """Steps of one kind, in a loop where there are several; ``around``: the last hands over to the first."""
    part = run[0]
    program = part.stage.program
    if part.stage.takes_control:
        b.lanes(*[f"@{program.control_row + k} = @{row}" for k, row in enumerate(control)])
    if len(run) == 1:
        _write_step(b, part, "", verdict)
        return
    count, width = len(run), program.builder.parameter_count
    here = f"{part.offset} + stage * {width}"
    with b.loop(f"for stage in range({count}):"):
        _write_step(b, part, here, verdict)
        if around:
            _hand_over(b, part, part, here, f"{part.offset} + (stage + 1) % {count} * {width}")
        elif _hands_over(run):
            with b.loop(f"if stage < {count - 1}:"):
                _hand_over(b, part, part, here, f"{here} + {width}")


def _write_step(b: KernelBuilder, part: Part, offset: str, verdict: int | None) -> None:
    """One step; what failed first in a lane stays its verdict."""
    program = part.stage.program
    if program.checked:
        b.line(part.call("step", offset, ", code" if verdict is None else f", A[{verdict} * L:]"))
        return
    own = program.verdict_row
    if own is not None:
        b.lanes(f"@{own} = 0.0")
    b.line(part.call("step", offset))
    if own is not None:
        b.lanes(f"@{verdict} = @{verdict} if @{verdict} >= {FAILED} else max(@{verdict}, @{own})")


def _write_codes(b: KernelBuilder, saved: Rows) -> None:
    """Undo the whole step in lanes where a part failed, and find the worst code."""
    b.lanes(*[f"@{k} = @{row} if code[l] >= {FAILED} else @{k}" for k, row in enumerate(saved)])
    b.line("worst = 0")
    with b.loop("for l in range(L):"):
        b.line("worst = max(worst, code[l])")


def _hand_over(b: KernelBuilder, before: Part, after: Part, here: str = "", there: str = "") -> None:
    """Read the state out of one carry and build the next from it; the places are those of their numbers."""
    b.line(before.call("finish", here))
    source, target = before.stage.program.state_row, after.stage.program.state_row
    order = range(before.stage.program.state_size)
    steps = list(order) if target < source else list(reversed(order))
    if source != target:
        for k in steps:
            b.lanes(f"@{target + k} = @{source + k}", join=True)
    b.line(after.call("start", there))
