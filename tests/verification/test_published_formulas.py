"""Formulas as they are printed or coded by others, held against what they are to compute."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geomlearn.losses import geodesic_loss
from integrators import LinearPotential, RigidBodyIntegrator
from lie import SE3, SO3

from ..integrators.variational._bodies import DOUBLE, FREE_INERTIA, FULL_INERTIA, SPIN, draws, rotations

EYE = torch.eye(3, dtype=DOUBLE)
SPREAD = 0.5 * FULL_INERTIA.diagonal().sum() * EYE - FULL_INERTIA


def vee(matrix: Tensor) -> Tensor:
    return torch.stack((matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]), dim=-1)


def test_the_printed_residual_is_the_momentum_after_the_step():
    """With the sides of eq. 10 exchanged one gets the body momentum at the end of a free step."""
    flow = RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA)
    x = torch.cat((rotations(5).flatten(-2), draws(5, 3)), dim=-1)
    y = flow(x)
    Z = x[:, :9].unflatten(-1, (3, 3)).mT @ y[:, :9].unflatten(-1, (3, 3))
    before, after = (0.1 * z[:, 9:] @ FULL_INERTIA for z in (x, y))
    eq_10, printed = Z @ SPREAD - SPREAD @ Z.mT, SPREAD @ Z - Z.mT @ SPREAD
    assert (vee(eq_10) - before).abs().max() <= 1e-14
    assert (vee(printed) - after).abs().max() <= 1e-14
    assert (before - after).abs().max() >= 1e-2


def test_impulses_are_force_times_time():
    """A constant torque about a principal axis changes the momentum by the torque times the time."""
    torque, x = 0.7, torch.cat((EYE.flatten(), 0.3 * EYE[2]))
    for h in (0.02, 0.01):
        flow = RigidBodyIntegrator(SO3, h, FREE_INERTIA, input_gain=EYE[:, 2:])
        y = flow(x, torch.tensor([torque], dtype=DOUBLE))
        assert float(2.8 * (y[11] - x[11])) == pytest.approx(h * torque, rel=1e-12)


def test_an_inertia_of_the_configuration_without_its_slope_is_not_symplectic():
    """The step of a constant inertia with ``J(R)`` put in, ``J = 2 I + e3 . R e3 diag(0, 0, 1)``."""
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA)
    attitude = SO3.exp(torch.tensor([0.8, 0.3, -0.2], dtype=DOUBLE))

    def symplectic_defect(varying: float) -> float:
        def inertia(R: Tensor) -> Tensor:
            return torch.diag(torch.stack((R.new_tensor(1.5), R.new_tensor(2.0), 2 + varying * R[2, 2])))

        def step(e: Tensor) -> tuple[Tensor, Tensor]:
            R, pi = SO3.plus(attitude, e[:3]), FREE_INERTIA @ SPIN + e[3:]
            J = inertia(R)
            x = torch.cat((R.flatten(), torch.linalg.solve(J, pi)))
            y = torch.func.functional_call(flow, {"inertia.matrix": J}, (x,))
            return y[:9].reshape(3, 3), J @ y[9:]

        zero = torch.zeros(6, dtype=DOUBLE)
        arrival, after = step(zero)
        slope = torch.func.jacrev(lambda e: torch.cat((SO3.minus(step(e)[0], arrival), step(e)[1])))(zero)

        def form(pi: Tensor) -> Tensor:
            return torch.cat((torch.cat((-SO3.hat(pi), EYE), 1), torch.cat((-EYE, 0 * EYE), 1)))

        return float((slope.mT @ form(after) @ slope - form(FREE_INERTIA @ SPIN)).abs().max())

    assert symplectic_defect(0.0) <= 1e-13
    assert symplectic_defect(1.0) >= 1e-3


def test_an_inverse_with_a_floor_bounds_the_inertia():
    factor = draws(100, 3, 3)
    for floor in (0.1, 1.0, 10.0):
        inertia = torch.linalg.inv(factor @ factor.mT + floor * EYE)
        assert torch.linalg.eigvalsh(inertia).max() <= 1 / floor


def test_the_arc_cosine_of_the_trace_has_no_slope_at_equal_rotations():
    for loss, finite in ((_arc_cosine_loss, False), (geodesic_loss, True)):
        turn = EYE.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(turn, EYE), turn)
        assert bool(torch.isfinite(slope).all()) == finite
    a, b = rotations(2)
    assert float(_arc_cosine_loss(a, b)) == pytest.approx(float(geodesic_loss(a, b)), rel=1e-12)


def _arc_cosine_loss(a: Tensor, b: Tensor) -> Tensor:
    return torch.acos((0.5 * ((a.mT @ b).trace() - 1)).clamp(-1, 1)) ** 2


def test_the_minimiser_of_a_quadratic_cost_with_the_scaled_goal_is_another():
    w, goal = torch.tensor([4.0, 0.25], dtype=DOUBLE), torch.tensor([1.0, -2.0], dtype=DOUBLE)
    for linear, minimiser in ((-w * goal, goal), (-w.sqrt() * goal, goal / w.sqrt())):
        s = minimiser.clone().requires_grad_()
        (slope,) = torch.autograd.grad((0.5 * w * s * s + linear * s).sum(), s)
        assert slope.abs().max() <= 1e-15


def test_one_member_of_the_family_is_the_semi_implicit_euler_step():
    """At ``alpha = 0``, ``force_split = 1`` positions move by the new velocity; at the halves they do not."""
    gain = torch.zeros(6, 1, dtype=DOUBLE)
    gain[2] = 1.0
    x = torch.cat((draws(3), rotations().flatten(), draws(6, seed=1)))
    defect = {}
    for alpha, split in ((0.0, 1.0), (0.5, 0.5)):
        flow = RigidBodyIntegrator(
            SE3,
            0.02,
            FREE_INERTIA,
            LinearPotential.gravity(0.5, [0.0, 0.0, 0.0]),
            gain,
            mass=0.5,
            alpha=alpha,
            force_split=split,
        )
        y = flow(x, torch.tensor([6.0], dtype=DOUBLE))
        defect[alpha] = float((y[:3] - x[:3] - 0.02 * y[12:15]).abs().max())
    assert defect[0.0] <= 1e-15
    assert defect[0.5] >= 1e-4


def test_the_logarithm_sees_the_scale_of_a_matrix():
    """``log(cR)`` is not ``log(R)``: a matrix off the group has to be projected first."""
    phi = torch.tensor([0.3, -0.5, 0.7], dtype=DOUBLE)
    R = SO3.exp(phi)
    assert (SO3.log(R) - phi).abs().max() <= 1e-15
    assert (SO3.log(1.01 * R, check=False) - phi).abs().max() >= 1e-4
    with pytest.raises(ValueError, match="g is not in SO3"):
        SO3.log(1.01 * R)
    assert (SO3.log(SO3.project(1.01 * R)) - phi).abs().max() <= 1e-14
    assert math.isclose(float(SO3.distance(R, EYE)), float(phi.norm()), rel_tol=1e-14)
