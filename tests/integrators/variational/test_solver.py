"""The implicit step equation: solutions, domain and derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from integrators import Status
from integrators._linear import apply, solve
from integrators.variational._implicit import solve_implicitly
from integrators.variational._kinetic import KINETIC_TERMS, DiscreteKinetic, skew
from integrators.variational._newton import solve_step

from ._bodies import DOUBLE, FREE_INERTIA, FULL_INERTIA, draws

ROD = torch.diag(torch.tensor([0.01, 1.0, 1.0], dtype=DOUBLE))
SPHERE = torch.eye(3, dtype=DOUBLE)
TRACE, CAYLEY = KINETIC_TERMS["trace"], KINETIC_TERMS["cayley"]
GOLDEN_A = torch.tensor([0.3, -0.5, 0.6], dtype=DOUBLE)
GOLDEN_Z = torch.tensor([0.19794405221526534, -0.1360877651715397, 0.13584987054345637], dtype=DOUBLE)


def directions(count: int = 200) -> Tensor:
    return torch.nn.functional.normalize(draws(count, 3), dim=-1)


def cayley_matrix(z: Tensor) -> Tensor:
    eye = torch.eye(3, dtype=DOUBLE)
    return (eye + skew(z)) @ torch.linalg.inv(eye - skew(z))


def vee(matrix: Tensor) -> Tensor:
    return torch.stack((matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]), dim=-1)


def trace_impulse(z: Tensor, inertia: Tensor) -> Tensor:
    """``vee(Z J_d - J_d Z^T)``, from the definition."""
    spread = 0.5 * inertia.diagonal().sum() * torch.eye(3, dtype=DOUBLE) - inertia
    moved = cayley_matrix(z) @ spread
    return vee(moved - moved.mT)


def newton_from_zero(kinetic: DiscreteKinetic, a: Tensor, inertia: Tensor, steps: int) -> list[Tensor]:
    """Undamped Newton's method as the paper has it, all iterates."""
    iterates = [torch.zeros_like(a)]
    for _ in range(steps):
        z = iterates[-1]
        iterates.append(z - solve(kinetic.jacobian(z, a, inertia), kinetic.residual(z, a, inertia)))
    return iterates


def test_golden_solution():
    z, status = solve_step(TRACE, GOLDEN_A, FULL_INERTIA)
    assert status == Status.OK
    assert (z - GOLDEN_Z).abs().max() <= 1e-16


def test_golden_newton_updates():
    iterates = torch.stack(newton_from_zero(TRACE, GOLDEN_A, FULL_INERTIA, 5))
    sizes = torch.linalg.vector_norm(iterates.diff(dim=0), dim=-1)
    assert sizes[:4].tolist() == pytest.approx([2.7e-1, 2.6e-2, 2e-4, 1e-8], rel=0.35)
    assert sizes[4] <= 1e-16


def test_golden_implicit_gradients():
    a, inertia = GOLDEN_A.clone().requires_grad_(), FULL_INERTIA.clone().requires_grad_()
    z, _ = solve_implicitly(TRACE, a, inertia)
    z.backward(torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE))
    assert a.grad is not None
    assert inertia.grad is not None
    expected = torch.tensor([0.6105914747811099, -0.6592133110223873, 0.1308522349859414], dtype=DOUBLE)
    assert (a.grad - expected).abs().max() <= 4e-16
    golden = [
        [-0.19822597562096403, 0.19988695167018533, -0.10080746212334701],
        [0.19988695167018533, -0.1811526022694911, 0.11295839522092523],
        [-0.10080746212334701, 0.11295839522092523, -0.04500205478995967],
    ]
    assert (inertia.grad - torch.tensor(golden, dtype=DOUBLE)).abs().max() <= 4e-16


@pytest.mark.parametrize("inertia", [FREE_INERTIA, FULL_INERTIA, ROD], ids=["diagonal", "full", "rod"])
def test_impulse_is_that_of_the_trace_term(inertia):
    z = 0.5 * draws(50, 3)
    assert (TRACE.impulse(z, inertia) - trace_impulse(z, inertia)).abs().max() <= 1e-14


def test_residual_vanishes_at_the_impulse():
    z = 0.4 * draws(50, 3)
    for kinetic in (TRACE, CAYLEY):
        a = kinetic.impulse(z, FULL_INERTIA)
        assert kinetic.residual(z, a, FULL_INERTIA).abs().max() <= 1e-14


