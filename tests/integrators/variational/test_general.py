"""The integrator on any Lie group: against the rigid body, against DOP853, and on groups that a user adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from integrators import GroupVariationalIntegrator, RigidBodyIntegrator, Status, StepError, rollout
from integrators.variational._group_kinetic import GroupKinetic
from lie import SE3, SO3, MatrixLieGroup

from ._bodies import DOUBLE, FULL_INERTIA, draws, hanging, orders, rotations, states


class SpecialLinear(MatrixLieGroup):
    """Real 2x2 matrices of determinant one, by their basis alone."""

    name = "SL2"
    dim = 3
    matrix_dim = 2
    cayley_closed = True

    def basis(self, dtype, device=None):
        return torch.tensor(
            [[[1, 0], [0, -1]], [[0, 1], [0, 0]], [[0, 0], [1, 0]]], dtype=dtype, device=device
        )


class PlaneMotions(MatrixLieGroup):
    """Rigid motions of the plane, translation first, by their basis alone."""

    name = "PlaneMotions"
    dim = 3
    matrix_dim = 3
    cayley_closed = True

    def basis(self, dtype, device=None):
        basis = torch.zeros(3, 3, 3, dtype=dtype, device=device)
        basis[0, 0, 2] = basis[1, 1, 2] = basis[2, 1, 0] = 1
        basis[2, 0, 1] = -1
        return basis


class Stretches(MatrixLieGroup):
    """Affine maps of the line: no quadratic group, so without a Cayley transform."""

    name = "Stretches"
    dim = 2
    matrix_dim = 2

    def basis(self, dtype, device=None):
        return torch.tensor([[[1, 0], [0, 0]], [[0, 1], [0, 0]]], dtype=dtype, device=device)


def spd(size: int, seed: int = 3) -> Tensor:
    root = 0.4 * draws(size, size, seed=seed)
    return torch.eye(size, dtype=DOUBLE) + root @ root.mT


ADDED_MASS = torch.block_diag(torch.diag(torch.tensor([2.0, 3.5, 4.0]).double()), FULL_INERTIA)
ADDED_MASS[:3, 3:] = 0.2 * draws(3, 3, seed=9)
ADDED_MASS[3:, :3] = ADDED_MASS[:3, 3:].mT


def buoyancy(g: Tensor) -> Tensor:
    """A vehicle a little too heavy, its centre of buoyancy above that of mass, on a soft spring."""
    place = g[..., :3, 3]
    return 0.5 * g[..., 2, 3] - 0.8 * g[..., 2, 2] + 0.1 * g[..., 2, 0] + 0.3 * place.square().sum(-1)


def exact(
    group: MatrixLieGroup, inertia: Tensor, potential, start: Tensor, time: float, wrench=None, drag=None
) -> Tensor:
    """DOP853 on ``g' = g hat(xi)``, ``mu' = ad(xi)^T mu + force``."""
    n = group.matrix_dim
    solve = torch.linalg.inv(inertia)
    basis = group.basis(DOUBLE)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        state = torch.as_tensor(y)
        g, mu = state[: n * n].reshape(n, n), state[n * n :]
        xi = solve @ mu
        moved = torch.einsum("ij,kjl->kil", g, basis)
        force = -(torch.func.grad(potential)(g) * moved).sum((-2, -1))
        force = force if wrench is None else force + wrench
        force = force if drag is None else force - drag @ xi
        return torch.cat(((g @ group.hat(xi)).flatten(), group.coadjoint_algebra(xi, mu) + force)).numpy()

    y0 = torch.cat((start[: n * n], inertia @ start[n * n :])).numpy()
    y = torch.as_tensor(solve_ivp(slope, (0, time), y0, "DOP853", rtol=1e-13, atol=1e-13).y[:, -1])
    return torch.cat((y[: n * n], solve @ y[n * n :]))


@pytest.mark.parametrize(("alpha", "split"), [(0.5, 0.5), (0.3, 0.8)])
def test_on_so3_it_is_the_rigid_body(alpha, split):
    options = {
        "input_gain": draws(3, 2, seed=5),
        "dissipation": 0.1 * spd(3),
        "alpha": alpha,
        "force_split": split,
    }
    special = RigidBodyIntegrator(SO3, 0.05, FULL_INERTIA, hanging, kinetic="cayley", **options)
    general = GroupVariationalIntegrator(SO3, 0.05, FULL_INERTIA, hanging, **options)
    x, u = states(special, 4), draws(100, 4, 2, seed=1)
    path = special.unroll(x, u)
    assert (general.unroll(x, u) - path).abs().max() <= 1e-13
    assert (general.energy(path) - special.energy(path)).abs().max() <= 1e-14
    assert (general.momentum(path) - special.momentum(path)).abs().max() <= 1e-14
    assert (general.inverse(path[0], u[0]) - special.inverse(path[0], u[0])).abs().max() <= 1e-13


@pytest.mark.parametrize("retraction", ["cayley", "exp"])
@pytest.mark.parametrize("group", [SO3, SE3, SpecialLinear(), PlaneMotions()], ids=lambda g: g.name)
def test_impulse_is_the_derivative_of_the_kinetic_term(group, retraction):
    """``Ad*_{f^-1}`` of the left-trivialised derivative is the derivative along ``exp(s eta) f``."""
    kinetic, inertia = GroupKinetic(group, retraction), spd(group.dim)
    z = 0.2 * draws(group.dim)
    log = group.cayley_inverse if retraction == "cayley" else group.log
    f = kinetic.displacement(z)

    def energy(eta: Tensor) -> Tensor:
        u = log(group.compose(group.exp(eta), f))
        return 0.5 * u @ inertia @ u

    known = torch.func.grad(energy)(torch.zeros(group.dim, dtype=DOUBLE))
    assert (kinetic.impulse(z, inertia) - known).abs().max() <= 1e-13
    slope = torch.func.jacfwd(lambda p: kinetic.residual(p, known, inertia))(z)
    assert (kinetic.jacobian(z, known, inertia) - slope).abs().max() <= 1e-13


@pytest.mark.parametrize("retraction", ["cayley", "exp"])
def test_kirchhoff_equations_of_a_vehicle_under_water(retraction):
    wrench, drag = 0.3 * draws(6, seed=6), 0.2 * spd(6, seed=7)
    g = SE3.from_parts(rotations(seed=2), draws(3, seed=2))
    start = torch.cat((g.flatten(), 0.5 * draws(6, seed=4)))
    truth = exact(SE3, ADDED_MASS, buoyancy, start, 1.0, wrench, drag)
    errors = []
    for steps in (20, 40, 80):
        flow = GroupVariationalIntegrator(
            SE3, 1 / steps, ADDED_MASS, buoyancy, wrench[:, None], drag, retraction=retraction
        )
        x = flow.unroll(start, torch.ones(steps, 1, dtype=DOUBLE))[-1]
        errors.append(float((x - truth).norm()))
    assert errors[0] <= 2e-2
    assert all(1.95 <= order <= 2.05 for order in orders(errors))


def test_one_sided_forces_are_of_order_one():
    wrench = 0.3 * draws(6, seed=6)
    start = torch.cat((torch.eye(4, dtype=DOUBLE).flatten(), 0.5 * draws(6, seed=4)))
    truth = exact(SE3, ADDED_MASS, buoyancy, start, 0.5, wrench)
    errors = []
    for steps in (20, 40, 80):
        flow = GroupVariationalIntegrator(SE3, 0.5 / steps, ADDED_MASS, buoyancy, wrench[:, None], alpha=0.0)
        assert flow.order == 1
        errors.append(float((flow.unroll(start, torch.ones(steps, 1, dtype=DOUBLE))[-1] - truth).norm()))
    assert all(0.9 <= order <= 1.1 for order in orders(errors))


@pytest.mark.parametrize("group", [SpecialLinear(), PlaneMotions(), Stretches()], ids=lambda g: g.name)
def test_groups_that_a_user_adds(group):
    inertia = spd(group.dim)
    target = torch.eye(group.matrix_dim, dtype=DOUBLE) + 0.1 * draws(
        group.matrix_dim, group.matrix_dim, seed=8
    )

    def potential(g: Tensor) -> Tensor:
        return 0.5 * (g - target).square().sum((-2, -1))

    g = group.exp(0.3 * draws(group.dim, seed=1))
    start = torch.cat((g.flatten(), 0.5 * draws(group.dim, seed=2)))
    truth = exact(group, inertia, potential, start, 1.0)
    flows = [GroupVariationalIntegrator(group, 1 / n, inertia, potential) for n in (10, 20, 40)]
    errors = [float((flow.unroll(start, steps=round(1 / flow.h))[-1] - truth).norm()) for flow in flows]
    assert errors[0] <= 2e-2
    assert all(1.9 <= order <= 2.1 for order in orders(errors))
    y = flows[0](start)
    assert (flows[0].inverse(y) - start).abs().max() <= 1e-13
    assert group.residual(y[: group.matrix_dim**2].unflatten(0, (group.matrix_dim,) * 2)) <= 1e-14
    free = GroupVariationalIntegrator(group, 0.1, inertia)
    path = free.unroll(start, steps=20)
    assert (free.momentum(path) - free.momentum(start)).abs().max() <= 1e-13


@pytest.mark.parametrize("retraction", ["cayley", "exp"])
def test_free_motion_and_symmetries_keep_momentum(retraction):
    flow = GroupVariationalIntegrator(SE3, 0.1, ADDED_MASS, retraction=retraction)
    g = SE3.from_parts(rotations(3), draws(3, 3))
    x = torch.cat((g.flatten(-2), 0.5 * draws(3, 6, seed=4)), dim=-1)
    path = flow.unroll(x, steps=50)
    assert (flow.momentum(path) - flow.momentum(x)).abs().max() <= 1e-12
    rotation = path[..., :16].unflatten(-1, (4, 4))[..., :3, :3]
    assert SO3.residual(rotation).max() <= 1e-14
    weight = GroupVariationalIntegrator(
        SE3, 0.1, ADDED_MASS, lambda g: 0.5 * g[..., 2, 3] - 0.8 * g[..., 2, 2], retraction=retraction
    )
    kept = [0, 1, 5]
    moved = weight.momentum(weight.unroll(x, steps=50)) - weight.momentum(x)
    assert moved[..., kept].abs().max() <= 1e-12
    assert moved[-1, :, 2].abs().min() >= 1e-1


def test_it_is_symplectic_unless_forced():
    """``D^T Omega D = Omega`` in the chart (exp(eta), mu), Omega from the Lie-Poisson structure."""
    dim = 6

    def form(mu: Tensor) -> Tensor:
        eye = torch.eye(dim, dtype=DOUBLE)
        bracket = torch.stack([SE3.coadjoint_algebra(e, mu) for e in eye])
        return torch.cat((torch.cat((bracket, eye), 1), torch.cat((-eye, 0 * eye), 1)))

    start = torch.cat((SE3.from_parts(rotations(), draws(3)).flatten(), 0.5 * draws(dim, seed=4)))
    g0, mu0 = start[:16].reshape(4, 4), ADDED_MASS @ start[16:]

    def defect(flow: GroupVariationalIntegrator, control: Tensor | None) -> float:
        g1 = flow(start, control)[:16].reshape(4, 4)

        def chart(e: Tensor) -> Tensor:
            velocity = torch.linalg.solve(ADDED_MASS, mu0 + e[dim:])
            y = flow(torch.cat((SE3.plus(g0, e[:dim]).flatten(), velocity)), control)
            return torch.cat((SE3.minus(y[:16].reshape(4, 4), g1), ADDED_MASS @ y[16:]))

        zero = torch.zeros(2 * dim, dtype=DOUBLE)
        slope, mu1 = torch.func.jacrev(chart)(zero), chart(zero)[dim:]
        return float((slope.mT @ form(mu1) @ slope - form(mu0)).abs().max())

    for retraction in ("cayley", "exp"):
        free = GroupVariationalIntegrator(SE3, 0.1, ADDED_MASS, buoyancy, retraction=retraction, alpha=0.3)
        assert defect(free, None) <= 1e-13
    pushed = GroupVariationalIntegrator(SE3, 0.1, ADDED_MASS, buoyancy, torch.eye(6, dtype=DOUBLE))
    assert defect(pushed, torch.ones(6, dtype=DOUBLE)) >= 1e-3


def test_gain_and_damping_of_the_configuration():
    class Turning(torch.nn.Module):
        def forward(self, g: Tensor) -> Tensor:
            return SE3.Ad(SE3.inverse(g))[..., :2]

    flow = GroupVariationalIntegrator(SE3, 0.1, ADDED_MASS, buoyancy, Turning(), lambda_damping())
    start = torch.cat((SE3.from_parts(rotations(3), draws(3, 3)).flatten(-2), 0.5 * draws(3, 6)), dim=-1)
    u = draws(3, 2, seed=5)
    assert (flow.inverse(flow(start, u), u) - start).abs().max() <= 1e-12
    assert flow.control_size == 2


def lambda_damping() -> torch.nn.Module:
    class Rising(torch.nn.Module):
        def forward(self, g: Tensor) -> Tensor:
            return (1 + g[..., 2, 3].square())[..., None, None] * torch.eye(6, dtype=DOUBLE)

    return Rising()


def test_failures_are_reported_for_each_trajectory():
    flow = GroupVariationalIntegrator(SE3, 0.1, ADDED_MASS)
    x = torch.cat((SE3.from_parts(rotations(3), draws(3, 3)).flatten(-2), 0.5 * draws(3, 6)), dim=-1)
    x[1, -1] = float("nan")
    with pytest.raises(StepError, match=r"1 of 3 .* index \(1,\)"):
        flow(x)
    constants = flow.constants()
    status = flow.try_advance(flow.start(x, constants), None, constants)[1]
    assert status.tolist() == [0, Status.NON_FINITE, 0]
    good = rollout(flow, x[[0, 2]], 5, backend="torch", observe={"energy": flow.energy})
    assert (good.states[1:] - flow.unroll(x[[0, 2]], steps=5)).abs().max() <= 1e-14


def test_the_cayley_retraction_takes_large_steps():
    flow = GroupVariationalIntegrator(SE3, 1.0, ADDED_MASS)
    x = torch.cat((SE3.from_parts(rotations(20), draws(20, 3)).flatten(-2), 2.0 * draws(20, 6)), dim=-1)
    y = flow(x)
    assert (flow.momentum(y) - flow.momentum(x)).abs().max() <= 1e-11


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"group": "SE3"}, TypeError, "group: expected a group of matrices"),
        ({"inertia": torch.eye(3)}, ValueError, r"inertia: expected shape \(6, 6\), got \(3, 3\)"),
        ({"inertia": -torch.eye(6)}, ValueError, "inertia: expected positive"),
        ({"retraction": "log"}, ValueError, "retraction: expected one of"),
        (
            {"group": Stretches(), "inertia": spd(2), "retraction": "cayley"},
            ValueError,
            "expected 'exp' on Stretches",
        ),
        ({"h": float("inf")}, ValueError, "h: expected a positive step"),
        ({"alpha": 1.5}, ValueError, "alpha: expected a number in"),
        ({"input_gain": torch.eye(3)}, ValueError, r"input_gain: expected shape \(6, 'any'\)"),
        ({"potential": 3.0}, TypeError, "potential: expected a Potential or a callable"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        GroupVariationalIntegrator(**{"group": SE3, "h": 0.1, "inertia": spd(6), **arguments})
