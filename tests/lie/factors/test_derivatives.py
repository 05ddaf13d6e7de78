"""Derivatives, batches, transforms, compilation and dtypes of structured factors."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from .cases import BANDS, EPS, GROUPS, draw, dtypes, everything, label, make, normal, symmetric


@everything
def test_derivatives_of_moving_and_projecting(case):
    factor = make(case, 4 if case[0] != "hierarchical" else 6)
    A = draw(factor, seed=1).requires_grad_()
    eta = 0.3 * normal(factor.dim, seed=2)

    def moved(A, eta, h):
        A = factor.nearest(A)
        return factor.matrix(factor.retract(A, factor.from_coordinates(eta, A), h))

    def pulled(A, H):
        A = factor.nearest(A)
        return factor.coordinates(factor.project(H, A), A)

    H = symmetric(n=factor.n, seed=3).requires_grad_()
    check = partial(torch.autograd.gradcheck, check_forward_ad=True, fast_mode=True)
    assert check(pulled, (A, H))
    for h in ("exp", "h2", "cayley") if factor.closed else (None,):
        for start in (eta, torch.zeros_like(eta)):
            function = lambda A, eta, h=h: moved(A, eta, h)  # noqa: E731
            inputs = (A, start.clone().requires_grad_())
            assert check(function, inputs, check_batched_grad=h is None or start is eta)
            assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("case", [GROUPS[0], GROUPS[3], GROUPS[5], GROUPS[12], BANDS[0]], ids=label)
def test_hessians_of_a_batch_are_those_of_its_elements(case):
    factor = make(case, 4)
    A, eta = draw(factor, 2, seed=1), 0.3 * normal(2, factor.dim, seed=2)
    for h in ("exp", "h2", "cayley") if factor.closed else (None,):

        def value(eta, A, h=h):
            moved = factor.retract(A, factor.from_coordinates(eta, A), h)
            return factor.inverse_matrix(moved).sin().sum() + factor.project(moved, moved).square().sum()

        hessian = torch.func.hessian(value)
        single = torch.stack([hessian(*pair) for pair in zip(eta, A)])
        torch.testing.assert_close(torch.vmap(hessian)(eta, A), single, rtol=1e-11, atol=1e-11)


OPERATIONS = (
    "project",
    "coordinates",
    "from_coordinates",
    "retract",
    "gradient",
    "factorize",
    "pack",
    "residual",
)


def evaluate(factor, operation, A, N, H, eta):
    """One operation, as a function of tensors."""
    return {
        "project": lambda: factor.project(H, A),
        "coordinates": lambda: factor.coordinates(N, A),
        "from_coordinates": lambda: factor.from_coordinates(eta, A),
        "retract": lambda: factor.retract(A, N),
        "gradient": lambda: factor.gradient_of_matrix(A, H),
        "factorize": lambda: factor.factorize(factor.matrix(A)),
        "pack": lambda: factor.unpack(factor.pack(A)),
        "residual": lambda: factor.residual(A + N),
    }[operation]()


@everything
def test_batches_of_any_shape_and_vmap_are_elementwise(case):
    factor = make(case, 6)
    for shape in ((), (0,), (2, 1, 2)):
        A, H = draw(factor, *shape, seed=1), symmetric(*shape, n=6, seed=2)
        eta = normal(*shape, factor.dim, seed=3)
        N = factor.from_coordinates(eta, A)
        flat = [x.reshape(-1, *x.shape[len(shape) :]) for x in (A, N, H, eta)]
        for operation in OPERATIONS:
            whole = evaluate(factor, operation, A, N, H, eta)
            assert whole.shape[: len(shape)] == shape
            if not whole.numel():
                continue
            function = lambda *x, operation=operation: evaluate(make(case, 6), operation, *x)  # noqa: E731
            single = torch.stack([function(*x) for x in zip(*flat, strict=True)])
            torch.testing.assert_close(whole.reshape(single.shape), single, rtol=1e-13, atol=1e-13)
            torch.testing.assert_close(torch.vmap(function)(*flat), single, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", [GROUPS[6], GROUPS[14], BANDS[0]], ids=label)
def test_compiled_from_the_first_use_on(case):
    """A fresh structure makes its tables inside the compiler; what it makes there does not leak out."""
    torch._dynamo.reset()
    factor = make(case, 6)
    A, H, eta = draw(factor, 2, seed=1), symmetric(2, n=6, seed=2), normal(2, factor.dim, seed=3)
    fresh = make(case, 6)

    def step(A, eta, H):
        N = fresh.from_coordinates(eta, A) - 0.1 * fresh.project(H, A)
        moved = fresh.retract(A, N)
        return fresh.matrix(moved), fresh.packed.multiply(fresh.pack(moved), H)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    eta.requires_grad_()
    results, truth = compiled(A, eta, H), step(A, eta, H)
    for got, expected in zip(results, truth):
        torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-13)
    slopes = [torch.autograd.grad(sum(x.sin().sum() for x in parts), eta)[0] for parts in (results, truth)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)
    torch._dynamo.reset()


def test_nothing_made_inside_a_transform_or_inference_outlives_it():
    for case in GROUPS + BANDS:
        factor = make(case, 5 if case[0] != "hierarchical" else 6)
        A, eta = factor.identity(dtype=torch.float64), normal(factor.dim, seed=1)
        value = lambda eta, factor=factor, A=A: factor.retract(A, factor.from_coordinates(eta, A)).sum()  # noqa: E731
        with torch.inference_mode():
            value(eta)
        torch.vmap(torch.func.grad(value))(eta.expand(2, -1))
        leaf = eta.clone().requires_grad_()
        value(leaf).backward()
        assert leaf.grad is not None
        assert not factor.project(A, A).requires_grad


@everything
@dtypes
def test_results_have_the_dtype_of_the_inputs(case, dtype):
    factor = make(case, 6)
    A, H, eta = (
        draw(factor, seed=1, dtype=dtype),
        symmetric(n=6, seed=2).to(dtype),
        normal(factor.dim, seed=3, dtype=dtype),
    )
    N = factor.from_coordinates(eta, A)
    for operation in OPERATIONS:
        got = evaluate(factor, operation, A, N, H, eta)
        assert got.dtype == dtype
        exact = evaluate(factor, operation, A.double(), N.double(), H.double(), eta.double())
        if operation != "residual":
            torch.testing.assert_close(
                got.double(), exact, rtol=0, atol=200 * EPS[dtype] * float(exact.abs().max())
            )
    assert factor.retract(A, N.double()).dtype == torch.float64
    assert factor.retract(A.double(), N).dtype == torch.float64
