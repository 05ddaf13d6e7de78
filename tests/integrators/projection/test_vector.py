from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd, jacrev, vmap

from integrators import DependentConstraintsError, project_vector

Transform = Callable[..., Callable[..., Tensor]]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain(slope: Tensor, f: Tensor) -> Tensor:
    """The formula as it stands, every derivative of which torch knows."""
    return f - slope.mT @ (torch.linalg.inv(slope @ slope.mT) @ (slope @ f))


def test_projector_is_orthogonal_and_has_the_rank_of_the_tangent_space() -> None:
    slope = draw(3, 8)
    p = torch.stack([project_vector(slope, e) for e in torch.eye(8, dtype=torch.float64)], -1)
    assert (p @ p - p).abs().max() <= 1e-14
    assert (p - p.mT).abs().max() <= 1e-14
    assert (slope @ p).abs().max() <= 1e-14
    assert abs(float(p.trace()) - 5) <= 1e-13


@pytest.mark.parametrize("metric", ["euclidean", "diagonal", "matrix"])
def test_result_is_next_to_the_vector_in_the_metric(metric: str) -> None:
    slope, f, root = draw(3, 8), draw(8, seed=1), draw(8, 8, seed=2)
    full = root @ root.mT + torch.eye(8, dtype=torch.float64)
    mass = {
        "euclidean": torch.eye(8, dtype=torch.float64),
        "diagonal": full.diagonal().diag(),
        "matrix": full,
    }
    given = {"euclidean": "euclidean", "diagonal": full.diagonal(), "matrix": full}
    p = project_vector(slope, f, given[metric])  # type: ignore[arg-type]
    assert (slope @ p).abs().max() <= 1e-13
    tangent = torch.linalg.svd(slope)[2][3:]
    assert (tangent @ mass[metric] @ (f - p)).abs().max() <= 1e-12


def test_rate_is_what_the_vector_has_to_make_up_for() -> None:
    slope, f, rate = draw(5, 3, 8), draw(5, 8, seed=1), draw(5, 3, seed=2)
    p = project_vector(slope, f, rate=rate)
    assert ((slope @ p.unsqueeze(-1)).squeeze(-1) + rate).abs().max() <= 1e-13


def test_symplectic_metric_keeps_second_class_constraints() -> None:
    slope, f = draw(4, 8), draw(8, seed=1)
    p = project_vector(slope, f, "symplectic")
    form = torch.zeros(8, 8, dtype=torch.float64)
    form[:4, 4:], form[4:, :4] = torch.eye(4), -torch.eye(4)
    normal = form @ slope.mT
    expected = f - normal @ torch.linalg.solve(slope @ normal, slope @ f)
    assert (p - expected).abs().max() <= 1e-12
    assert (slope @ p).abs().max() <= 1e-12


@pytest.mark.parametrize("metric", ["euclidean", "symplectic"])
def test_derivatives_backwards_are_right_to_the_second(metric: str) -> None:
    slope, f, rate = draw(2, 6), draw(6, seed=1), draw(2, seed=2)
    inputs = tuple(t.requires_grad_() for t in (slope, f, rate))

    def function(slope: Tensor, f: Tensor, rate: Tensor) -> Tensor:
        return project_vector(slope, f, metric, rate)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_derivatives_backwards_equal_those_through_a_solve() -> None:
    slope, f, cotangent = draw(3, 8), draw(8, seed=1), draw(8, seed=2)
    own = torch.func.vjp(project_vector, slope, f)[1](cotangent)
    reference = torch.func.vjp(plain, slope, f)[1](cotangent)
    for a, b in zip(own, reference, strict=True):
        assert (a - b).abs().max() <= 1e-13 * b.abs().max()
    gram = slope @ slope.mT
    p, multiplier = plain(slope, f), torch.linalg.solve(gram, slope @ f)
    mu = torch.linalg.solve(gram, slope @ cotangent)
    assert (own[1] - plain(slope, cotangent)).abs().max() <= 1e-13
    formula = -torch.outer(mu, p) - torch.outer(multiplier, plain(slope, cotangent))
    assert (own[0] - formula).abs().max() <= 1e-13


@pytest.mark.parametrize("outer", [jacrev, jacfwd], ids=["reverse", "forward"])
@pytest.mark.parametrize("inner", [jacrev, jacfwd], ids=["reverse", "forward"])
def test_transforms_nest(outer: Transform, inner: Transform) -> None:
    slope, f = draw(2, 5), draw(5, seed=1)
    reference = jacrev(jacrev(plain))(slope, f)
    assert (outer(inner(project_vector))(slope, f) - reference).abs().max() <= 1e-13


