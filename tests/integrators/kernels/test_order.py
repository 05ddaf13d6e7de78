"""The order of statements in a loop over lanes."""

from __future__ import annotations

from integrators.kernels import on_demand


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
