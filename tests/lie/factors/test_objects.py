"""Equality, copies and refusals of structured factors."""

from __future__ import annotations

import copy
import pickle
from typing import cast

import pytest
import torch

from lie import structured_factor

from .cases import BANDS, GROUPS, draw, make, symmetric


def test_structures_are_equal_by_value_and_show_how_they_are_made():
    factor = structured_factor("block_upper", 6, rank=2)
    assert repr(factor) == 'lie.structured_factor("block_upper", 6, rank=2)'
    assert factor == structured_factor("block_upper", 6, rank=2)
    assert factor == structured_factor("block_upper", 6, rank=2, diagonal="last")
    assert factor != structured_factor("block_upper", 6, rank=2, diagonal="first")
    assert factor != structured_factor("block_upper", 7, rank=2)
    assert structured_factor("triangular", 4) == structured_factor("lower", 4)
    assert structured_factor("dense", 4) == structured_factor("full", 4)
    for case in GROUPS + BANDS:
        factor = make(case, 13)
        assert copy.deepcopy(factor.packed) == factor.packed
        for again in (
            copy.deepcopy(factor),
            pickle.loads(pickle.dumps(factor)),
            eval(repr(factor).replace("lie.", "")),
        ):
            assert again == factor
            assert hash(again) == hash(factor)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: structured_factor("banana", 4),
            r"name must be one of 'full', 'diagonal'.*'circulant'.*got 'banana'",
        ),
        (lambda: structured_factor("full", 0), "n must be a whole number, 1 or more, got 0"),
        (lambda: structured_factor("full", cast(int, 2.0)), "n must be a whole number"),
        (lambda: structured_factor("full", 4, rank=2), "'full' takes no options; got rank=2"),
        (lambda: structured_factor("block_diagonal", 4), "takes the options block; got none"),
        (lambda: structured_factor("block_upper", 4, k=2), "takes the options rank, diagonal; got k=2"),
        (
            lambda: structured_factor("block_diagonal", 4, block=5),
            "block must be a whole number from 1 to n = 4, got 5",
        ),
        (lambda: structured_factor("block_diagonal", 4, block=0), "block must be"),
        (lambda: structured_factor("block_lower", 4, rank=5), "rank must be a whole number from 1 to n = 4"),
        (
            lambda: structured_factor("block_lower", 4, rank=1, diagonal="middle"),
            '"first" or "last", got .middle',
        ),
        (lambda: structured_factor("hierarchical", 4, k1=-1, k2=2), "k1 of hierarchical must be"),
        (
            lambda: structured_factor("lower_banded", 4, bandwidth=3),
            'bandwidth must be.*from 1 to n - 2 = 2.*"lower"',
        ),
        (
            lambda: structured_factor("lower", 4).chart(torch.eye(4), torch.eye(4), "h3"),
            "h must be one of 'exp', 'h2', 'h1', 'cayley', got 'h3'",
        ),
        (
            lambda: structured_factor("lower", 4).project(torch.eye(3)),
            r"H must be lower\(4\) matrices of shape \(\.\.\., 4, 4\)",
        ),
        (
            lambda: structured_factor("lower", 4).unpack(torch.ones(9)),
            r"stored must have shape \(\.\.\., 10\)",
        ),
        (
            lambda: structured_factor("lower", 4).from_coordinates(torch.ones(9)),
            r"eta must have shape \(\.\.\., 10\)",
        ),
        (
            lambda: structured_factor("lower", 4).packed.multiply(torch.ones(10), torch.ones(3, 2)),
            r"X must be.*\(\.\.\., 4, 2\)",
        ),
        (
            lambda: structured_factor("lower", 4).chart(torch.eye(4), torch.eye(4, device="meta")),
            "A is on cpu and N on meta",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="H must be float32 or float64"):
        structured_factor("lower", 4).project(torch.eye(4, dtype=torch.float16))


def test_matrices_without_the_pattern_are_refused_by_entry():
    factor = structured_factor("lower", 4)
    A = draw(factor, 2, 3, seed=1)
    factor.check(A)
    bad = A.clone()
    bad[1, 2, 0, 3] = 0.25
    with pytest.raises(
        ValueError,
        match=r"root\[1, 2\] does not have the pattern of lower\(4\): entry \(0, 3\) is off by 0.25",
    ):
        factor.check(bad, "root")
    factor.check(bad, tol=0.3)
    bad = A.clone()
    bad[0, 1, 2, 2] = 0
    with pytest.raises(ValueError, match=r"A\[0, 1\] is singular"):
        factor.check(bad)
    bad[0, 1, 2, 2] = torch.nan
    with pytest.raises(ValueError, match=r"A\[0, 1\] has entries that are not finite"):
        factor.check(bad)
    assert bool(factor.residual(bad)[0, 1].isnan())
    with pytest.raises(ValueError, match=r"pattern of lower_toeplitz\(4\)"):
        structured_factor("lower_toeplitz", 4).check(A[0, 0])
    factor.check(A[:0])


def test_autocast_does_not_reach_the_geometry():
    for n in (6, 24):
        factor = structured_factor("block_lower", n, rank=2)
        A, H = draw(factor, seed=1, dtype=torch.float32), symmetric(n=n, seed=2).float()
        run = lambda factor=factor, A=A, H=H: factor.chart(A, -0.1 * factor.project(A.mT @ H @ A))  # noqa: E731
        plain = factor.chart(A, factor.project(H))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = factor.chart(A, factor.project(H))
        assert run().dtype == torch.float32
        assert torch.equal(plain, cast)