def test_transforms_over_a_batch() -> None:
    slope, f = draw(4, 2, 5), draw(4, 5, seed=1)
    each = torch.stack([jacrev(plain)(g, v) for g, v in zip(slope, f, strict=True)])
    assert (vmap(jacrev(project_vector))(slope, f) - each).abs().max() <= 1e-13
    assert (vmap(project_vector)(slope, f) - project_vector(slope, f)).abs().max() <= 1e-14


@pytest.mark.parametrize("batch", [(), (0,), (2, 3)], ids=["one", "none", "grid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_batches_and_dtypes(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    slope, f = draw(*batch, 3, 8, dtype=dtype), draw(*batch, 8, seed=1, dtype=dtype)
    p = project_vector(slope, f)
    assert p.dtype == dtype
    assert p.shape == (*batch, 8)
    off = (slope @ p.unsqueeze(-1)).abs()
    assert bool((off <= 20 * torch.finfo(dtype).eps).all())


def test_one_jacobian_for_many_vectors() -> None:
    slope, f = draw(3, 8), draw(6, 8, seed=1)
    assert torch.allclose(
        project_vector(slope, f), torch.stack([plain(slope, v) for v in f]), rtol=0, atol=1e-13
    )


def dependent() -> Tensor:
    slope = draw(3, 8)
    return torch.cat((slope[:2], slope[:1] - 2 * slope[1:2]))


@pytest.mark.parametrize(
    "slope", [dependent(), torch.zeros(1, 8, dtype=torch.float64)], ids=["combination", "zero"]
)
def test_dependent_gradients_are_refused_unless_allowed(slope: Tensor) -> None:
    f = draw(8, seed=1)
    with pytest.raises(DependentConstraintsError, match="rank_deficient=True"):
        project_vector(slope, f)
    with pytest.raises(DependentConstraintsError, match="row 0"):
        vmap(project_vector)(slope.expand(2, -1, -1), f.expand(2, -1))
    p = project_vector(slope, f, rank_deficient=True)
    assert (slope @ p).abs().max() <= 1e-14
    independent = slope[:2]
    expected = f if not slope.any() else plain(independent, f)
    assert (p - expected).abs().max() <= 1e-14


def test_dependent_symplectic_constraints_are_refused() -> None:
    slope = torch.eye(8, dtype=torch.float64)[:2]  # two positions: nothing that they are conjugate to
    with pytest.raises(DependentConstraintsError):
        project_vector(slope, draw(8), "symplectic")


def test_derivatives_where_the_rank_is_deficient() -> None:
    f, root = draw(6).requires_grad_(), draw(2, 6, seed=1).requires_grad_()
    mix = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -2.0]], dtype=torch.float64)

    def function(root: Tensor, f: Tensor) -> Tensor:
        return project_vector(mix @ root, f, rank_deficient=True)

    assert torch.autograd.gradcheck(function, (root, f))
    expected = torch.func.vjp(plain, root.detach(), f.detach())[1](f.detach())
    got = torch.func.vjp(function, root.detach(), f.detach())[1](f.detach())
    assert (got[0] - expected[0]).abs().max() <= 1e-13


def test_badly_scaled_gradients_are_not_dependent() -> None:
    slope = draw(3, 8) * torch.tensor([[1e-6], [1.0], [1e6]], dtype=torch.float64)
    p = project_vector(slope, draw(8, seed=1))
    assert ((slope @ p).abs() / slope.abs().sum(-1)).max() <= 1e-14


@pytest.mark.parametrize(
    ("slope", "vector", "metric", "message"),
    [
        (draw(3, 8), draw(7), "euclidean", "vector"),
        (draw(8), draw(8), "euclidean", "vector"),
        (draw(2, 7), draw(7), "symplectic", "even"),
        (draw(2, 8), draw(8), "hyperbolic", "metric"),
        (draw(2, 8), draw(8), draw(3), "metric"),
    ],
    ids=["sizes", "no matrix", "odd", "unknown", "mass"],
)
def test_what_does_not_fit_is_refused(slope: Tensor, vector: Tensor, metric: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        project_vector(slope, vector, metric)  # type: ignore[arg-type]


def test_a_rate_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        project_vector(draw(3, 8), draw(8), rate=draw(2))
