"""The rigid-body map: worked values, invariants, equivalent forms, failures."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from integrators import (
    LargeStepWarning,
    LinearPotential,
    RigidBodyIntegrator,
    Status,
    StepError,
)
from lie import SE3, SO3, quaternion

from ._bodies import (
    DOUBLE,
    FREE_INERTIA,
    FULL_INERTIA,
    draws,
    exact_top,
    free_start,
    hanging,
    rotations,
    states,
    weight,
)

KINETICS = ["trace", "cayley"]
DAMPING = torch.tensor([[0.3, 0.05, 0.0], [0.05, 0.2, 0.1], [0.0, 0.1, 0.4]], dtype=DOUBLE)


def moving(**options) -> RigidBodyIntegrator:
    """A body on SE(3) in a potential of place and attitude, with inputs and damping unless told otherwise."""
    settings = {
        "h": 0.05,
        "inertia": FULL_INERTIA,
        "potential": lambda x, R: hanging(R) + (x * x).sum(-1) + x[..., 0] * R[..., 1, 2],
        "input_gain": draws(6, 4, seed=5),
        "dissipation": torch.eye(6, dtype=DOUBLE) * 0.2,
        "mass": 1.3,
        **options,
    }
    return RigidBodyIntegrator(SE3, **settings)


def turning(**options) -> RigidBodyIntegrator:
    settings = {
        "h": 0.05,
        "inertia": FULL_INERTIA,
        "potential": weight(),
        "input_gain": draws(3, 2, seed=5),
        "dissipation": DAMPING,
        **options,
    }
    return RigidBodyIntegrator(SO3, **settings)


def test_golden_free_body():
    flow = RigidBodyIntegrator(SO3, 0.05, FREE_INERTIA)
    x = flow.unroll(free_start(), steps=100)[-1]
    omega = torch.tensor([1.0573495850935075, 0.15334059072996234, -0.6538307943442044], dtype=DOUBLE)
    row = torch.tensor([0.33555805108330705, -0.9129415848559809, -0.23224654355624239], dtype=DOUBLE)
    assert (x[9:] - omega).abs().max() <= 1e-14
    assert (x[:3] - row).abs().max() <= 1e-14
    exact = exact_top(5.0)
    printed = torch.tensor([1.0570081121, 0.1559666063, -0.6535842623], dtype=DOUBLE)
    assert (exact[9:] - printed).abs().max() <= 1e-10


def test_golden_pendulum():
    inertia = torch.eye(3, dtype=DOUBLE) / 3
    flow = RigidBodyIntegrator(SO3, 0.02, inertia, lambda R: 5 * (1 - R[..., 0, 0]))
    x = torch.tensor([0, -1.0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0], dtype=DOUBLE)
    x = flow.unroll(x, steps=100)[-1]
    angle = torch.atan2(x[3], x[0])
    assert abs(float(angle) - 1.5143386061693447) <= 1e-13
    assert abs(float(x[11]) + 1.3010076229622178) <= 1e-13
    assert (x[[2, 5, 6, 7, 9, 10]] == 0).all()


def test_body_torque_of_the_potential_against_finite_differences():
    flow = turning(potential=lambda R: (R[..., 0, 1] * R[..., 2, 2]).sin() + R[..., 1, 0] ** 2)
    R = rotations(5)
    carry = flow.start(torch.cat((R.flatten(-2), torch.zeros(5, 3, dtype=DOUBLE)), dim=-1), flow.constants())
    for axis in range(3):
        eta = torch.zeros(3, dtype=DOUBLE)
        eta[axis] = 1e-5
        ahead, back = flow.potential(SO3.plus(R, eta)), flow.potential(SO3.plus(R, -eta))
        assert (-carry.torque[:, axis] - (ahead - back) / 2e-5).abs().max() <= 1e-9


def test_torque_of_a_pendulum():
    flow = RigidBodyIntegrator(SO3, 0.02, FREE_INERTIA, lambda R: 5 * (1 - R[..., 0, 0]))
    angle = torch.tensor([0.3, 2.0], dtype=DOUBLE)
    R = SO3.exp(torch.stack((0 * angle, 0 * angle, angle), dim=-1))
    carry = flow.start(torch.cat((R.flatten(-2), torch.zeros(2, 3, dtype=DOUBLE)), dim=-1), flow.constants())
    assert (carry.torque[:, 2] + 5 * angle.sin()).abs().max() <= 1e-15


@pytest.mark.parametrize("kinetic", KINETICS)
def test_function_and_closed_form_potential_agree(kinetic):
    first = turning(kinetic=kinetic)
    second = turning(kinetic=kinetic, potential=hanging)
    x, u = states(first, 4), draws(20, 4, 2, seed=3)
    assert (first.unroll(x, u) - second.unroll(x, u)).abs().max() <= 1e-14


@pytest.mark.parametrize("kinetic", KINETICS)
@pytest.mark.parametrize(("alpha", "split"), [(0.5, 0.5), (0.0, 1.0), (0.3, 0.2), (1.0, 0.0)])
@pytest.mark.parametrize("make", [turning, moving], ids=["SO3", "SE3"])
def test_inverse_undoes_a_step(make, alpha, split, kinetic):
    flow = make(alpha=alpha, force_split=split, kinetic=kinetic)
    x, u = states(flow, 4), draws(4, flow.control_size, seed=3)
    assert (flow.inverse(flow(x, u), u) - x).abs().max() <= 1e-13
    assert (flow(flow.inverse(x, u), u) - x).abs().max() <= 1e-13


@pytest.mark.parametrize("make", [turning, moving], ids=["SO3", "SE3"])
def test_reversibility_is_what_the_attribute_says(make):
    for options in ({"dissipation": None}, {"dissipation": None, "alpha": 0.0}, {}):
        flow = make(**options)
        x, u = states(flow, 4), draws(4, flow.control_size, seed=3)
        there_and_back = flow.flip_velocities(flow(flow.flip_velocities(flow(x, u)), u))
        gap = float((there_and_back - x).abs().max())
        assert gap <= 1e-13 if flow.reversible else gap >= 1e-4


def test_symmetric_weights_make_order_two():
    assert turning().order == 2
    assert turning(alpha=0.4).order == 1
    assert turning(force_split=1.0).order == 1
    assert turning(force_split=1.0, input_gain=None, dissipation=None).order == 2


def test_a_step_of_the_quaternion_form_is_the_same():
    """The variational step on unit quaternions: ``h p = 2 (c J s + s x J s)``, ``q' = q (s, c)``."""
    flow = turning(kinetic="trace", input_gain=None, dissipation=None, potential=None)
    x = states(flow, 8, speed=2.0)
    y = flow(x)
    relative = x[:, :9].reshape(-1, 3, 3).mT @ y[:, :9].reshape(-1, 3, 3)
    q = SO3.to_quaternion(relative)
    s, c = q[:, :3], q[:, 3:]
    js = s @ FULL_INERTIA
    momentum = x[:, 9:] @ FULL_INERTIA
    assert (2 * (c * js + torch.linalg.cross(s, js)) - 0.05 * momentum).abs().max() <= 1e-15
    chained = quaternion.multiply(SO3.to_quaternion(x[:, :9].reshape(-1, 3, 3)), q)
    assert (SO3.from_quaternion(chained).flatten(-2) - y[:, :9]).abs().max() <= 2e-15