def test_impulse_in_exponential_coordinates():
    f = 0.7 * draws(50, 3)
    angle = torch.linalg.vector_norm(f, dim=-1, keepdim=True)
    z = torch.tan(angle / 2) * f / angle
    jf = apply(FULL_INERTIA, f)
    known = angle.sin() / angle * jf + (1 - angle.cos()) / angle**2 * torch.linalg.cross(f, jf)
    assert (TRACE.impulse(z, FULL_INERTIA) - known).abs().max() <= 1e-14


def test_inverse_of_the_tangent_of_the_cayley_map():
    z = draws(50, 3)
    eye = torch.eye(3, dtype=DOUBLE)
    matrix = eye - skew(z) + z.unsqueeze(-1) * z.unsqueeze(-2)
    closed = (eye + skew(z)) / (1 + (z * z).sum(-1))[:, None, None]
    assert (torch.linalg.inv(matrix) - closed).abs().max() <= 1e-14


def test_inertia_and_spread_describe_the_same_energy():
    omega = draws(50, 3)
    eye = torch.eye(3, dtype=DOUBLE)
    spread = 0.5 * FULL_INERTIA.diagonal().sum() * eye - FULL_INERTIA
    assert (spread.diagonal().sum() * eye - spread - FULL_INERTIA).abs().max() <= 1e-15
    hats = skew(omega)
    energy = 0.5 * (hats @ spread @ hats.mT).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert (energy - 0.5 * (omega * apply(FULL_INERTIA, omega)).sum(-1)).abs().max() <= 2e-15


@pytest.mark.parametrize("kinetic", [TRACE, CAYLEY], ids=["trace", "cayley"])
def test_jacobian_is_the_derivative_of_the_residual(kinetic):
    z, a = 0.3 * draws(3), draws(3, seed=1)
    known = torch.func.jacfwd(lambda p: kinetic.residual(p, a, FULL_INERTIA))(z)
    assert (kinetic.jacobian(z, a, FULL_INERTIA) - known).abs().max() <= 1e-15


@pytest.mark.parametrize(
    ("inertia", "turn", "iterations", "after_two", "after_three", "after_five"),
    [
        (FREE_INERTIA, 0.05, 3, 5e-11, 1e-15, 1e-15),
        (FREE_INERTIA, 0.10, 3, 6e-9, 1e-15, 1e-15),
        (FREE_INERTIA, 0.20, 3, 8e-7, 2e-14, 1e-15),
        (FREE_INERTIA, 0.50, 4, 5e-4, 3e-8, 1e-15),
        (FREE_INERTIA, 0.80, 5, 2e-2, 1e-4, 2e-15),
        (FREE_INERTIA, 0.95, 6, 1.5e-1, 1e-2, 2.5e-9),
        (ROD, 0.20, 4, 4e-4, 3e-9, 2e-15),
        (ROD, 0.50, 5, 6e-2, 2.1e-4, 5e-14),
        (ROD, 0.95, 7, 9e-1, 2.5e-1, 6e-6),
    ],
)
def test_iterations_of_the_published_method(inertia, turn, iterations, after_two, after_three, after_five):
    a = apply(inertia, turn * directions())
    solution, status = solve_step(TRACE, a, inertia)
    assert (status < Status.NOT_CONVERGED).all()
    iterates = newton_from_zero(TRACE, a, inertia, 12)
    sizes = torch.stack(iterates).diff(dim=0).norm(dim=-1).amax(-1)
    settled = 1e-14 if inertia is FREE_INERTIA else 1e-12
    assert int((sizes > settled).sum()) == iterations
    exact = cayley_matrix(solution)
    for steps, bound in ((2, after_two), (3, after_three), (5, after_five)):
        angle = (cayley_matrix(iterates[steps]) - exact).norm(dim=(-2, -1)) / 2**0.5
        assert angle.max() <= bound
        assert bound <= 1e-13 or angle.max() >= bound / 20


