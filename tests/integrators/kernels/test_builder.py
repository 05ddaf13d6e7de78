"""Assembly of kernel source."""

from __future__ import annotations

import numpy as np
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
