"""Where the factors go: the running average of KFAC, the nearest Kronecker product, and nowhere singular."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from geomlearn.optim._natural_gradient._kronecker import (
    KroneckerFactors,
    KroneckerRule,
    kronecker_start,
    kronecker_update,
)
from geomlearn.optim._natural_gradient._statistics import pulled_gram
from geomlearn.optim._natural_gradient._structures import make_structure
from lie import StructuredFactor

ONE = make_structure("dense", 1)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def eye(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)


def moment(n: int, rows: int, seed: int, floor: float = 0.0) -> Tensor:
    X = normal(rows, n, seed=seed)
    return X.T @ X / rows + floor * eye(n)


def pulled(structure: StructuredFactor, stored: Tensor, U: Tensor) -> Tensor:
    A = structure.unpack(stored)
    return structure.pack(structure.project(A.T @ U @ A))


def alone(structure: StructuredFactor, K: Tensor, H_K: Tensor, rule: KroneckerRule) -> Tensor:
    """Move the factor of the inputs of an IKFAC layer, which the other does not touch."""
    one = ONE.packed.identity(dtype=K.dtype)
    return kronecker_update(structure, ONE, KroneckerFactors(K, one, None, None), H_K, one, rule).K


def off(structure: StructuredFactor, stored: Tensor, S: Tensor) -> float:
    """Error of K K^T as the inverse of S, relative in the Frobenius norm."""
    K = structure.unpack(stored).double()
    inverse = torch.linalg.inv(S)
    return float((K @ K.T - inverse).norm() / inverse.norm())


def slopes(errors: list[float]) -> list[float]:
    return [math.log2(a / b) for a, b in itertools.pairwise(errors)]


@pytest.mark.parametrize("h", ["h1", "h2"])
@pytest.mark.parametrize("name", ["dense", "triangular"])
def test_a_step_of_ikfac_agrees_with_kfac_to_first_order(name: str, h: str) -> None:
    n, damping = 8, 0.1
    structure = make_structure(name, n)
    S, U = moment(n, 20, 0), moment(n, 20, 1)
    K = structure.pack(torch.linalg.cholesky(torch.linalg.inv(S + damping * eye(n))))
    errors = []
    for rate in (0.1 / 2**k for k in range(7)):
        moved = alone(
            structure, K, pulled(structure, K, U), KroneckerRule("ikfac", rate, damping=damping, h=h)
        )
        errors.append(off(structure, moved, (1 - rate) * S + rate * U + damping * eye(n)))
    assert slopes(errors)[-1] == pytest.approx(2, abs=0.05)
    assert errors[3] < 4e-3


@pytest.mark.parametrize("h", ["h1", "h2"])
def test_ikfac_follows_the_average_of_kfac_over_a_fixed_time(h: str) -> None:
    n, damping = 8, 0.1
    structure, U = make_structure("dense", n), moment(n, 20, 1)
    errors = []
    for rate in (0.1 / 2**k for k in range(5)):
        rule = KroneckerRule("ikfac", rate, damping=damping, h=h)
        K, S = structure.packed.identity(dtype=torch.float64), (1 - damping) * eye(n)
        for _ in range(round(2 / rate)):
            K, S = alone(structure, K, pulled(structure, K, U), rule), (1 - rate) * S + rate * U
        errors.append(off(structure, K, S + damping * eye(n)))
    assert slopes(errors)[-1] == pytest.approx(1, abs=0.05)
    assert errors[-1] < 1e-3


def nearest_product(U: Tensor, G: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Minimise the Kullback-Leibler divergence to (U (x) G + damping)^-1, one factor in turn.

    The derivative by the inverse of P is zero at (tr(G Q) U + damping tr(Q) I) / d_o, likewise for Q.
    """
    P, Q = eye(len(U)), eye(len(G))
    for _ in range(100):
        P = torch.linalg.inv((torch.trace(G @ Q) * U + damping * torch.trace(Q) * eye(len(U))) / len(G))
        Q = torch.linalg.inv((torch.trace(U @ P) * G + damping * torch.trace(P) * eye(len(G))) / len(U))
    return P, Q


def divergence(target: Tensor, product: Tensor) -> float:
    """Of the normal distribution with covariance ``product`` from that with precision ``target``."""
    both = target @ product
    return float(0.5 * (torch.trace(both) - len(both) - torch.linalg.slogdet(both)[1]))


def settled(U: Tensor, G: Tensor, damping: float, h: str = "h2", steps: int = 600) -> tuple[Tensor, Tensor]:
    """K K^T and C C^T after many steps of INGD with the same moments."""
    inputs, outputs = make_structure("dense", len(U)), make_structure("triangular", len(G))
    rule = KroneckerRule("ingd", 0.1, damping=damping, h=h)
    factors = kronecker_start(inputs, outputs, rule, torch.float64)
    for _ in range(steps):
        H_K, H_C = pulled(inputs, factors.K, U), pulled(outputs, factors.C, G)
        factors = kronecker_update(inputs, outputs, factors, H_K, H_C, rule)
    K, C = inputs.unpack(factors.K), outputs.unpack(factors.C)
    return K @ K.T, C @ C.T


