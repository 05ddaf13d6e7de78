"""Kernel of the implicit methods: sweeps over all lanes until rounding stops every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._fixed_point import ITERATIONS, noise_level
from .._status import Status
from .._summation import increments
from ..kernels import Rows
from ._equations import NOISE_OF_STATE
from ._newton_kernel import emit_matrix, emit_solve
from ._quadrature import continuation, quadrature

if TYPE_CHECKING:
    from .._method import StepCode
    from ._stages import StageMethod


def _slopes(method: StageMethod, code: StepCode) -> list[Rows]:
    n = len(code.state)
    return [code.carried[i * n : (i + 1) * n] for i in range(method.stages)]


def _weights(method: StageMethod, code: StepCode) -> list[str]:
    values = [float(b) for b in quadrature(method.kind, method.stages)[1]]
    place = code.builder.parameter(method.h * torch.tensor(values, dtype=torch.float64))
    return [code.builder.number(place + i) for i in range(method.stages)]


def emit_start(method: StageMethod, code: StepCode) -> None:
    """Write the slope at the state, weighted, into the rows of every stage, and no rounding errors."""
    weights, slopes = _weights(method, code), _slopes(method, code)
    b, n = code.builder, len(code.state)
    targets = [
        "\n".join(f"@{rows[c]} = {w} * {{0}}" for w, rows in zip(weights, slopes, strict=True))
        for c in range(n)
    ]
    method.system.emit_field(b, code.offset, code.state, code.control, targets)
    b.lanes(*[f"@{row} = 0.0" for row in code.carried[method.stages * n :]], join=True)


def emit_step(method: StageMethod, code: StepCode) -> None:
    """Write the continuation of the slopes, the sweeps, the verdict and the sum."""
    b, x, n = code.builder, code.state, len(code.state)
    slopes, weights = _slopes(method, code), _weights(method, code)
    stage, (change, scale, before, size, settled) = b.rows(n), b.rows(5)
    _continue(method, code, slopes)
    b.lanes(
        f"@{size} = " + " + ".join(f"abs(@{row})" for row in x),
        f"@{before} = 1e300\n@{settled} = 0.0",
        join=True,
    )
    moving, limit = f"moving_{stage[0]}", method.repeats - 0.5
    errors = code.carried[method.stages * n :]
    newton = method.solver == "newton"
    matrix = emit_matrix(method, code, slopes, stage, size) if newton else 0
    steps = b.rows(method.stages * n if newton else 0)
    terms = _coupling_terms(method, code, slopes)
    b.line(f"{moving} = L")
    b.line(f"sweep_{moving} = 0")
    with b.loop(f"while {moving} > 0 and sweep_{moving} < {ITERATIONS}:"):
        b.line(f"sweep_{moving} += 1")
        b.lanes(f"@{change} = 0.0\n@{scale} = 0.0")
        for i, weight in enumerate(weights):
            sums = [f"({terms[i][c]} - @{errors[c]})" if errors else terms[i][c] for c in range(n)]
            b.lanes(*[f"@{stage[c]} = @{x[c]} + {sums[c]}" for c in range(n)], join=True)
            if newton:
                rows = zip(steps[i * n :], slopes[i], strict=False)
                targets = [f"@{step} = {weight} * {{0}} - @{row}" for step, row in rows]
            else:
                targets = [
                    f"new = {weight} * {{0}}\n@{change} = max(@{change}, abs(new - @{row}))\n"
                    f"@{scale} = @{scale} + abs(new)\n@{row} = new if @{settled} < {limit} else @{row}"
                    for row in slopes[i]
                ]
            method.system.emit_field(b, code.offset, stage, code.control, targets)
        if newton:
            emit_solve(b, matrix, steps)
            for step, row in zip(steps, (row for rows in slopes for row in rows), strict=True):
                b.lanes(
                    f"new = @{row} + @{step}\n@{change} = max(@{change}, abs(@{step}))\n"
                    f"@{scale} = @{scale} + abs(new)\n@{row} = new if @{settled} < {limit} else @{row}",
                    join=True,
                )
        b.lanes(_settle(method, code, change, scale, before, size, settled), join=True)
        b.line(f"{moving} = 0")
        with b.loop("for l in range(L):"):
            b.line(f"{moving} += 1 if A[{settled} * L + l] < {limit} else 0")
    verdict, failed = code.verdict[0], float(Status.NOT_CONVERGED)
    b.lanes(f"@{verdict} = max(@{verdict}, 0.0 if @{settled} > {limit} else {failed})")
    for c, add in enumerate(increments(x, errors)):
        total = " + ".join(f"@{rows[c]}" for rows in slopes)
        b.lanes(add.format(f"({total})"), join=True)


def _settle(
    method: StageMethod, code: StepCode, change: int, scale: int, before: int, size: int, settled: int
) -> str:
    """Statements that count how often rounding has stopped a lane; one without numbers stops at once."""
    if method.tolerance is not None:
        goal = code.builder.number(code.builder.parameter(torch.tensor([method.tolerance])))
        done = f"1.0 if @{change} <= {goal} else 0.0"
    else:
        level = noise_level(torch.float64)
        small = f"{level!r} * (@{scale} + {NOISE_OF_STATE!r} * @{size})"
        done = f"1.0 if (@{change} == 0.0) | ((@{change} >= @{before}) & (@{change} <= {small})) else 0.0"
    return (
        f"done = {done}\nlost = 0.0 if @{scale} < 1e300 else {float(method.repeats)}\n"
        f"@{settled} = @{settled} + max(done, lost)\n@{before} = @{change}"
    )


def _products(code: StepCode, matrix: Tensor, slopes: list[Rows], c: int, place: int) -> list[str]:
    """For each row of a matrix the sum of its products with one component of the slopes."""
    names = [
        [code.builder.number(place + i * len(slopes) + j) for j in range(len(slopes))]
        for i in range(len(slopes))
    ]
    return [
        " + ".join(
            f"{names[i][j]} * @{slopes[j][c]}" for j in range(len(slopes)) if float(matrix[i, j]) != 0.0
        )
        or "0.0"
        for i in range(len(slopes))
    ]


def _coupling_terms(method: StageMethod, code: StepCode, slopes: list[Rows]) -> list[list[str]]:
    """By stage and component: what is added to the state."""
    columns = []
    for first, last, matrix in method.couplings():
        place = code.builder.parameter(matrix)
        columns += [_products(code, matrix, slopes, c, place) for c in range(first, last)]
    return [[column[i] for column in columns] for i in range(method.stages)]


def _continue(method: StageMethod, code: StepCode, slopes: list[Rows]) -> None:
    """Continue the slopes of the step before by their polynomial."""
    if method.stages == 1:
        return
    matrix = torch.tensor(continuation(method.kind, method.stages), dtype=torch.float64)
    place = code.builder.parameter(matrix)
    for c in range(len(code.state)):
        values = _products(code, matrix, slopes, c, place)
        lines = [f"guess_{i} = {value}" for i, value in enumerate(values)]
        lines += [f"@{rows[c]} = guess_{i}" for i, rows in enumerate(slopes)]
        code.builder.lanes(*lines, join=True)