def test_orthogonality_says_nothing_about_convergence():
    a = apply(FREE_INERTIA, 0.8 * directions())
    unconverged = newton_from_zero(TRACE, a, FREE_INERTIA, 2)[-1]
    rotation = cayley_matrix(unconverged)
    assert (rotation.mT @ rotation - torch.eye(3, dtype=DOUBLE)).abs().max() <= 1e-15
    assert TRACE.residual(unconverged, a, FREE_INERTIA).abs().max() >= 1e-3


@pytest.mark.parametrize(
    ("inertia", "turn", "low", "high"),
    [
        (FREE_INERTIA, 0.95, 0, 0),
        (FREE_INERTIA, 1.05, 85, 140),
        (ROD, 0.95, 0, 0),
        (ROD, 1.05, 60, 110),
        (SPHERE, 0.999, 0, 0),
        (SPHERE, 1.05, 200, 200),
    ],
)
def test_domain(inertia, turn, low, high):
    a = apply(inertia, turn * directions())
    z, status = solve_step(TRACE, a, inertia)
    failed = status == Status.UNSOLVABLE
    assert low <= int(failed.sum()) <= high
    assert (status[~failed] == Status.LARGE_STEP).all()
    good = z[~failed]
    assert (good.norm(dim=-1) <= 1).all()
    rounding = 1e-14 * a.abs().max()
    assert torch.allclose(TRACE.impulse(good, inertia), a[~failed], rtol=0, atol=float(rounding))


@pytest.mark.parametrize(
    ("turn", "expected"), [(0.79, Status.OK), (0.81, Status.LARGE_STEP), (1.01, Status.UNSOLVABLE)]
)
def test_flags_about_a_principal_axis(turn, expected):
    a = torch.tensor([0.0, 2.0 * turn, 0.0], dtype=DOUBLE)
    assert solve_step(TRACE, a, FREE_INERTIA)[1] == expected


def test_the_fold_itself_is_solved_in_closed_form_on_a_sphere():
    a = 2.0 * (1 - 1e-12) * directions()
    z, status = solve_step(TRACE, a, 2 * SPHERE, isotropic=True)
    assert (status == Status.LARGE_STEP).all()
    assert (TRACE.impulse(z, 2 * SPHERE) - a).abs().max() <= 1e-14


def test_closed_form_about_a_principal_axis():
    angle = torch.linspace(-1.2, 1.2, 25, dtype=DOUBLE)
    for axis, moment in enumerate(FREE_INERTIA.diagonal()):
        a = torch.zeros(25, 3, dtype=DOUBLE)
        a[:, axis] = moment * angle.sin()
        z, _ = solve_step(TRACE, a, FREE_INERTIA)
        assert (2 * torch.atan(z[:, axis]) - angle).abs().max() <= 1e-14


def test_closed_form_on_a_sphere_is_the_solution_of_newton():
    a = 0.9 * directions()
    closed, _ = solve_step(TRACE, 3 * a, 3 * SPHERE, isotropic=True)
    iterated, _ = solve_step(TRACE, 3 * a, 3 * SPHERE)
    assert (closed - iterated).abs().max() <= 1e-15
    assert (closed.norm(dim=-1) * 2 / (1 + closed.square().sum(-1)) - 0.9).abs().max() <= 1e-15


@pytest.mark.parametrize("inertia", [FREE_INERTIA, FULL_INERTIA, ROD], ids=["diagonal", "full", "rod"])
@pytest.mark.parametrize("turn", [0.5, 1.0, 2.0, 4.0, 10.0])
def test_cayley_term_has_no_limit(inertia, turn):
    a = apply(inertia, turn * directions())
    z, status = solve_step(CAYLEY, a, inertia)
    assert (status == Status.OK).all()
    assert (CAYLEY.impulse(z, inertia) - a).abs().max() <= 1e-13 * a.abs().max()


def test_not_a_number_is_reported_for_its_sample_alone():
    a = 0.1 * draws(3, 3)
    a[1, 2] = float("nan")
    z, status = solve_step(TRACE, a, FREE_INERTIA)
    assert status.tolist() == [Status.OK, Status.NON_FINITE, Status.OK]
    assert TRACE.residual(z[[0, 2]], a[[0, 2]], FREE_INERTIA).abs().max() <= 1e-15


