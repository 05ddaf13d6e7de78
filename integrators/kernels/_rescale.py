"""Programs of maps that live in rescaled coordinates."""

from __future__ import annotations

from torch import Tensor

from ._builder import KernelBuilder
from ._compose import Stage, call_observe, define
from ._program import KernelProgram


def rescale_program(program: KernelProgram, scale: Tensor) -> KernelProgram:
    """Write a program whose states are those of another times factors.

    The carry is that of the other program; factors enter where a rollout starts and where a state is read
    out, so that a step costs nothing more.

    Args:
        program: The program, in coordinates ``x / scale``.
        scale: Factors ``(n,)``.

    Returns:
        The program in coordinates ``x``, which observes what the other one observes.
    """
    b = KernelBuilder()
    b.row_count = program.builder.row_count
    part = define(b, Stage(program, joined=False, takes_control=False))
    state = b.rows(program.state_size)
    inner = range(program.state_row, program.state_row + program.state_size)
    factor = b.parameter(scale)
    b.section("start")
    factors = [b.number(factor + k) for k in range(program.state_size)]
    b.lanes(*[f"@{i} = @{s} / {f}" for i, s, f in zip(inner, state, factors, strict=True)])
    b.line(part.call("start"))
    b.section("step")
    b.line(part.call("step", extra=", code" if program.checked else ""))
    if program.checked:
        b.line("worst = 0")
        with b.loop("for l in range(L):"):
            b.line("worst = max(worst, code[l])")
    b.section("finish")
    b.line(part.call("finish"))
    factors = [b.number(factor + k) for k in range(program.state_size)]
    b.lanes(*[f"@{s} = @{i} * {f}" for i, s, f in zip(inner, state, factors, strict=True)])
    b.section("observe")
    b.line(call_observe(b, part))
    return KernelProgram(
        b,
        carry_size=program.carry_size,
        state_row=state[0],
        state_size=program.state_size,
        control_row=program.control_row,
        observed_row=program.observed_row,
        observed_size=program.observed_size,
        checked=program.checked,
        verdict_row=program.verdict_row,
        controlled=program.controlled,
        double=program.double,
    )
