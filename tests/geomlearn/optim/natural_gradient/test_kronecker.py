"""Kronecker factors on compact storage beside their recursion in dense matrices."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.optim._natural_gradient._kronecker import (
    KroneckerFactors,
    KroneckerRule,
    kronecker_direction,
    kronecker_start,
    kronecker_update,
)
from geomlearn.optim._natural_gradient._statistics import captured_share, pulled_gram
from geomlearn.optim._natural_gradient._structures import make_structure
from lie import StructuredFactor

NAMES = ["dense", "diagonal", "block-4", "triangular", "hierarchical-2-3", "toeplitz", "rank-2"]
structures = pytest.mark.parametrize("name", NAMES)
variants = pytest.mark.parametrize("variant", ["ikfac", "ingd"])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Dense:
    """The recursion of the papers for one pair of factors, in dense matrices, with h2 or h1 and a bound."""

    def __init__(self, inputs: StructuredFactor, outputs: StructuredFactor, rule: KroneckerRule) -> None:
        self.pair, self.rule = (inputs, outputs), rule
        self.A = [torch.eye(s.n, dtype=torch.float64) for s in self.pair]
        self.m = [torch.zeros_like(A) for A in self.A]
        self.shortened = 0

    def update(self, moments: tuple[Tensor, Tensor]) -> None:
        rule = self.rule
        H = [s.project(A.T @ M @ A) for s, A, M in zip(self.pair, self.A, moments)]
        own = [s.project(A.T @ A) for s, A in zip(self.pair, self.A)]
        t = lambda X: X.trace() / len(X)  # noqa: E731
        moved = []
        for i, j in ((0, 1), (1, 0)):
            structure = self.pair[i]
            eye = torch.eye(len(self.A[i]), dtype=torch.float64)
            if rule.variant == "ingd":
                G = 0.5 * (t(H[j]) * H[i] + rule.damping * t(own[j]) * own[i] - eye)
                self.m[i] = 0.5 * self.m[i] + G
            else:
                self.m[i] = 0.5 * (H[i] + rule.damping * own[i] - eye)
            N = -rule.rate * self.m[i]
            length = float(structure.packed.norm_bound(structure.pack(N)))
            if rule.step_bound is not None and length > rule.step_bound:
                self.shortened += 1
                N = N * rule.step_bound / length
            moved.append(self.A[i] @ (eye + N + (0.5 * N @ N if rule.h == "h2" else 0)))
        self.A = moved


@structures
@variants
@pytest.mark.parametrize("h", ["h1", "h2"])
def test_the_recursion(name: str, variant: str, h: str) -> None:
    inputs, outputs = make_structure(name, 11), make_structure(name, 7)
    rule = KroneckerRule(variant, 0.2, damping=0.1, h=h)
    factors, dense = kronecker_start(inputs, outputs, rule, torch.float64), Dense(inputs, outputs, rule)
    for step, scale in enumerate((0.3, 0.3, 0.3, 4, 2, 1, 0.3, 0.3)):
        a, g = scale * normal(6, 11, seed=step), 0.2 * scale * normal(5, 7, seed=100 + step)
        H_K, H_C = pulled_gram(inputs, factors.K, a) / 6, 5 * pulled_gram(outputs, factors.C, g)
        before = factors.K.clone()
        moved = kronecker_update(inputs, outputs, factors, H_K, H_C, rule)
        assert torch.equal(factors.K, before)
        factors = moved
        dense.update((a.T @ a / 6, 5 * g.T @ g))
        torch.testing.assert_close(inputs.unpack(factors.K), dense.A[0], rtol=0, atol=1e-13)
        torch.testing.assert_close(outputs.unpack(factors.C), dense.A[1], rtol=0, atol=1e-13)
    assert 0 < dense.shortened < 16
    assert (factors.m_K is None) == (factors.m_C is None) == (variant == "ikfac")
    gradient = normal(7, 11, seed=50)
    K, C = dense.A
    direction = kronecker_direction(inputs, outputs, factors, gradient)
    torch.testing.assert_close(direction, C @ C.T @ gradient @ K @ K.T, rtol=1e-12, atol=1e-12)
    # Nothing else than the pattern has become other than zero.
    torch.testing.assert_close(inputs.pack(dense.A[0]), factors.K, rtol=0, atol=1e-13)


@structures
def test_small_layers_clip_the_structure(name: str) -> None:
    kind = name.split("-")[0]
    for word, n in itertools.product({name, kind if kind != "rank" else "rank-k"}, (1, 2, 4)):
        structure = make_structure(word, n)
        rule = KroneckerRule("ingd", 0.1)
        factors = kronecker_start(structure, structure, rule)
        H = pulled_gram(structure, factors.K, torch.ones(3, n))
        moved = kronecker_update(structure, structure, factors, H, H, rule)
        assert moved.K.shape == (structure.memory,)
        assert kronecker_direction(structure, structure, moved, torch.ones(n, n)).shape == (n, n)


@variants
def test_a_layer_with_one_factor_follows_the_damped_inverse(variant: str) -> None:
    structure = make_structure("dense", 4)
    a = normal(9, 4)
    rule = KroneckerRule(variant, 0.3, damping=0.1)
    factors = kronecker_start(None, structure, rule, torch.float64)
    for _ in range(400):
        H_K = pulled_gram(None, factors.K, torch.zeros(0))
        H_C = pulled_gram(structure, factors.C, a) / 9
        factors = kronecker_update(None, structure, factors, H_K, H_C, rule)
    C = structure.unpack(factors.C)
    fixed = torch.linalg.inv(a.T @ a / 9 + 0.1 * torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(C @ C.T, fixed, rtol=1e-12, atol=1e-12)
    assert factors.K.shape == (0,)
    gradient = normal(4, 1, seed=1)
    torch.testing.assert_close(
        kronecker_direction(None, structure, factors, gradient), fixed @ gradient, rtol=1e-11, atol=1e-11
    )


@structures
def test_many_rows_are_summed_like_few(name: str) -> None:
    structure = make_structure(name, 6)
    stored, rows = structure.pack(structure.nearest(normal(6, 6, seed=1))), normal(50, 6)
    parts = sum(pulled_gram(structure, stored, part) for part in rows.split(7))
    torch.testing.assert_close(pulled_gram(structure, stored, rows), parts, rtol=0, atol=1e-11)


def test_the_diagonal_of_the_moment_is_as_good_as_its_rows() -> None:
    structure = make_structure("diagonal", 5)
    stored, rows = normal(5, seed=1), torch.eye(5, dtype=torch.float64)[[0, 3, 3, 4]]
    expected = pulled_gram(structure, stored, rows)
    torch.testing.assert_close(pulled_gram(structure, stored, rows.sum(0)), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", ["diagonal", "toeplitz", "block", "hierarchical", "rank-k"])
def test_a_vocabulary_of_many_words_never_becomes_dense(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100,000 words a dense factor would take 40 GB."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made a dense matrix")

    for method in ("pack", "unpack", "identity", "project", "nearest"):
        monkeypatch.setattr(StructuredFactor, method, refuse)
    inputs, outputs = make_structure(name, 100_000), make_structure(name, 5)
    rule = KroneckerRule("ingd")
    factors = kronecker_start(inputs, outputs, rule)
    a = torch.zeros(100_000) if name == "diagonal" else torch.zeros(2, 100_000)
    a[..., 7] = 1
    H_K, H_C = pulled_gram(inputs, factors.K, a), pulled_gram(outputs, factors.C, torch.ones(3, 5))
    factors = kronecker_update(inputs, outputs, factors, H_K, H_C, rule)
    direction = kronecker_direction(inputs, outputs, factors, torch.ones(5, 100_000))
    assert bool(direction.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_factors_stay_float32_whatever_the_rows_and_gradients_are(dtype: torch.dtype) -> None:
    structure = make_structure("triangular", 6)
    rule = KroneckerRule()
    factors = kronecker_start(structure, structure, rule)
    rows = normal(4, 6).to(dtype)
    H = pulled_gram(structure, factors.K, rows)
    torch.testing.assert_close(H, pulled_gram(structure, factors.K, rows.float()), rtol=0, atol=0)
    factors = kronecker_update(structure, structure, factors, H, H, rule)
    direction = kronecker_direction(structure, structure, factors, normal(6, 6).to(dtype))
    assert {x.dtype for x in (H, factors.K, factors.C, direction)} == {torch.float32}
    with pytest.raises(TypeError, match=r"dtype of factors must be .* got torch\.(bfloat16|float16)"):
        kronecker_start(structure, structure, rule, dtype)


@structures
def test_captured_share_of_a_moment(name: str) -> None:
    structure = make_structure(name, 9)
    for rows in (normal(4, 9), normal(30, 9)):
        U = rows.T @ rows
        N = structure.project(U)
        expected = (0.5 * (N + N.T)).square().sum() / U.square().sum()
        torch.testing.assert_close(captured_share(structure, rows), expected, rtol=1e-13, atol=0)
    assert float(captured_share(make_structure("dense", 9), rows)) == pytest.approx(1, rel=1e-14)
    assert float(captured_share(structure, torch.zeros(3, 9))) == 1


def test_update_and_direction_under_vmap() -> None:
    structure = make_structure("hierarchical-1-2", 5)
    rule = KroneckerRule("ingd")
    start = kronecker_start(structure, structure, rule, torch.float64)
    rows = normal(3, 8, 5)

    def run(rows: Tensor) -> Tensor:
        H = pulled_gram(structure, start.K, rows)
        factors: KroneckerFactors = kronecker_update(structure, structure, start, H, H, rule)
        return kronecker_direction(structure, structure, factors, rows[:5])

    torch.testing.assert_close(
        torch.vmap(run)(rows), torch.stack([run(r) for r in rows]), rtol=1e-13, atol=1e-13
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"variant": "kfac"}, "variant must be one of 'ikfac', 'ingd', got 'kfac'"),
    ({"rate": 0.0}, "rate must be above 0 and at most 1, got 0.0"),
    ({"rate": 1.5}, "rate must be above 0 and at most 1, got 1.5"),
    ({"rate": float("nan")}, "rate must be above 0 and at most 1, got nan"),
    ({"damping": -1.0}, "damping must be 0 or more, got -1.0"),
    ({"damping": float("nan")}, "damping must be 0 or more, got nan"),
    ({"momentum": 0.5}, 'momentum of the factors belongs to variant="ingd", got 0.5'),
    ({"variant": "ingd", "momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
    ({"h": "exp"}, "h must be one of 'h1', 'h2', got 'exp'"),
    ({"h": "h1", "step_bound": None}, 'h="h1" without a step_bound lets a factor become singular'),
    ({"h": "h1", "step_bound": 1.0}, "step_bound must be above 0 and below 1 with h='h1', got 1.0"),
    ({"step_bound": 0.0}, "step_bound must be above 0 and below 2 with h='h2', got 0.0"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_rules_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        KroneckerRule(**options)
    assert message in str(caught.value)