def test_one_bad_sample_does_not_spoil_the_others():
    a = apply(FREE_INERTIA, 0.3 * directions(6))
    a[2] *= 20
    z, status = solve_step(TRACE, a, FREE_INERTIA)
    assert status.tolist() == [0, 0, Status.UNSOLVABLE, 0, 0, 0]
    alone, _ = solve_step(TRACE, a[:2], FREE_INERTIA)
    assert (z[:2] - alone).abs().max() <= 1e-16


def test_single_precision_reaches_its_rounding():
    a = apply(FREE_INERTIA, 0.5 * directions())
    z, status = solve_step(TRACE, a.float(), FREE_INERTIA.float())
    assert (status == Status.OK).all()
    assert (z.double() - solve_step(TRACE, a, FREE_INERTIA)[0]).abs().max() <= 5e-7


def test_a_body_at_rest_stays_at_rest():
    for kinetic in (TRACE, CAYLEY):
        z, status = solve_step(kinetic, torch.zeros(2, 3, dtype=DOUBLE), FULL_INERTIA)
        assert (status == Status.OK).all()
        assert (z == 0).all()


@pytest.mark.parametrize("kinetic", [TRACE, CAYLEY], ids=["trace", "cayley"])
@pytest.mark.parametrize("turn", [0.1, 0.5, 0.9])
def test_implicit_gradient_against_finite_differences(kinetic, turn):
    a = apply(FULL_INERTIA, turn * directions(4))
    step = 1e-5

    def answer(a: Tensor, inertia: Tensor) -> Tensor:
        return solve_implicitly(kinetic, a, inertia)[0]

    by_a = torch.func.jacrev(lambda p: answer(p, FULL_INERTIA).sum(0))(a)
    by_inertia = torch.func.jacrev(lambda p: answer(a, p).sum(0))(FULL_INERTIA)
    scale = max(1.0, float(by_a.abs().max()))
    for i in range(3):
        nudge = torch.zeros(3, dtype=DOUBLE)
        nudge[i] = step
        difference = (answer(a + nudge, FULL_INERTIA) - answer(a - nudge, FULL_INERTIA)) / (2 * step)
        assert (by_a[:, :, i].mT - difference).abs().max() <= 5e-9 * scale**3
    for i in range(3):
        for j in range(i + 1):
            nudge = torch.zeros(3, 3, dtype=DOUBLE)
            nudge[i, j] = nudge[j, i] = step
            difference = (answer(a, FULL_INERTIA + nudge) - answer(a, FULL_INERTIA - nudge)) / (2 * step)
            known = (by_inertia * nudge / step).sum((-2, -1))
            assert (known - difference.sum(0)).abs().max() <= 5e-9 * scale**3


def test_gradient_of_the_unrolled_iteration_is_worse():
    a = apply(FREE_INERTIA, 0.9 * directions(20))
    exact = torch.func.jacrev(lambda p: solve_implicitly(TRACE, p, FREE_INERTIA)[0].sum(0))(a)
    for steps, low, high in ((2, 1e-2, 1.0), (3, 1e-4, 0.2)):
        unrolled = torch.func.jacrev(
            lambda p, n=steps: newton_from_zero(TRACE, p, FREE_INERTIA, n)[-1].sum(0)
        )(a)
        assert low <= (unrolled - exact).norm() / exact.norm() <= high


def test_impulses_keep_the_batch_of_inertias():
    inertia = FULL_INERTIA * torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)[:, None, None]
    a = 0.3 * draws(3, 3)
    together, _ = solve_step(TRACE, a, inertia)
    for k in range(3):
        assert (together[k] - solve_step(TRACE, a[k], inertia[k])[0]).abs().max() <= 1e-16


def test_second_derivatives_of_linear_solutions_hold_under_vmap():
    generator = torch.Generator().manual_seed(4)
    base = torch.randn(5, 3, 3, generator=generator, dtype=torch.float64) + 4 * torch.eye(3)
    right = torch.randn(3, generator=generator, dtype=torch.float64)

    def first(s: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return solve(matrix + s * torch.diag(right), right)[0]

    at = torch.zeros(5, dtype=torch.float64)
    got = torch.func.vmap(torch.func.jacfwd(torch.func.jacfwd(first)))(at, base)
    inverse = torch.linalg.inv(base)
    slope = inverse @ torch.diag(right)
    torch.testing.assert_close(got, 2 * (slope @ slope @ inverse @ right)[:, 0], rtol=1e-12, atol=0)