def test_translation_of_a_free_flight_is_exact():
    flow = moving(
        potential=LinearPotential([[0.0] * 3] * 3, [0.0, 0.0, 1.3 * 9.81]), input_gain=None, dissipation=None
    )
    x = states(flow, 3)
    y = flow.unroll(x, steps=40)[-1]
    fall = torch.tensor([0.0, 0.0, -9.81], dtype=DOUBLE)
    assert (y[:, :3] - (x[:, :3] + 2.0 * x[:, 12:15] + 2.0 * fall)).abs().max() <= 1e-13
    assert (y[:, 12:15] - (x[:, 12:15] + 2.0 * fall)).abs().max() <= 1e-13


@pytest.mark.parametrize("kinetic", KINETICS)
def test_momentum_of_a_free_body_is_kept(kinetic):
    flow = moving(potential=None, input_gain=None, dissipation=None, kinetic=kinetic)
    x = states(flow, 3)
    start = flow.momentum(x)
    assert (flow.momentum(flow.unroll(x, steps=50)) - start).abs().max() <= 2e-13


def test_forces_that_do_no_work_along_a_symmetry_keep_its_momentum():
    """Torques along the body axis that gravity turns about leave nothing else; an input about e3 does not."""
    flow = turning(input_gain=None, dissipation=None)
    x = states(flow, 3)
    assert (flow.momentum(flow.unroll(x, steps=50))[..., 2] - flow.momentum(x)[..., 2]).abs().max() <= 1e-13
    forced = turning(dissipation=None)
    u = torch.ones(50, 3, 2, dtype=DOUBLE)
    assert (forced.momentum(forced.unroll(x, u))[-1, :, 2] - forced.momentum(x)[:, 2]).abs().min() >= 1e-2


def test_damping_takes_energy_away():
    flow = turning(potential=None, input_gain=None)
    x = states(flow, 5)
    energy = torch.cat((flow.energy(x)[None], flow.energy(flow.unroll(x, steps=60))))
    assert (energy.diff(dim=0) < 0).all()


