"""Laws of every shipped group over drawn tangents, batch shapes and dtypes, and its hard places.

Hypothesis draws seeds, sizes, sparsity, shapes and dtypes; the draws are the same in every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lie import SO2, Euclidean, LieGroup, Sim3

from .shipped import GROUPS, MIXED, TURNS, hard_tangents

SHAPES = ((), (0,), (2, 1, 3))
SCALES = (0.0, 1e-12, 1e-6, 1e-3, 0.1, 1.0)
groups = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
quick = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a seed does not shrink
)


@dataclass(frozen=True)
class Draw:
    """What a test draws: a seed, the size of tangents, whether they have one entry, shape and dtype."""

    seed: int
    scale: float
    sparse: bool
    shape: tuple[int, ...]
    dtype: torch.dtype

    def generator(self, key: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + 7919 * key)

    def tangent(self, group: LieGroup, key: int = 0, shape: tuple[int, ...] | None = None) -> Tensor:
        """Tangents of length up to ``scale``, a near half turn at most; ``sparse``: along one coordinate."""
        full = (*(self.shape if shape is None else shape), group.dim)
        xi = torch.randn(full, generator=self.generator(key), dtype=torch.float64)
        if self.sparse:
            xi = xi * torch.nn.functional.one_hot(xi.abs().argmax(-1), group.dim)
        xi = xi / xi.norm(dim=-1, keepdim=True)
        share = torch.rand(*full[:-1], 1, generator=self.generator(key + 1000), dtype=torch.float64)
        reach = 3.0 if group in TURNS else 1.0
        return (reach * self.scale * share * xi).to(self.dtype)

    def element(self, group: LieGroup, key: int = 0, shape: tuple[int, ...] | None = None) -> Tensor:
        return group.exp(self.tangent(group, key, shape))

    def vector(self, *shape: int, key: int = 0) -> Tensor:
        return torch.randn(shape, generator=self.generator(key), dtype=torch.float64).to(self.dtype)


draws = st.builds(
    Draw,
    seed=st.integers(0, 2**31),
    scale=st.sampled_from(SCALES),
    sparse=st.booleans(),
    shape=st.sampled_from(SHAPES),
    dtype=st.sampled_from((torch.float32, torch.float64)),
)


def close(got: Tensor, expected: Tensor, slack: float = 1000.0) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    if got.numel():
        size = max(1.0, float(expected.abs().max()))
        error = float((got - expected).abs().max())
        assert error <= slack * torch.finfo(got.dtype).eps * size, error


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def jvp(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> Tensor:
    derivative: Tensor = torch.func.jvp(function, (x,), (v,))[1]
    return derivative


# Values


@groups
@quick
@given(draws)
def test_log_undoes_exp_and_exp_undoes_log(group: LieGroup, draw: Draw) -> None:
    xi = draw.tangent(group)
    g = group.exp(xi)
    assert g.shape == (*draw.shape, *group.element_shape)
    group.check(g)
    close(group.log(g), xi)
    close(group.exp(group.log(g)), g)
    close(group.exp(-xi), group.inverse(g))
    close(group.vee(group.hat(xi)), xi)
    close(group.project(g), g)
    if group.cayley_closed:
        close(group.cayley_inverse(group.cayley(xi)), xi)


@groups
@quick
@given(draws)
def test_group_and_adjoint_laws(group: LieGroup, draw: Draw) -> None:
    a, b, c = (draw.element(group, key) for key in range(3))
    xi, eta, mu = (draw.tangent(group, key) for key in range(3, 6))
    compose, inverse = group.compose, group.inverse
    close(compose(compose(a, b), c), compose(a, compose(b, c)))
    close(compose(a, inverse(a)), group.identity(*draw.shape, dtype=draw.dtype))
    close(inverse(compose(a, b)), compose(inverse(b), inverse(a)))
    close(group.Ad(compose(a, b)), group.Ad(a) @ group.Ad(b))
    close(group.Ad(group.exp(xi)), torch.linalg.matrix_exp(group.ad(xi)))
    close(compose(compose(a, group.exp(xi)), inverse(a)), group.exp(apply(group.Ad(a), xi)))
    close(apply(group.ad(xi), eta), -apply(group.ad(eta), xi))
    close((group.coadjoint(a, mu) * xi).sum(-1), (mu * apply(group.Ad(a), xi)).sum(-1))
    close((group.coadjoint_algebra(xi, mu) * eta).sum(-1), (mu * apply(group.ad(xi), eta)).sum(-1))
    points = draw.vector(*draw.shape, *group.point_shape)
    close(group.act(compose(a, b), points), group.act(a, group.act(b, points)))


@groups
@quick
@given(draws, st.floats(0, 1, width=32))
def test_geometry(group: LieGroup, draw: Draw, s: float) -> None:
    x, xi, k = draw.element(group), draw.tangent(group, 1), draw.element(group, 2)
    y = group.plus(x, xi)
    close(group.minus(y, x), xi)
    close(group.minus(group.interpolate(x, y, s), x), s * xi)
    length = xi.norm(dim=-1)
    eps = torch.finfo(draw.dtype).eps
    for distance in (group.distance(x, y), group.distance(group.compose(k, x), group.compose(k, y))):
        assert distance.shape == draw.shape
        assert bool(((distance - length).abs() <= 1000 * eps * (1 + length)).all())
    close(group.squared_distance(x, y), length.square())
    if x.numel():
        pair = torch.stack((x, y), len(draw.shape))
        close(group.mean(pair), group.interpolate(x, y, 0.5), 4000.0)


# Derivatives


@groups
@quick
@given(draws)
def test_derivatives_of_exp_and_log(group: LieGroup, draw: Draw) -> None:
    xi, v = draw.tangent(group), draw.vector(*draw.shape, group.dim)
    zero = torch.zeros_like(v)
    g, dg = group.exp(xi), jvp(group.exp, xi, v)
    left = lambda e: group.compose(group.exp(e), g)  # noqa: E731
    right = lambda e: group.compose(g, group.exp(e))  # noqa: E731
    close(jvp(left, zero, apply(group.left_jacobian(xi), v)), dg)
    close(jvp(right, zero, apply(group.right_jacobian(xi), v)), dg)
    log = lambda h: group.log(h, check=False)  # noqa: E731
    close(jvp(log, g, dg), v, 4000.0)
    close(jvp(log, g, jvp(left, zero, v)), apply(group.left_jacobian_inverse(xi), v), 4000.0)
    if group.cayley_closed:
        h, dh = group.cayley(xi), jvp(group.cayley, xi, v)
        moved = apply(group.cayley_jacobian(xi), v)
        close(jvp(lambda e: group.compose(group.exp(e), h), zero, moved), dh)
        eye = torch.eye(group.dim, dtype=draw.dtype).expand(*draw.shape, group.dim, group.dim)
        close(group.cayley_jacobian(xi) @ group.cayley_jacobian_inverse(xi), eye)


@groups
@settings(quick, max_examples=3)
@given(draws)
def test_forward_reverse_and_finite_differences_agree(group: LieGroup, draw: Draw) -> None:
    xi = draw.tangent(group, shape=(2,)).double()
    h = draw.element(group, 1, shape=(2,)).double()
    v = draw.vector(2, group.dim, key=2).double()
    operations = [
        group.exp,
        group.left_jacobian,
        group.left_jacobian_inverse,
        lambda x: group.minus(group.exp(x), h, check=False),
        lambda x: group.squared_distance(h, group.exp(x), check=False),
        lambda x: group.interpolate(h, group.exp(x), 0.3, check=False),
        lambda x: group.Ad(group.inverse(group.exp(x))),
        *((group.cayley, group.cayley_jacobian) if group.cayley_closed else ()),
    ]
    for operation in operations:
        value, pull = torch.func.vjp(operation, xi)[:2]
        forward = jvp(operation, xi, v)
        w = torch.randn(value.shape, generator=draw.generator(3), dtype=torch.float64)
        close((pull(w)[0] * v).sum(), (w * forward).sum())
        step = 1e-4
        ahead, behind = (operation(xi + sign * step * v) for sign in (1, -1))
        difference = (ahead - behind) / (2 * step)
        assert float((difference - forward).abs().max()) <= 1e-6 * max(1.0, float(forward.abs().max()))


@groups
@settings(quick, max_examples=1)
@given(draws)
def test_second_derivatives_agree_in_both_orders_of_modes(group: LieGroup, draw: Draw) -> None:
    xi = draw.tangent(group, shape=(3,)).double()
    h = draw.element(group, 1, shape=()).double()
    cayley_inverse = lambda x: group.cayley_inverse(group.exp(x), check=False)  # noqa: E731
    operations = [
        group.exp,
        group.left_jacobian_inverse,
        lambda x: group.minus(group.exp(x), h, check=False),
        lambda x: group.squared_distance(h, group.exp(x), check=False),
        lambda x: group.project(1.01 * group.exp(x)),
        lambda x: group.residual(1.01 * group.exp(x)),
        *((group.cayley_jacobian, cayley_inverse) if group.cayley_closed else ()),
        lambda x: group.mean(torch.stack((h, group.exp(x))), check=False),
    ]
    for k, operation in enumerate(operations):
        shape = operation(xi[0]).shape
        w = torch.randn(shape, generator=draw.generator(3), dtype=torch.float64)
        function = lambda x, operation=operation, w=w: (w * operation(x)).sum()  # noqa: E731
        forward = torch.vmap(torch.func.hessian(function))(xi)
        reverse = torch.vmap(torch.func.jacrev(torch.func.jacrev(function)))(xi)
        size = max(1.0, float(reverse.abs().max()))
        assert float((forward - reverse).abs().max()) <= 1e-10 * size, k


# Shapes, dtypes, transforms


@groups
@settings(quick, max_examples=2)
@given(draws)
def test_batches_broadcast_and_dtypes_promote(group: LieGroup, draw: Draw) -> None:
    g, h = draw.element(group, 0, (2, 1)), draw.element(group, 1, (3,))
    xi, mu = draw.tangent(group, 2, (3,)), draw.tangent(group, 3, (2, 1))
    points = draw.vector(3, *group.point_shape, key=4)
    s = torch.rand(3, generator=draw.generator(5), dtype=torch.float64).to(draw.dtype)
    for operation, a, b in (
        (group.compose, g, h),
        (group.plus, g, xi),
        (group.minus, g, h),
        (group.act, g, points),
        (group.coadjoint, h, mu),
        (group.coadjoint_algebra, xi, mu),
        (group.distance, g, h),
        (group.squared_distance, g, h),
        (lambda a, b: group.interpolate(a, h, b), g, s),
    ):
        whole = operation(a, b)
        wide = (2, 3)
        full = (x.expand(*wide, *x.shape[2 if x.shape[:2] == (2, 1) else 1 :]) for x in (a, b))
        close(operation(*(x.contiguous() for x in full)), whole)
        assert operation(a.float(), b.double()).dtype == torch.float64
        assert operation(a.double(), b.float()).dtype == torch.float64
        assert operation(a[:0], b[:1]).numel() == 0


@groups
@settings(quick, max_examples=1)
@given(draws)
def test_vmap_over_either_argument_equals_the_batch(group: LieGroup, draw: Draw) -> None:
    g, xi, mu = draw.element(group, 0, (3,)), draw.tangent(group, 1, (3,)), draw.tangent(group, 2, (3,))
    points = draw.vector(3, *group.point_shape, key=3)
    for operation, a, b in (
        (group.compose, g, g.flip(0)),
        (group.plus, g, xi),
        (group.minus, g, g.flip(0)),
        (group.act, g, points),
        (group.coadjoint, g, mu),
        (group.coadjoint_algebra, xi, mu),
        (group.distance, g, g.flip(0)),
    ):
        close(torch.vmap(operation)(a, b), operation(a, b))
        close(torch.vmap(operation, in_dims=(0, None))(a, b[0]), operation(a, b[0]))
        close(torch.vmap(operation, in_dims=(None, 0))(a[0], b), operation(a[0], b))
    if group.cayley_closed:
        close(torch.vmap(group.cayley_inverse)(group.cayley(xi)), xi)
    close(torch.vmap(group.mean)(torch.stack((g, g), 1)), g)


@pytest.mark.parametrize("group", [SO2, Sim3, Euclidean(2), MIXED], ids=lambda group: group.name)
def test_compiled_equals_eager(group: LieGroup) -> None:
    draw = Draw(0, 0.5, False, (3,), torch.float64)
    g, xi = draw.element(group), draw.tangent(group, 1)
    points = draw.vector(3, *group.point_shape)

    def function(g: Tensor, xi: Tensor) -> Tensor:
        h = group.plus(g, xi)
        moved = group.act(h, points).square().sum()
        return moved + group.squared_distance(g, h).sum() + group.coadjoint(h, xi).square().sum()

    torch._dynamo.reset()
    compiled = torch.compile(torch.func.grad_and_value(function, (0, 1)), fullgraph=True, backend="aot_eager")
    got, expected = compiled(g, xi), torch.func.grad_and_value(function, (0, 1))(g, xi)
    torch._dynamo.reset()
    close(got[1], expected[1])
    for a, b in zip(got[0], expected[0]):
        close(a, b)


# Hard places


@groups
@dtypes
def test_nothing_is_infinite_or_nan_at_hard_places(group: LieGroup, dtype: torch.dtype) -> None:
    xi = hard_tangents(group, dtype)
    one = group.identity(dtype=dtype)
    operations = {
        "exp": group.exp,
        "log": lambda x: group.log(group.exp(x), check=False),
        "left_jacobian": group.left_jacobian,
        "left_jacobian_inverse": group.left_jacobian_inverse,
        "Ad": lambda x: group.Ad(group.exp(x)),
        "squared_distance": lambda x: group.squared_distance(one, group.exp(x), check=False),
        "distance_to_itself": lambda x: group.squared_distance(group.exp(x), group.exp(x), check=False),
        "interpolate": lambda x: group.interpolate(one, group.exp(x), 0.3, check=False),
        "project": lambda x: group.project(group.exp(x)),
    }
    if group.cayley_closed:
        operations["cayley"] = group.cayley
        operations["cayley_jacobian_inverse"] = group.cayley_jacobian_inverse
    for name, operation in operations.items():
        shape = operation(xi[0]).shape
        w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
        function = lambda x, operation=operation, w=w: (w * operation(x)).sum()  # noqa: E731
        for order in (lambda f: f, torch.func.grad, torch.func.hessian):
            result = torch.vmap(order(function))(xi)
            assert bool(torch.isfinite(result).all()), (name, order)


@groups
@dtypes
def test_log_undoes_exp_next_to_half_turns(group: LieGroup, dtype: torch.dtype) -> None:
    xi = hard_tangents(group, dtype)
    turn = xi[:, list(TURNS.get(group, ()))].double().norm(dim=-1)
    xi = xi[turn < math.pi - 16 * torch.finfo(dtype).eps]
    close(group.log(group.exp(xi)), xi, 32.0)


@groups
@dtypes
def test_second_derivatives_at_the_identity_are_those_of_the_coordinates(
    group: LieGroup, dtype: torch.dtype
) -> None:
    """Log(exp(xi)) = xi: gradient w, Hessian 0; |log(exp(xi))|^2: gradient 0, Hessian 2."""
    xi = hard_tangents(group, dtype)[: group.dim + 2]
    w = torch.randn(group.dim, generator=torch.Generator().manual_seed(1), dtype=dtype)
    one = group.identity(dtype=dtype)
    linear = lambda x: (w * group.log(group.exp(x), check=False)).sum()  # noqa: E731
    square = lambda x: group.squared_distance(one, group.exp(x), check=False)  # noqa: E731
    eye = torch.eye(group.dim, dtype=dtype).expand(len(xi), -1, -1)
    close(torch.vmap(torch.func.grad(linear))(xi), w.expand(len(xi), -1), 32.0)
    close(torch.vmap(torch.func.hessian(linear))(xi), 0 * eye, 64.0)
    close(torch.vmap(torch.func.grad(square))(xi), 2 * xi, 32.0)
    close(torch.vmap(torch.func.hessian(square))(xi), 2 * eye, 64.0)
