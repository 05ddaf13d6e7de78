"""Assembly of kernel source."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from integrators.kernels import KernelBuilder, lane_text

from ._interpreted import run_section


def test_lane_text_replaces_rows_of_any_number_of_digits() -> None:
    assert lane_text("@3 = -@12*@0 + x") == "A[3 * L + l] = -A[12 * L + l]*A[0 * L + l] + x"
    assert lane_text("@10") == "A[10 * L + l]"
    assert lane_text("no rows") == "no rows"


def test_rows_and_parameters_are_laid_out_without_gaps() -> None:
    b = KernelBuilder()
    assert b.rows(2) == [0, 1]
    assert b.rows(0) == []
    assert b.rows(3) == [2, 3, 4]
    assert b.parameter(torch.arange(6.0).view(2, 3)) == 0
    assert b.parameter(torch.tensor(7.0)) == 6
    assert b.flat_parameters().tolist() == [0, 1, 2, 3, 4, 5, 7]


def test_parameters_are_read_when_asked_for_not_when_reserved() -> None:
    b, value = KernelBuilder(), torch.zeros(2)
    b.parameter(value)
    value.add_(5)
    assert b.flat_parameters().tolist() == [5, 5]


def test_sections_run_over_all_lanes_with_parameters() -> None:
    b = KernelBuilder()
    x, y, z = b.rows(3)
    p = b.parameter(torch.tensor([2.0, 10.0]))
    b.section("start")
    b.load(["scale", "shift"], p)
    with b.loop("for k in range(2):"):
        b.lanes(f"@{z} += scale * @{x}\n@{z} += @{y}", "")
    b.lanes(f"@{z} += shift")
    rows = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    assert run_section(b, "start", rows)[z].tolist() == [34, 58, 82]


def test_codes_are_truncated_verdicts_and_their_worst() -> None:
    b = KernelBuilder()
    verdict = b.rows(1)[0]
    b.section("step")
    b.emit_codes(verdict)
    functions: dict[str, object] = {
        "A": np.array([0.0, 3.0, 1.0]),
        "L": 3,
        "code": np.zeros(3, dtype=np.int64),
    }
    exec(b.function("step", "A, P, code", "worst") + "\nresult = step(A, None, code)", functions)
    assert functions["result"] == 3
    assert list(functions["code"]) == [0, 3, 1]  # type: ignore[call-overload]


@pytest.mark.parametrize("count", range(8))
@pytest.mark.parametrize("statement", ["@{x} = @{x} * {w} + {v}", "@{x} = @{x} * {w} + max({v}, -9.0)"])
def test_passes_take_their_own_numbers_in_order(count: int, statement: str) -> None:
    """Both where passes are taken by threes and where a function in them forbids it."""
    b = KernelBuilder()
    x = b.rows(1)[0]
    numbers = torch.arange(1.0, 17.0)
    b.section("start")
    size = b.parameter(torch.tensor([float(count)]))
    offset = b.parameter(numbers)
    b.passes(
        f"int(P[{size}])", offset, 2, lambda n: b.lanes(statement.format(x=x, w=n[0], v=n[1]), join=True)
    )
    assert (b.function("start", "A, P").count("for l in") == 2) == ("max" not in statement)
    expected = np.array([1.0, -2.0])
    for w, v in numbers.reshape(-1, 2)[:count].tolist():
        expected = expected * w + v
    assert run_section(b, "start", np.array([[1.0, -2.0]]))[x].tolist() == expected.tolist()


def test_only_short_loops_without_divisions_are_executed_twice() -> None:
    b = KernelBuilder()
    x = b.rows(1)[0]
    b.parameter(torch.tensor([3.0]))
    texts = {"short": [f"@{x} = @{x} * {{}}"], "slow": [f"@{x} = 1.0 / @{x}"], "long": [f"@{x} += 1.0"] * 9}
    for name, statements in texts.items():
        b.section(name)
        b.lanes(*[s.format(b.number(0)) for s in statements])
    b.section("two")
    for _ in range(2):
        b.lanes(f"@{x} += 1.0")
    assert [b.function_twice(name, "A, P", 8) is None for name in (*texts, "two", "none")] == [
        False, True, True, True, True,
    ]  # fmt: skip
    scope = {"A": np.array([2.0, 1.0]), "P": np.array([3.0]), "L": 2}
    exec(f"{b.function_twice('short', 'A, P', 8)}\nshort_twice(A, P)", scope)
    assert scope["A"].tolist() == [18.0, 9.0]  # type: ignore[attr-defined]