@pytest.mark.parametrize("h", ["h1", "h2"])
def test_ingd_without_damping_ends_at_the_inverse(h: str) -> None:
    U, G = moment(6, 18, 0), moment(4, 12, 1)
    P, Q = settled(U, G, 0.0, h)
    exact = torch.kron(torch.linalg.inv(U), torch.linalg.inv(G))
    assert float((torch.kron(P, Q) - exact).norm() / exact.norm()) < 1e-10


@pytest.mark.parametrize(
    ("damping", "gain", "error", "gap"), [(0.1, 7.6, 0.039, 0.0072), (0.01, 4.5, 0.0063, 1.5e-4)]
)
def test_ingd_with_damping_ends_at_the_nearest_product(
    damping: float, gain: float, error: float, gap: float
) -> None:
    U, G = moment(6, 18, 0, floor=0.3), moment(4, 12, 1, floor=0.3)
    found, best = torch.kron(*settled(U, G, damping)), torch.kron(*nearest_product(U, G, damping))
    assert float((found - best).norm() / best.norm()) < 1e-10
    target = torch.kron(U, G) + damping * eye(24)
    inverse = torch.linalg.inv(target)
    assert float((found - inverse).norm() / inverse.norm()) < error
    per_factor = torch.kron(torch.linalg.inv(U + damping * eye(6)), torch.linalg.inv(G + damping * eye(4)))
    assert divergence(target, found) < gap
    assert gain * divergence(target, found) < divergence(target, per_factor)


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize(("n", "rate"), [(256, 0.05), (128, 0.1)])
@pytest.mark.parametrize("h", ["h1", "h2"])
def test_correlated_inputs_do_not_blow_factors_up(n: int, rate: float, h: str, variant: str) -> None:
    """Inputs near 1 have a moment with the eigenvalue n, a step 0.5 rate n long without a bound."""
    inputs, outputs = make_structure("dense", n), make_structure("dense", 4)
    rule = KroneckerRule(variant, rate, h=h)
    factors = kronecker_start(inputs, outputs, rule)
    for step in range(100):
        a, g = (1 + 0.1 * normal(32, n, seed=step)).float(), normal(32, 4, seed=1000 + step).float()
        H_K, H_C = pulled_gram(inputs, factors.K, a) / 32, pulled_gram(outputs, factors.C, g) / 32
        factors = kronecker_update(inputs, outputs, factors, H_K, H_C, rule)
    singular = torch.linalg.svdvals(inputs.unpack(factors.K).double())
    assert float(singular[-1]) > 1e-2
    # The root of the moment with damping has the condition ((n + 0.01) / 0.011)^(1/2) if nothing is averaged.
    exact = math.sqrt((n + 0.01) / 0.011) if variant == "ikfac" else math.sqrt((n + 0.01) / 0.01)
    assert float(singular[0] / singular[-1]) < 1.5 * exact


def test_without_a_bound_correlated_inputs_would() -> None:
    inputs, rule = make_structure("dense", 256), KroneckerRule("ikfac", 0.05, step_bound=None)
    K = inputs.packed.identity(dtype=torch.float64)
    for step in range(9):
        a = 1 + 0.1 * normal(32, 256, seed=step)
        K = alone(inputs, K, pulled_gram(inputs, K, a) / 32, rule)
    assert not float(K.abs().max()) < 1e6


@pytest.mark.parametrize("cond", [10, 1000])
@pytest.mark.parametrize("rate", [0.1, 0.03, 0.01])
def test_rows_of_bfloat16_cost_float32_factors_nothing(cond: int, rate: float) -> None:
    """Against KFAC's average of the same rows in float64; in bfloat16 factors would stop short of it."""
    n, rows, damping = 64, 128, 1e-3
    Q, P = (torch.linalg.qr(normal(size, n, seed=size)).Q for size in (n, rows))
    spectrum = torch.logspace(-math.log10(cond), 0, n, dtype=torch.float64)
    a = (math.sqrt(rows) * P @ (spectrum.sqrt()[:, None] * Q.T)).bfloat16()
    U = a.double().T @ a.double() / rows
    structure = make_structure("dense", n)
    rule = KroneckerRule("ikfac", rate, damping=damping, h="h1", step_bound=0.99)
    S = (1 - damping) * eye(n)
    factors = {dtype: structure.packed.identity(dtype=dtype) for dtype in (torch.float32, torch.float64)}
    for _ in range(round(4 / rate)):
        S = (1 - rate) * S + rate * U
        for dtype, K in factors.items():
            factors[dtype] = alone(structure, K, pulled_gram(structure, K, a) / rows, rule)
    errors = {dtype: off(structure, K, S + damping * eye(n)) for dtype, K in factors.items()}
    assert errors[torch.float32] < 1.1 * errors[torch.float64]
    known = {(1000, 0.1): 0.204, (1000, 0.03): 0.064, (1000, 0.01): 0.022}
    if (cond, rate) in known:
        assert errors[torch.float32] == pytest.approx(known[cond, rate], rel=0.03)
    elif cond == 10:
        assert errors[torch.float32] < {0.1: 0.089, 0.03: 0.013, 0.01: 0.0042}[rate]
