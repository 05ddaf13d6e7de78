"""What the rigid-body integrator refuses, and whether the message says how to mend it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from integrators import LinearPotential, PlanarIntegrator, RigidBodyIntegrator
from lie import SE3, SO3, MatrixLieGroup

from ._bodies import DOUBLE, FULL_INERTIA, free_start

EYE = torch.eye(3, dtype=DOUBLE)


class VaryingInertia(nn.Module):
    def forward(self, R: Tensor) -> Tensor:
        return R


class WrongGain(nn.Module):
    def forward(self) -> Tensor:
        return torch.zeros(2, 2, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"h": 0.0}, r"h: expected a positive step in seconds, got 0\.0"),
        ({"h": -0.1}, "h: expected a positive step"),
        ({"h": float("nan")}, "h: expected a positive step"),
        ({"alpha": -0.1}, r"alpha: expected a number in \[0, 1\], got -0\.1"),
        ({"alpha": float("nan")}, "alpha: expected a number"),
        ({"force_split": 1.1}, "force_split: expected a number in"),
        ({"kinetic": "midpoint"}, r"kinetic: expected one of \['cayley', 'trace'\], got 'midpoint'"),
        ({"inertia": torch.ones(3)}, r"inertia: expected shape \(3, 3\), got \(3,\)"),
        (
            {"inertia": torch.tensor([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]])},
            r"symmetric.*use \(J \+ J\.T\) / 2",
        ),
        ({"inertia": torch.diag(torch.tensor([1.0, 1.0, 0.0]))}, "positive principal moments"),
        ({"inertia": torch.diag(torch.tensor([1.0, 1.0, -2.0]))}, "positive principal moments"),
        ({"inertia": EYE * float("nan")}, "inertia: expected finite numbers"),
        ({"inertia": VaryingInertia()}, r"neither symplectic nor the motion of that body\. Use a constant"),
        (
            {"input_gain": torch.zeros(6, 2, dtype=DOUBLE)},
            r"input_gain: expected shape \(3, 'any'\), got \(6, 2\)",
        ),
        (
            {"input_gain": WrongGain()},
            r"input_gain: expected a module returning \(\.\.\., 3, m\), got \(2, 2\)",
        ),
        ({"dissipation": torch.zeros(3, dtype=DOUBLE)}, r"dissipation: expected shape \(3, 3\)"),
        ({"dissipation": WrongGain()}, r"dissipation: expected a module returning \(\.\.\., 3, 3\)"),
        ({"dissipation": torch.diag(torch.tensor([1.0, 0, -0.1]).double())}, "positive semidefinite matrix"),
        ({"mass": 1.0}, r"mass: expected None on SO\(3\)"),
        ({"group": SE3}, r"mass: expected a mass in kg \(or a module\) on SE\(3\), got None"),
        ({"group": SE3, "mass": -1.0}, r"mass: expected a positive mass in kg, got -1\.0"),
        ({"group": SE3, "mass": [1.0, 2.0]}, r"mass: expected shape \(\), got \(2,\)"),
    ],
)
def test_refused_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RigidBodyIntegrator(**{"group": SO3, "h": 0.1, "inertia": FULL_INERTIA, **arguments})


def test_other_groups_are_refused():
    class Plane(MatrixLieGroup):
        name = "Plane"
        dim = 1
        matrix_dim = 2

        def basis(self, dtype, device=None):
            return torch.tensor([[[0, -1], [1, 0]]], dtype=dtype, device=device)

    with pytest.raises(ValueError, match=r"group: expected lie\.SO3 or lie\.SE3"):
        RigidBodyIntegrator(Plane(), 0.1, FULL_INERTIA)


def test_a_potential_must_be_callable():
    with pytest.raises(
        TypeError, match="potential: expected a Potential or a callable of the configuration, got float"
    ):
        RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA, 1.0)  # type: ignore[arg-type]


def test_a_potential_must_return_one_energy_per_configuration():
    flow = RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA, lambda R: R[..., :1, 0])
    with pytest.raises(
        ValueError, match=r"energies of shape \(2,\).*got \(2, 1\); a trailing dimension of 1"
    ):
        flow(free_start().repeat(2, 1))
    planar = PlanarIntegrator(0.1, 1.0, lambda phi: phi.sum())
    with pytest.raises(ValueError, match=r"energies of shape \(2,\)"):
        planar(torch.zeros(2, 2, dtype=DOUBLE))


def test_mixed_dtypes_in_the_slots_are_refused():
    with pytest.raises(
        TypeError, match=r"dissipation\.matrix: expected the dtype of the inertia, torch\.float64"
    ):
        RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA, dissipation=torch.eye(3))
    with pytest.raises(TypeError, match=r"potential\.orientation: expected the dtype"):
        RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA, LinearPotential(torch.eye(3)))


def test_refused_states_and_controls():
    flow = RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA, input_gain=EYE)
    x = free_start()
    with pytest.raises(ValueError, match=r"x: expected shape \(\.\.\., 12\).*got \(11,\)"):
        flow(x[:11])
    with pytest.raises(
        TypeError, match=r"x: expected the dtype of the map, torch\.float64, got torch\.float32"
    ):
        flow(x.float())
    with pytest.raises(ValueError, match=r"control: expected shape \(\.\.\., 3\), got \(2,\)"):
        flow(x, torch.zeros(2, dtype=DOUBLE))
    with pytest.raises(TypeError, match=r"control: expected the dtype of x"):
        flow(x, torch.zeros(3))
    free = RigidBodyIntegrator(SO3, 0.1, FULL_INERTIA)
    with pytest.raises(ValueError, match="control: expected None, since the map has no inputs"):
        free(x, torch.zeros(1, dtype=DOUBLE))
