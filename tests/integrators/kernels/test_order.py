"""The order of statements in a loop over lanes."""

from __future__ import annotations

import numpy as np
import pytest

from integrators.kernels import on_demand
from integrators.kernels._order import LONG_LOOP, streamed


def test_definitions_come_right_before_their_first_use_and_only_if_used() -> None:
    definitions = ["a = @0", "b = @1", "c = a * a", "d = b + c", "idle = b"]
    uses = ["@5 = c", "@6 = d\n@7 = d + a"]
    assert on_demand(definitions, uses) == ["a = @0", "c = a * a", "@5 = c", "b = @1", "d = b + c", uses[1]]


def test_order_stays_where_a_statement_changes_what_a_later_one_reads() -> None:
    definitions = ["a = @0", "b = @1"]
    for uses in (["@1 = a", "@3 = b"], ["@1 += a", "@3 = b"], ["x = @2\n@1 = a", "@3 = b"]):
        assert on_demand(definitions, uses) == [*definitions, *uses]
    assert on_demand(["b = t * @1"], ["t = 2.0", "@3 = b"]) == ["b = t * @1", "t = 2.0", "@3 = b"]
    assert on_demand(definitions, ["@10 = a", "@3 = b"]) == ["a = @0", "@10 = a", "b = @1", "@3 = b"]


def test_long_loops_compute_each_result_at_once() -> None:
    """Two passes over a chain become one, and every entry keeps its value."""
    n = 20
    lines = [f"A[{k} * L + l] = A[{k} * L + l] + h * A[{n + k} * L + l]" for k in range(n)]
    for k in range(n):
        lines += [f"d = A[{(k + 1) % n} * L + l] - A[{k} * L + l]", f"A[{n + k} * L + l] -= h * d"]
    assert len(lines) >= LONG_LOOP
    ordered = streamed(lines)
    assert len(ordered) == len(lines)
    assert ordered.index(f"A[{n} * L + l] -= h * d") < ordered.index(lines[n - 1])
    results = []
    for order in (lines, ordered):
        A = list(np.random.default_rng(0).standard_normal(2 * n))
        exec("\n".join(order), {"A": A, "L": 1, "l": 0, "h": 0.1})
        results.append(A)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "line", ["x = A[(3 + i) * L + l]", "x = norm(A, l)", "code[l] = 1", "if x > 0:", "x = 2.0"]
)
def test_loops_whose_dependences_are_not_plain_keep_their_order(line: str) -> None:
    lines = [*(f"A[{k} * L + l] = x" for k in range(LONG_LOOP)), line]
    assert streamed(lines) == lines