def test_energies_add_up():
    flow = moving()
    x = states(flow, 3)
    part = flow.space.view(x)
    kinetic = 0.65 * part["v"].square().sum(-1)
    kinetic += 0.5 * torch.einsum("bi,ij,bj->b", part["omega"], FULL_INERTIA, part["omega"])
    assert (flow.kinetic_energy(x) - kinetic).abs().max() <= 1e-14
    assert torch.equal(flow.energy(x), flow.kinetic_energy(x) + flow.potential_energy(x))


def test_gain_and_damping_that_depend_on_the_configuration():
    class Field(nn.Module):
        def __init__(self, matrix: Tensor) -> None:
            super().__init__()
            self.matrix = nn.Buffer(matrix)

        def forward(self, x: Tensor, R: Tensor) -> Tensor:
            return self.matrix.expand(*x.shape[:-1], *self.matrix.shape)

    gain, damping = draws(6, 4, seed=5), 0.2 * torch.eye(6, dtype=DOUBLE)
    varying = moving(input_gain=Field(gain), dissipation=Field(damping))
    constant = moving(input_gain=gain, dissipation=damping)
    x, u = states(varying, 3), draws(10, 3, 4, seed=2)
    assert (varying.unroll(x, u) - constant.unroll(x, u)).abs().max() <= 1e-14


def test_batches_broadcast_and_agree_with_single_states():
    flow = moving()
    x, u = states(flow, 6), draws(6, 4, seed=2)
    together = flow(x, u)
    for k in range(6):
        assert (flow(x[k], u[k]) - together[k]).abs().max() <= 1e-15
    grid = flow(x.reshape(2, 3, 18), u.reshape(2, 3, 4))
    assert (grid.reshape(6, 18) - together).abs().max() <= 1e-15
    assert flow(x[0], u).shape == (6, 18)


def test_unroll_is_repeated_stepping():
    flow = moving()
    x, u = states(flow, 3), draws(5, 3, 4, seed=2)
    path = flow.unroll(x, u)
    for k in range(5):
        x = flow(x, u[k])
        assert (path[k] - x).abs().max() <= 1e-13


def test_single_precision_is_kept():
    flow = moving().float()
    x, u = states(flow, 3).float(), draws(3, 4).float()
    y = flow(x, u)
    assert y.dtype == torch.float32
    assert (y.double() - moving()(x.double(), u.double())).abs().max() <= 5e-6


def test_numbers_take_the_dtype_of_the_inertia():
    flow = RigidBodyIntegrator(
        SE3, 0.05, FULL_INERTIA.float(), input_gain=[[1.0]] * 6, dissipation=[[0.0] * 6] * 6, mass=2.0
    )
    x = states(flow, 2).float()
    assert flow(x, torch.ones(2, 1)).dtype == torch.float32
    assert flow(x).dtype == torch.float32


def fast(speed: float) -> Tensor:
    x = free_start().repeat(3, 1)
    x[1, 9:] = torch.tensor([0.0, speed, 0.0])
    return x


def test_a_large_step_warns():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA)
    with pytest.warns(LargeStepWarning, match=r"0\.8 rad.*smaller h"):
        flow(fast(8.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow(fast(7.5))


def test_a_step_without_solution_raises_and_names_the_trajectory_and_the_mend():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA)
    with pytest.raises(StepError, match=r"1 of 3 .* index \(1,\).*smaller h.*kinetic='cayley'"):
        flow(fast(10.5))
    _, status = flow.try_advance(flow.start(fast(10.5), flow.constants()), None, flow.constants())
    assert status.tolist() == [Status.OK, Status.UNSOLVABLE, Status.OK]


def test_the_cayley_term_takes_that_step():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA, kinetic="cayley")
    y = flow(fast(40.0))
    assert (flow.momentum(y) - flow.momentum(fast(40.0))).abs().max() <= 1e-12


def test_a_state_that_is_not_a_number_raises():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA)
    x = fast(1.0)
    x[2, 10] = float("nan")
    with pytest.raises(StepError, match=r"index \(2,\).*NaN"):
        flow(x)


def test_a_failed_step_inside_vmap_raises_too():
    flow = RigidBodyIntegrator(SO3, 0.1, FREE_INERTIA)
    with pytest.raises(StepError):
        torch.func.vmap(flow)(fast(10.5))
    with pytest.warns(LargeStepWarning):
        torch.func.vmap(torch.func.jacrev(flow))(fast(8.5))


def test_with_step_shares_the_parameters():
    flow = moving(potential=None)
    other = flow.with_step(0.01)
    assert (flow.h, other.h) == (0.05, 0.01)
    x = states(flow, 2)
    direct = moving(potential=None, h=0.01)
    assert torch.equal(other(x), direct(x))
    assert other.inertia is flow.inertia
    with pytest.raises(ValueError, match="h: expected a finite step"):
        flow.with_step(0.0)
