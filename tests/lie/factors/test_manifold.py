"""The manifolds of SPD matrices with structured factors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.linalg
import torch

from lie import SPD, Manifold, structured_factor

from .cases import (
    BANDS,
    EPS,
    GROUPS,
    SYMMETRIC,
    draw,
    dtypes,
    everything,
    groups,
    inner,
    label,
    loss,
    symmetric,
)

GEODESIC = [case for case in GROUPS if case[0] in (*SYMMETRIC, "lower", "upper")] + [
    ("block_upper", {"rank": 5}),
    ("hierarchical", {"k1": 3, "k2": 2}),  # with 6 rows the one in between has a full triangle around it
]
OTHERS = [
    ("block_lower", {"rank": 2}),
    ("block_upper", {"rank": 1, "diagonal": "first"}),
    ("hierarchical", {"k1": 1, "k2": 1}),
    ("lower_toeplitz", {}),
    ("lower_banded", {"bandwidth": 1}),
]
geodesic = pytest.mark.parametrize("case", GEODESIC, ids=label)


def make(case, n=6, h=None):
    kind, options = case
    return SPD(n, structure=kind, h=h, **options)


def distance(a, b):
    """From the generalised eigenvalues."""
    return float(np.sqrt((np.log(scipy.linalg.eigvalsh(b.numpy(), a.numpy())) ** 2).sum()))


def geometric_mean(a, b):
    root = scipy.linalg.sqrtm(a.numpy()).real
    middle = scipy.linalg.sqrtm(np.linalg.solve(root, np.linalg.solve(root, b.numpy()).T)).real
    return torch.from_numpy(root @ middle @ root)


def test_manifolds_are_named_and_equal_by_value():
    manifold = SPD(6, structure="block_upper", rank=2, h="exp")
    assert issubclass(type(manifold), Manifold)
    assert repr(manifold) == "lie.SPD(6, structure=\"block_upper\", rank=2, h='exp')"
    assert manifold == SPD(6, structure="block_upper", rank=2, h="exp")
    assert hash(manifold) == hash(SPD(6, structure="block_upper", rank=2, h="exp"))
    assert manifold != SPD(6, structure="block_upper", rank=2)
    assert copy.deepcopy(manifold) == manifold
    assert manifold.factor == structured_factor("block_upper", 6, rank=2)
    assert (manifold.dim, manifold.element_shape) == (3 + 8 + 4, (6, 6))


@everything
@dtypes
def test_elements_are_drawn_checked_and_mended(case, dtype):
    manifold = make(case, 7)
    A = manifold.random(2, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    assert A.shape == (2, 3, 7, 7)
    assert A.dtype == dtype
    manifold.check(A)
    if manifold.factor.memory == 49:
        return
    bad = A.clone()
    bad[1, 2] += torch.eye(7, dtype=dtype).flip(-1)
    with pytest.raises(ValueError, match=r"A\[1, 2\] does not have the pattern"):
        manifold.check(bad, "A")
    with pytest.raises(ValueError, match=r"x\[1, 2\] does not have the pattern"):
        manifold.squared_distance(bad, A)
    manifold.check(manifold.project(bad))


@everything
def test_gradient_is_that_of_the_metric_and_steps_descend(case):
    manifold = make(case)
    A = draw(manifold.factor, seed=1)
    tau = manifold.matrix(A)
    slope = torch.func.grad(loss)(tau)
    gradient = manifold.gradient(A, slope)
    through_factor = torch.func.grad(lambda A: loss(manifold.matrix(A)))(A)
    torch.testing.assert_close(
        manifold.gradient_of_factor(A, through_factor), gradient, rtol=1e-12, atol=1e-12
    )
    N = manifold.random_tangent(A, torch.Generator().manual_seed(2))
    velocity = A @ (N + N.mT) @ A.mT
    torch.testing.assert_close(
        manifold.inner(A, gradient, N), (slope * velocity).sum(), rtol=1e-11, atol=1e-11
    )
    torch.testing.assert_close(
        manifold.norm(A, N).square(), inner(tau, velocity, velocity), rtol=1e-11, atol=0
    )
    before = loss(tau)
    for _ in range(300):
        gradient = manifold.gradient(A, torch.func.grad(loss)(manifold.matrix(A)))
        length = manifold.norm(A, gradient)
        A = manifold.retract(A, -gradient * (0.1 / length.clamp_min(2.0)))
    manifold.check(A)
    assert float(loss(manifold.matrix(A))) < float(before)
    gradient = manifold.gradient(A, torch.func.grad(loss)(manifold.matrix(A)))
    assert float(manifold.norm(A, gradient)) < 1e-5


@everything
def test_transport_lands_in_the_tangent_space_and_is_an_isometry_of_groups(case):
    manifold = make(case)
    A, B = draw(manifold.factor, 3, seed=1), draw(manifold.factor, 3, seed=2)
    N, M = (manifold.random_tangent(A, torch.Generator().manual_seed(k)) for k in (3, 4))
    there, other = manifold.transport(A, B, N), manifold.transport(A, B, M)
    torch.testing.assert_close(manifold.project_tangent(B, there), there, rtol=0, atol=1e-12)
    torch.testing.assert_close(manifold.transport(A, A, N), N, rtol=0, atol=1e-12)
    if manifold.factor.closed:
        torch.testing.assert_close(
            manifold.inner(B, there, other), manifold.inner(A, N, M), rtol=1e-12, atol=1e-12
        )
    else:
        assert bool((manifold.norm(B, there) <= manifold.norm(A, N) + 1e-12).all())


@groups
def test_toeplitz_and_symmetric_structures_have_straight_exponentials(case):
    """The covariant acceleration of A expm(t N), in all SPD matrices, is normal to the set, or zero."""
    if case[0] not in (*SYMMETRIC, "lower_toeplitz", "upper_toeplitz"):
        return
    manifold = make(case, h="exp")
    A = draw(manifold.factor, seed=1)
    N = manifold.random_tangent(A, torch.Generator().manual_seed(2))

    def tau(t):
        return manifold.matrix(manifold.retract(A, t * N))

    t = torch.tensor(0.3, dtype=torch.float64)
    first = torch.func.jacfwd(tau)
    here, speed, bend = tau(t), first(t), torch.func.jacfwd(first)(t)
    acceleration = bend - speed @ torch.linalg.solve(here, speed)
    frame = manifold.retract(A, t * N)
    for k in range(4):
        M = manifold.random_tangent(frame, torch.Generator().manual_seed(k))
        tangent = frame @ (M + M.mT) @ frame.mT
        assert abs(float(inner(here, acceleration, tangent))) < 1e-11 * float(inner(here, speed, speed))
    if case[0] in SYMMETRIC:
        assert float(acceleration.abs().max()) < 1e-11
    else:
        assert float(acceleration.abs().max()) > 1e-2


# Distances, interpolation, mean


@everything
def test_distance_is_that_of_the_matrices(case):
    manifold = make(case)
    A, B = draw(manifold.factor, seed=1), draw(manifold.factor, seed=2)
    expected = distance(manifold.matrix(A), manifold.matrix(B))
    assert float(manifold.distance(A, B)) == pytest.approx(expected, rel=1e-12)
    assert float(manifold.squared_distance(A, B)) == pytest.approx(expected**2, rel=1e-12)
    assert float(manifold.distance(A, A)) < 1e-15
    slope = torch.func.grad(lambda B: manifold.distance(A, B))(A)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=0)


def test_distance_between_near_points_keeps_its_digits():
    for kind in ("full", "lower", "diagonal"):
        manifold = SPD(3, structure=kind)
        A = torch.eye(3, dtype=torch.float64)
        for k in (10, 25, 40, 50):
            B = torch.diag(torch.tensor([1 + 2.0**-k, 1, 1], dtype=torch.float64))
            expected = 2 * np.log1p(2.0**-k)
            assert float(manifold.distance(A, B)) == pytest.approx(expected, rel=1e-14, abs=0)


@geodesic
def test_interpolation_and_mean_of_two_are_geometric_means(case):
    manifold = make(case)
    A, B = draw(manifold.factor, seed=1), draw(manifold.factor, seed=2)
    middle = geometric_mean(manifold.matrix(A), manifold.matrix(B))
    between = manifold.interpolate(A, B, 0.5)
    manifold.check(between)
    torch.testing.assert_close(manifold.matrix(between), middle, rtol=1e-11, atol=1e-11)
    mean = manifold.mean(torch.stack((A, B)))
    manifold.check(mean)
    torch.testing.assert_close(manifold.matrix(mean), middle, rtol=1e-10, atol=1e-10)
    s = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    parts = manifold.interpolate(A, B, s)
    torch.testing.assert_close(manifold.matrix(parts[0]), manifold.matrix(A), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(manifold.matrix(parts[2]), manifold.matrix(B), rtol=1e-12, atol=1e-12)
    assert float(manifold.distance(A, parts[1])) == pytest.approx(
        0.25 * float(manifold.distance(A, B)), rel=1e-10
    )


@pytest.mark.parametrize("case", OTHERS, ids=label)
def test_geodesics_leave_the_other_structures(case):
    manifold = make(case)
    A, B = draw(manifold.factor, seed=1), draw(manifold.factor, seed=2)
    middle = geometric_mean(manifold.matrix(A), manifold.matrix(B))
    with pytest.raises(ValueError, match="tau has no factor"):
        manifold.factorize(middle)
    for call in (lambda: manifold.interpolate(A, B, 0.5), lambda: manifold.mean(torch.stack((A, B)))):
        with pytest.raises(
            ValueError, match=r"geodesics of all SPD matrices, which leave lie|which leave SPD"
        ):
            call()


# Derivatives, batches, refusals


@pytest.mark.parametrize("case", [GROUPS[0], GROUPS[3], GROUPS[5], GROUPS[12], BANDS[0]], ids=label)
def test_distances_differentiate_twice_and_in_place(case):
    manifold = make(case, 5)
    A, B = draw(manifold.factor, seed=1), draw(manifold.factor, seed=2)

    def squared(eta, start):
        N = manifold.factor.from_coordinates(eta, start)
        return manifold.squared_distance(A, manifold.retract(start, N), check=False)

    for start in (A, B):
        eta = torch.zeros(manifold.dim, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda eta, start=start: squared(eta, start), (eta,), check_forward_ad=True
        )
        assert torch.autograd.gradgradcheck(lambda eta, start=start: squared(eta, start), (eta,))
    # Half the Hessian at equal points is the metric, in orthonormal coordinates the identity.
    hessian = torch.func.hessian(lambda eta: squared(eta, A))(torch.zeros(manifold.dim, dtype=torch.float64))
    torch.testing.assert_close(hessian, 2 * torch.eye(manifold.dim).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [GROUPS[0], GROUPS[3], GROUPS[5], GROUPS[14]], ids=label)
def test_batches_vmap_and_dtypes(case):
    manifold = make(case)
    A, B = draw(manifold.factor, 2, 3, seed=1), draw(manifold.factor, 2, 3, seed=2)
    g = symmetric(2, 3, n=6, seed=3)

    def step(A, B, g):
        N = manifold.transport(A, B, manifold.gradient(A, g))
        return manifold.retract(A, -0.1 * N), manifold.squared_distance(A, B), manifold.inner(A, N, N)

    whole = step(A, B, g)
    mapped = torch.vmap(torch.vmap(step))(A, B, g)
    for got, expected in zip(mapped, whole):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)
    for got, expected in zip(step(A.float(), B.float(), g.float()), whole):
        assert got.dtype == torch.float32
        scale = float(expected.abs().max())
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e3 * EPS[torch.float32] * scale)
    empty = step(A[:0], B[:0], g[:0])
    assert [part.shape for part in empty] == [(0, 3, 6, 6), (0, 3), (0, 3)]


def test_retraction_uses_the_approximation_that_was_chosen():
    for h in ("exp", "h2", "h1", "cayley"):
        manifold = SPD(5, structure="upper", h=h)
        A = draw(manifold.factor, seed=1)
        N = 0.2 * manifold.random_tangent(A, torch.Generator().manual_seed(2))
        assert torch.equal(manifold.retract(A, N), manifold.factor.chart(A, N, h))
    manifold = SPD(5, structure="upper")
    assert torch.equal(manifold.retract(A, N), manifold.factor.chart(A, N, "h2"))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="h must be one of 'exp', 'h2', 'h1', 'cayley', got 'h3'"):
        SPD(4, structure="lower", h="h3")
    with pytest.raises(ValueError, match="not a group"):
        SPD(5, structure="banded", bandwidth=1, h="h2")
    with pytest.raises(ValueError, match="name must be one of"):
        SPD(5, structure="banana")
    manifold = SPD(4, structure="lower")
    eye = torch.eye(4)
    with pytest.raises(ValueError, match=r"N must be elements of SPD\(4, structure=.*shape \(\.\.\., 4, 4\)"):
        manifold.inner(eye, eye[:3], eye)
    with pytest.raises(ValueError, match="x is on cpu and y on meta"):
        manifold.distance(eye, eye.to("meta"))
    with pytest.raises(TypeError, match="A must be float32 or float64"):
        manifold.random_tangent(eye.half())
    with pytest.raises(ValueError, match="has no factor in diagonal"):
        SPD(4, structure="diagonal").factorize(torch.ones(4, 4) + 4 * eye)
