"""The affine-invariant geometry of SPD matrices: closed forms, invariances, charts, mean, derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import scipy.linalg
import torch
from torch import Tensor

from lie._spd import SPD, SPDManifold
from lie.testing import RiemannianManifoldSuite

F64 = torch.float64
EYE = torch.eye(3, dtype=F64)
M3 = SPD(3)


class TestLaws(RiemannianManifoldSuite):
    manifold = M3
    stranger = -1e3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def symmetric_normal(*shape: int, seed: int = 0) -> Tensor:
    X = normal(*shape, seed=seed)
    return 0.5 * (X + X.mT)


def points(*batch: int, n: int = 3, seed: int = 0, spread: float = 1.0) -> Tensor:
    """Rotated matrices with eigenvalues from exp(-spread) to exp(spread)."""
    V = torch.linalg.qr(normal(*batch, n, n, seed=seed))[0]
    d = torch.linspace(-spread, spread, n, dtype=F64).exp()
    P = (V * d) @ V.mT
    return 0.5 * (P + P.mT)


def close(got: Tensor, expected: Any, rtol: float = 1e-12) -> None:
    expected = torch.as_tensor(expected, dtype=got.dtype)
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= rtol * float(expected.abs().max())


# Closed forms


def test_formulas_of_the_definition() -> None:
    P, Q, V = points(seed=1), points(seed=2), symmetric_normal(3, 3, seed=3)
    root = scipy.linalg.sqrtm(P.numpy())
    inverse = scipy.linalg.inv(root)
    inner = inverse @ V.numpy() @ inverse
    close(M3.exp(P, V), root @ scipy.linalg.expm(inner) @ root)
    between = inverse @ Q.numpy() @ inverse
    close(M3.log(P, Q), root @ scipy.linalg.logm(between) @ root)
    eigenvalues = scipy.linalg.eigh(Q.numpy(), P.numpy(), eigvals_only=True)
    close(M3.squared_distance(P, Q), torch.tensor(eigenvalues).log().square().sum())
    close(M3.distance(P, Q), torch.tensor(eigenvalues).log().square().sum().sqrt())
    part = root @ scipy.linalg.fractional_matrix_power(between, 0.3) @ root
    close(M3.interpolate(P, Q, 0.3), part)
    close(M3.interpolate(P, Q, torch.tensor(0.3, dtype=F64)), part)
    carry = scipy.linalg.sqrtm(Q.numpy() @ scipy.linalg.inv(P.numpy()))
    close(M3.transport(P, Q, V), carry @ V.numpy() @ carry.T)
    Pi = scipy.linalg.inv(P.numpy())
    close(M3.inner(P, V, Q), (Pi @ V.numpy() @ Pi @ Q.numpy()).trace())
    close(M3.gradient(P, V), P @ V @ P)
    close(M3.retract(P, V), P + V + V @ torch.linalg.inv(P) @ V / 2)


@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=["float32", "float64"])
def test_small_steps_keep_their_digits(dtype: torch.dtype) -> None:
    P = points(seed=1).to(dtype)
    P = 0.5 * (P + P.mT)
    step = 256 * torch.finfo(dtype).eps * symmetric_normal(3, 3, seed=2).to(dtype)
    Q = P + step
    Q = 0.5 * (Q + Q.mT)
    with mpmath.workdps(60):
        p, q = (mpmath.matrix(X.double().tolist()) for X in (P, Q))
        L = mpmath.cholesky(p)
        inverse = mpmath.inverse(L)
        d, V = mpmath.eigsy(inverse * q * inverse.T)
        truth = L * V * mpmath.diag([mpmath.log(entry) for entry in d]) * V.T * L.T
        distance = mpmath.sqrt(sum(mpmath.log(entry) ** 2 for entry in d))
    got = M3.log(P, Q)
    size = max(abs(entry) for entry in truth)
    error = max(abs(entry) for entry in mpmath.matrix(got.double().tolist()) - truth)
    assert error <= 50 * torch.finfo(dtype).eps * size
    assert abs(float(M3.distance(P, Q)) / distance - 1) <= 50 * torch.finfo(dtype).eps


# Invariance


def test_congruence_and_inversion_are_isometries() -> None:
    P, Q, V = points(4, seed=1), points(4, seed=2), symmetric_normal(4, 3, 3, seed=3)
    G = EYE + 0.5 * normal(4, 3, 3, seed=4)
    G[0] = -G[0]

    def act(X: Tensor) -> Tensor:
        return G @ X @ G.mT

    close(M3.distance(act(P), act(Q)), M3.distance(P, Q))
    close(M3.distance(torch.linalg.inv(P), torch.linalg.inv(Q)), M3.distance(P, Q))
    close(M3.distance(Q, P), M3.distance(P, Q))
    close(M3.exp(act(P), act(V)), act(M3.exp(P, V)))
    close(M3.log(act(P), act(Q)), act(M3.log(P, Q)))
    close(M3.transport(act(P), act(Q), act(V)), act(M3.transport(P, Q, V)))
    close(M3.inner(act(P), act(V), act(Q)), M3.inner(P, V, Q))
    close(M3.mean(act(P)), G[0] @ M3.mean(G[0].inverse() @ act(P) @ G[0].inverse().mT) @ G[0].mT)


def test_geodesics_solve_their_equation() -> None:
    P, V = points(seed=1), symmetric_normal(3, 3, seed=3)

    def position(t: Tensor) -> Tensor:
        return M3.exp(P, t * V)

    def velocity(t: Tensor) -> Tensor:
        return torch.func.jvp(position, (t,), (torch.ones_like(t),))[1]

    time = torch.tensor(0.7, dtype=F64)
    acceleration = torch.func.jvp(velocity, (time,), (torch.ones_like(time),))[1]
    here, speed = position(time), velocity(time)
    close(acceleration, speed @ torch.linalg.inv(here) @ speed)
    close(M3.transport(P, here, V), speed)


# Charts


def test_normal_coordinates() -> None:
    K = EYE + 0.4 * normal(3, 3, seed=5)
    eta = symmetric_normal(3, 3, seed=6)
    point = M3.normal_coordinates(K, eta)
    close(point, K @ torch.linalg.matrix_exp(eta) @ K.mT)
    close(point, M3.exp(K @ K.mT, K @ eta @ K.mT))
    close(M3.normal_coordinates_inverse(K, point), eta)
    frame = M3.move_frame(K, eta)
    close(frame @ frame.mT, point)
    close(M3.distance(K @ K.mT, point), eta.norm())


def test_metric_in_normal_coordinates_is_flat_to_first_order() -> None:
    K = EYE + 0.4 * normal(3, 3, seed=5)
    rows, columns = torch.tril_indices(3, 3)
    weight = torch.where(rows == columns, torch.ones(6, dtype=F64), 0.5**0.5)
    basis = torch.zeros(6, 3, 3, dtype=F64)
    basis[range(6), rows, columns] = weight
    basis[range(6), columns, rows] = weight

    def metric(x: Tensor) -> Tensor:
        """6 x 6 matrix of inner products of the coordinate vectors at orthonormal coordinates x."""

        def chart(y: Tensor) -> Tensor:
            return M3.normal_coordinates(K, (y[:, None, None] * basis).sum(0))

        vectors = torch.func.jacfwd(chart)(x).movedim(-1, 0)
        return M3.inner(chart(x), vectors[:, None], vectors[None])

    zero = torch.zeros(6, dtype=F64)
    close(metric(zero), torch.eye(6, dtype=F64))
    assert float(torch.func.jacrev(metric)(zero).abs().max()) < 1e-12
    away = torch.linspace(0.1, 0.6, 6, dtype=F64)
    assert float((metric(away) - torch.eye(6, dtype=F64)).abs().max()) > 1e-3


def test_transport_is_the_identity_in_the_moving_frame() -> None:
    K = EYE + 0.4 * normal(5, 3, 3, seed=5)
    eta, M = symmetric_normal(5, 3, 3, seed=6), symmetric_normal(5, 3, 3, seed=7)
    moved = M3.move_frame(K, eta)
    carried = M3.transport(K @ K.mT, moved @ moved.mT, K @ M @ K.mT)
    close(carried, moved @ M @ moved.mT)


def test_momentum_in_the_moving_frame_is_riemannian_heavy_ball() -> None:
    n, momentum, rate = 8, 0.9, 0.05
    space = SPD(n)
    Q = points(n=n, seed=1, spread=2.3)
    P = points(n=n, seed=2, spread=1.15)
    K, z, Z = torch.linalg.cholesky(P), torch.zeros(n, n, dtype=F64), torch.zeros(n, n, dtype=F64)
    for _ in range(200):
        z = momentum * z + rate * (K.mT @ Q @ K - torch.eye(n, dtype=F64))
        K = space.move_frame(K, -z)
        V = momentum * Z + rate * space.gradient(P, Q - torch.linalg.inv(P))
        following = space.exp(P, -V)
        Z = space.transport(P, following, V)
        P = following
    close(K @ K.mT, P, 1e-9)
    close(K @ z @ K.mT, Z, 1e-7)


# Mean


def test_mean_of_commuting_matrices_is_the_geometric_mean() -> None:
    V = torch.linalg.qr(normal(3, 3))[0]
    d = normal(4, 3, seed=1).exp()
    weights = torch.tensor([1.0, 0.5, 0.0, 2.0], dtype=F64)
    expected = (V * ((weights[:, None] * d.log()).sum(0) / weights.sum()).exp()) @ V.mT
    close(M3.mean((V * d[:, None]) @ V.mT, weights), expected)
    close(M3.log_euclidean_mean((V * d[:, None]) @ V.mT, weights), expected)


@pytest.mark.parametrize(("n", "spread"), [(1, 3.0), (2, 8.0), (3, 6.0), (20, 3.0)])
def test_mean_of_spread_points_balances_the_logarithms(n: int, spread: float) -> None:
    space, P = SPD(n), points(2, 5, n=n, seed=3, spread=spread)
    if n == 1:
        P = normal(2, 5, 1, 1).exp()
    weights = torch.linspace(0.2, 1.0, 5, dtype=F64)
    mean = space.mean(P, weights)
    share = (weights / weights.sum())[:, None, None]
    root = torch.linalg.cholesky(mean)
    pull = (share * space.normal_coordinates_inverse(root.unsqueeze(-3), P)).sum(-3)
    rounding = torch.finfo(F64).eps * (2 * spread * torch.ones((), dtype=F64)).exp()
    assert float(pull.norm(dim=(-2, -1)).max()) <= 1e-12 + float(rounding)
    determinant = (share[..., 0, 0] * torch.linalg.slogdet(P)[1]).sum(-1)
    torch.testing.assert_close(torch.linalg.slogdet(mean)[1], determinant, rtol=1e-8, atol=1e-8)


def test_mean_of_two_is_the_point_between() -> None:
    P = points(2, seed=4, spread=3.0)
    weights = torch.tensor([3.0, 1.0], dtype=F64)
    close(M3.mean(P), M3.interpolate(P[0], P[1], 0.5))
    close(M3.mean(P, weights), M3.interpolate(P[0], P[1], 0.25))
    close(M3.mean(P.float()), M3.mean(P).float(), 1e-4)


@pytest.mark.parametrize("n", [2, 9])
def test_mean_differentiates_twice(n: int) -> None:
    space, P = SPD(n), points(2, n=n, seed=5)
    shift = torch.zeros(2, 2, 2, dtype=F64, requires_grad=True)
    weights = torch.tensor([0.3, 0.7], dtype=F64, requires_grad=True)

    def corner(shift: Tensor, weights: Tensor) -> Tensor:
        moved = torch.nn.functional.pad(shift, (0, n - 2, 0, n - 2))
        return space.mean(P + moved, weights, check=False)[:2, :2]

    assert torch.autograd.gradcheck(corner, (shift, weights), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(corner, (shift, weights))
    batch = torch.stack((P, 2 * P))
    torch.testing.assert_close(torch.vmap(space.mean)(batch), space.mean(batch), rtol=1e-12, atol=1e-12)


def test_mean_of_equal_points_is_that_point() -> None:
    P = points(seed=1).expand(3, 3, 3).clone().requires_grad_()
    mean = M3.mean(P)
    close(mean.detach(), P[0].detach())
    (gradient,) = torch.autograd.grad((mean * symmetric_normal(3, 3)).sum(), P)
    close(gradient, symmetric_normal(3, 3).expand(3, 3, 3) / 3)


# Derivatives where points and eigenvalues are equal

DIRECTION = symmetric_normal(3, 3, seed=1)
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "inner": lambda x, y: M3.inner(x, y, DIRECTION),
    "exp": M3.exp,
    "log": lambda x, y: M3.log(x, y, check=False),
    "retract": M3.retract,
    "gradient": M3.gradient,
    "transport": lambda x, y: M3.transport(x, y, DIRECTION),
    "squared_distance": lambda x, y: M3.squared_distance(x, y, check=False),
    "interpolate": lambda x, y: M3.interpolate(x, y, 0.3, check=False),
    "normal_coordinates": M3.normal_coordinates,
    "normal_coordinates_inverse": lambda x, y: M3.normal_coordinates_inverse(x, y, check=False),
    "move_frame": M3.move_frame,
    "log_euclidean": lambda x, y: M3.log_euclidean_squared_distance(x, y, check=False),
    "log_cholesky": lambda x, y: M3.log_cholesky_squared_distance(x, y, check=False),
    "bures_wasserstein": lambda x, y: M3.bures_wasserstein_squared_distance(x, y, check=False),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("place", ["identity", "pair"])
def test_derivatives_at_equal_points(operation: str, place: str) -> None:
    P = (EYE if place == "identity" else torch.diag(torch.tensor([2.0, 2.0, 5.0], dtype=F64))).clone()
    arguments = (P.requires_grad_(), P.detach().clone().requires_grad_())
    function = OPERATIONS[operation]
    assert torch.autograd.gradcheck(function, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, arguments)


@pytest.mark.parametrize("operation", ["exp", "log", "transport", "bures_wasserstein"])
def test_batched_hessians_are_those_of_the_elements(operation: str) -> None:
    x, y, W = points(3, seed=1), points(3, seed=2), normal(3, 3, seed=3)

    def hessian(x: Tensor, y: Tensor) -> Tensor:
        return torch.func.hessian(lambda z: (W * OPERATIONS[operation](z, y)).sum())(x)

    single = torch.stack([hessian(a, b) for a, b in zip(x, y, strict=True)])
    close(torch.vmap(hessian)(x, y), single)


def test_mixed_precision_gives_the_higher_one() -> None:
    P, Q, V = points(seed=1), points(2, seed=2).float(), symmetric_normal(3, 3, seed=3).float()
    for got in (
        M3.exp(P, V),
        M3.log(P, Q),
        M3.transport(Q, P, V),
        M3.project_tangent(P, V),
        M3.retract(P, V),
    ):
        assert got.dtype == F64
    assert M3.mean(Q, torch.ones(2, dtype=F64)).dtype == F64
    assert M3.distance(P, Q).dtype == F64


def test_hessian_of_the_squared_distance_is_twice_the_metric() -> None:
    P, V = points(seed=1), symmetric_normal(3, 3, seed=2)

    def squared(x: Tensor) -> Tensor:
        return M3.squared_distance(P, x)

    assert float(torch.func.grad(squared)(P).abs().max()) < 1e-14
    second = torch.einsum("ij,ijkl,kl->", V, torch.func.hessian(squared)(P), V)
    close(second, 2 * M3.inner(P, V, V))
    bures = torch.func.hessian(lambda x: M3.bures_wasserstein_squared_distance(EYE, x))(EYE)
    close(torch.einsum("ij,ijkl,kl->", V, bures, V), 0.5 * (V * V).sum())


def test_slopes_at_kinks_are_zero() -> None:
    P = points(seed=1).requires_grad_()
    for kink in (M3.distance(P, P.detach()), M3.norm(P, torch.zeros_like(P)), M3.norm(EYE, 0 * P)):
        assert float(kink.detach()) == 0
        assert not bool(torch.autograd.grad(kink, P)[0].any())


def test_compile_without_graph_breaks() -> None:
    P = torch.diag(torch.tensor([2.0, 2.0, 5.0], dtype=F64))
    Q = points(2, seed=2)

    def program(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        s = torch.tensor(0.3, dtype=F64)
        between = M3.interpolate(x, y, s)
        return M3.transport(x, y, x), between, M3.mean(y), M3.bures_wasserstein_distance(x, y)

    torch._dynamo.reset()
    compiled = torch.compile(program, fullgraph=True, backend="aot_eager")
    leaf = Q.clone().requires_grad_()
    values, expected = compiled(P, leaf), program(P, leaf)
    for got, wanted in zip(values, expected, strict=True):
        close(got.detach(), wanted.detach(), 1e-11)
    slopes = [
        torch.autograd.grad(torch.cat([part.flatten() for part in parts]).sum(), leaf)[0]
        for parts in (values, expected)
    ]
    close(slopes[0], slopes[1], 1e-11)
    torch._dynamo.reset()


# Other metrics


def test_other_distances() -> None:
    P, Q = points(seed=1), points(seed=2)
    logs = [torch.as_tensor(scipy.linalg.logm(X.numpy()), dtype=F64) for X in (P, Q)]
    close(M3.log_euclidean_distance(P, Q), (logs[0] - logs[1]).norm())
    factors = [torch.linalg.cholesky(X) for X in (P, Q)]
    lower = (factors[0] - factors[1]).tril(-1).square().sum()
    diagonal = (factors[0].diagonal().log() - factors[1].diagonal().log()).square().sum()
    close(M3.log_cholesky_distance(P, Q), (lower + diagonal).sqrt())
    root = scipy.linalg.sqrtm(P.numpy())
    overlap = scipy.linalg.sqrtm(root @ Q.numpy() @ root).trace()
    close(M3.bures_wasserstein_squared_distance(P, Q), P.trace() + Q.trace() - 2 * overlap, 1e-11)
    close(M3.bures_wasserstein_distance(Q, P), M3.bures_wasserstein_distance(P, Q))


def test_bures_wasserstein_keeps_the_digits_of_small_distances() -> None:
    d = torch.tensor([1.0, 2.0, 3.0], dtype=F64)
    moved = d * (1 + 2.0**-30)
    V = torch.linalg.qr(normal(3, 3))[0]
    got = M3.bures_wasserstein_distance((V * d) @ V.mT, (V * moved) @ V.mT)
    torch.testing.assert_close(got, (moved.sqrt() - d.sqrt()).norm(), rtol=1e-5, atol=0)


def test_log_cholesky_mean() -> None:
    P = points(4, seed=1)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=F64)
    mean = M3.log_cholesky_mean(P, weights)
    L = torch.linalg.cholesky(mean)
    factors = torch.linalg.cholesky(P)
    close(L.tril(-1), (weights[:, None, None] * factors.tril(-1)).sum(0) / 10)
    close(L.diagonal().log(), (weights[:, None] * factors.diagonal(dim1=-2, dim2=-1).log()).sum(0) / 10)


# Projection, samples, membership


def test_project_raises_eigenvalues_to_the_floor() -> None:
    X = normal(5, 3, 3, seed=1)
    d, V = torch.linalg.eigh(0.5 * (X + X.mT))
    raised = torch.maximum(d, 0.2 * d.abs().amax(-1, keepdim=True))
    close(M3.project(X, 0.2), (V * raised.unsqueeze(-2)) @ V.mT)
    for dtype in (torch.float32, F64):
        bad = torch.stack((torch.zeros(3, 3), torch.ones(3, 3), -EYE.float())).to(dtype)
        M3.check(M3.project(bad))
        good = points(3, seed=1, spread=5.0).to(dtype)
        assert torch.equal(M3.project(good), 0.5 * (good + good.mT))
    tiny = torch.diag(torch.tensor([1e-30, 1.0, 1e-20], dtype=F64))
    assert torch.equal(M3.project(tiny), tiny)
    with pytest.raises(ValueError, match=r"floor must be between 0 and 1.*got 2"):
        M3.project(X, 2)


def test_samples_are_as_documented() -> None:
    n = 4
    space = SPD(n)
    generator = torch.Generator().manual_seed(0)
    S = space.normal_coordinates_inverse(
        torch.eye(n, dtype=F64), space.random(20000, generator=generator, dtype=F64)
    )
    variance = S.square().mean(0)
    expected = (torch.eye(n) + torch.ones(n, n)) / (2 * n)
    assert float((variance / expected - 1).abs().max()) < 0.06
    assert float(S.mean(0).abs().max()) < 0.02
    P = points(n=n, seed=1)
    V = space.random_tangent(P.expand(20000, n, n), generator)
    lengths = space.inner(P, V, V)
    assert abs(float(lengths.mean()) / space.dim - 1) < 0.02


def test_membership_does_not_depend_on_the_scale_of_rows() -> None:
    scale = torch.tensor([1e-12, 1.0, 1e9], dtype=F64)
    P = scale[:, None] * points(seed=1) * scale
    M3.check(P)
    assert float(M3.residual(P)) < 1e-15
    singular = torch.ones(3, 3, dtype=F64)
    with pytest.raises(ValueError, match="not positive definite"):
        M3.check(singular)
    assert float(M3.residual(singular)) > 0
    torch.testing.assert_close(M3.residual(EYE - 2 * torch.diag(EYE[0])), torch.tensor(1.0, dtype=F64))


def test_wrong_arguments_are_refused_by_name() -> None:
    P = points(2, seed=1)
    skew = P.clone()
    skew[1, 0, 2] += 0.5
    with pytest.raises(
        ValueError, match=r"y\[1\] is not in SPD\(3\): it is not symmetric.*SPD\(3\)\.project"
    ):
        M3.log(P, skew)
    with pytest.raises(ValueError, match=r"x\[0\] is not in SPD\(3\): it is not positive definite.* from -"):
        M3.squared_distance(-P, P)
    with pytest.raises(ValueError, match=r"points\[1\] is not in SPD\(3\)"):
        M3.mean(skew)
    with pytest.raises(ValueError, match=r"points must have a dimension of at least one point"):
        M3.mean(P[0])
    with pytest.raises(ValueError, match=r"points have no mean.*rounding"):
        M3.mean(points(3, seed=1, spread=17.0))
    with pytest.raises(ValueError, match=r"K is on cpu and eta on meta"):
        M3.normal_coordinates(P, P.to("meta"))
    for distance in (M3.log_euclidean_distance, M3.log_cholesky_distance, M3.bures_wasserstein_distance):
        with pytest.raises(ValueError, match=r"y\[0\] is not in SPD\(3\)"):
            distance(P, -P)
    assert bool(M3.log(P, -P, check=False).isnan().all())
    assert bool(M3.exp(-P, P).isnan().all())
    for n in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=r"n must be a whole number, 1 or more, got "):
            SPD(n)  # type: ignore[arg-type]


def test_spaces_by_their_arguments() -> None:
    assert SPD(3) == M3
    assert hash(SPD(3)) == hash(M3)
    assert SPD(4) != M3
    assert repr(M3) == "lie.SPD(3)"
    assert isinstance(M3, SPDManifold)
    structured = SPD(5, structure="block_diagonal", block=2)
    assert structured.dim == 3 + 3 + 1
    assert structured != SPD(5)
    with pytest.raises(ValueError, match=r"block belongs to a structure"):
        SPD(5, block=2)  # type: ignore[call-overload]


def test_structured_geometry_agrees_with_the_full_one() -> None:
    lower = SPD(3, structure="lower")
    P, Q = points(seed=1), points(seed=2)
    A, B = lower.factorize(P), lower.factorize(Q)
    close(lower.distance(A, B), M3.distance(P, Q))
    close(lower.matrix(lower.mean(torch.stack((A, B)))), M3.mean(torch.stack((P, Q))))
