"""What LieFVIN keeps for every value of its weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.nn import LieFVIN, LogCholeskyInertia, NeuralPotential
from integrators import LinearPotential, RigidBodyIntegrator
from lie import SE3, SO3

from ._models import GROUPS, generator, quiet, randn, shaken, states

BODY = torch.tensor([[1.0, 0.1, -0.05], [0.1, 2.0, 0.2], [-0.05, 0.2, 2.8]], dtype=torch.float64)


def form(momentum: Tensor, moving: bool) -> Tensor:
    """Symplectic form in body coordinates ``(eta, pi)`` of T*SO(3), plus ``(x, p)``."""
    identity, zero = torch.eye(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    spin = torch.cat((torch.cat((-SO3.hat(momentum), identity), 1), torch.cat((-identity, zero), 1)))
    shift = torch.cat((torch.cat((zero, identity), 1), torch.cat((-identity, zero), 1)))
    return torch.block_diag(spin, shift) if moving else spin


def symplectic_defect(model: LieFVIN, x: Tensor, control: Tensor | None = None) -> float:
    """Largest entry of ``D^T Omega' D - Omega`` with D from forward-mode differentiation."""
    part = model.space.view(x)
    inertia = model.inertia().detach()
    mass = None if model.mass is None else model.mass().detach()

    def chart(y: Tensor, at: Tensor) -> Tensor:
        found, base = model.space.view(y), model.space.view(at)
        turn = base["R"].mT @ found["R"]
        coordinates = [SO3.vee(0.5 * (turn - turn.mT)), inertia @ found["omega"]]
        if mass is not None:
            coordinates += [found["x"], mass * found["v"]]
        return torch.cat(coordinates)

    def step(c: Tensor) -> Tensor:
        moved = {
            "R": part["R"] + part["R"] @ SO3.hat(c[:3]),
            "omega": part["omega"] + torch.linalg.solve(inertia, c[3:6]),
        }
        if mass is not None:
            moved |= {"x": part["x"] + c[6:9], "v": part["v"] + c[9:] / mass}
        return chart(model(model.space.pack(**moved), control), after)

    with torch.no_grad():
        after = model(x, control)
    size = 6 if mass is None else 12
    derivative = torch.func.jacfwd(step)(torch.zeros(size, dtype=torch.float64))
    before_form = form(inertia @ part["omega"], mass is not None)
    after_form = form(inertia @ model.space.view(after)["omega"], mass is not None)
    defect = derivative.mT @ after_form @ derivative - before_form
    return float(defect.detach().abs().max())


def model_of(name: str, features: str, kinetic: str, **slots: object) -> LieFVIN:
    potential = NeuralPotential(GROUPS[name], (6, 6), features, generator=generator(2))
    model = quiet(GROUPS[name], 0.05, potential=potential, kinetic=kinetic, **slots)
    return shaken(model, scale=0.5)


@pytest.mark.parametrize("kinetic", ["trace", "cayley"])
@pytest.mark.parametrize("features", ["matrix", "quaternion"])
@pytest.mark.parametrize("name", ["SO3", "SE3"])
def test_step_is_symplectic_at_random_weights(name: str, features: str, kinetic: str) -> None:
    model = model_of(name, features, kinetic)
    for seed in range(3):
        assert symplectic_defect(model, states(model, seed=seed)) <= 1e-12


def test_step_is_not_symplectic_under_a_torque_or_damping() -> None:
    driven = model_of("SO3", "matrix", "trace", input_gain=1)
    assert symplectic_defect(driven, states(driven), torch.ones(1, dtype=torch.float64)) > 1e-3
    damped = model_of("SO3", "matrix", "trace", dissipation="learned")
    assert symplectic_defect(damped, states(damped)) > 1e-5


@pytest.mark.parametrize("name", ["SO3", "SE3"])
def test_rotations_stay_rotations_whatever_the_forces(name: str) -> None:
    model = model_of(name, "quaternion", "trace", input_gain=2, dissipation="learned")
    with torch.no_grad():
        path = model.unroll(states(model, 4), randn(100, 4, 2))
    rotation = model.space.view(path)["R"]
    defect = rotation.mT @ rotation - torch.eye(3, dtype=torch.float64)
    assert defect.abs().max() <= 3e-14
    assert (torch.linalg.det(rotation) - 1).abs().max() <= 3e-14


def test_inverse_undoes_the_step() -> None:
    model = model_of("SE3", "matrix", "trace", input_gain=2, dissipation="learned")
    x, u = states(model, 5), randn(5, 2)
    with torch.no_grad():
        assert torch.allclose(model.inverse(model(x, u), u), x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["SO3", "SE3"])
def test_analytic_slots_give_the_rigid_body_integrator(name: str) -> None:
    group = GROUPS[name]
    slots: dict[str, object] = {
        "potential": LinearPotential.gravity(2.0, [0.3, 0.2, 1.0]),
        "input_gain": randn(6 if group is SE3 else 3, 2),
        "dissipation": 0.1 * torch.eye(6 if group is SE3 else 3, dtype=torch.float64),
        "mass": 2.0 if group is SE3 else None,
    }
    learned = LieFVIN(group, 0.05, LogCholeskyInertia(BODY), **slots)  # type: ignore[arg-type]
    known = RigidBodyIntegrator(group, 0.05, BODY, **slots)  # type: ignore[arg-type]
    x, u = states(known, 4), randn(20, 4, 2)
    assert torch.allclose(learned.unroll(x, u), known.unroll(x, u), rtol=1e-12, atol=1e-13)


def test_inertia_of_the_configuration_is_refused_with_the_reason() -> None:
    class Turning(torch.nn.Module):
        def forward(self, rotation: Tensor) -> Tensor:
            return torch.eye(3, dtype=torch.float64).expand(rotation.shape)

    with pytest.raises(ValueError, match=r"inertia: .*Turning.*neither symplectic"):
        LieFVIN(SO3, 0.05, inertia=Turning())


def test_slots_of_different_dtype_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"potential\..*inertia, torch\.float32, got torch\.float64; convert"):
        LieFVIN(SO3, 0.05, inertia=torch.eye(3))
    with pytest.raises(TypeError, match=r"potential\.net\..*torch\.float32.*convert"):
        quiet(SO3, 0.05, potential=NeuralPotential(SO3, dtype=torch.float32))


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ({"dissipation": "some"}, "dissipation: expected a matrix, a module, 'learned' or None, got 'some'"),
        ({"input_gain": 0}, "input_gain: expected one or more inputs"),
        ({"input_gain": torch.ones(6, 1)}, "input_gain: expected shape"),
        ({"mass": 1.0}, r"mass: expected None on SO\(3\)"),
        ({"kinetic": "exact"}, "kinetic: expected one of"),
        ({"alpha": 2.0}, "alpha: expected a number in"),
    ],
)
def test_wrong_slots_are_named(slots: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LieFVIN(SO3, 0.05, **slots)  # type: ignore[arg-type]
