"""What holds for any weights: symplectic on the constraints, inverse, friction, failures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geomlearn.nn import LearnedMass, RattleNet
from integrators import ConstrainedMechanicalSystem, MechanicalSystem, Rattle, StepError, Verlet, certify

from ._nets import (
    ROD,
    RODS,
    STEPS,
    H,
    canonical,
    cartesian,
    fast_pendulum,
    flat,
    generator,
    net,
    starts,
    symplectic_defect,
)

Z = torch.tensor([0.7, -0.4, 0.9, 0.3], dtype=torch.float64)


@pytest.mark.parametrize("shared", [False, True])
def test_symplectic_in_canonical_angles_by_forward_differentiation(shared: bool) -> None:
    model = net(shared=shared)
    slope = torch.func.jacfwd(lambda z: canonical(model(cartesian(z))))(Z).detach()
    assert float((slope - torch.eye(4)).abs().max()) > 0.01
    assert symplectic_defect(slope) <= 1e-12
    derivative, before, after = model.phase_derivative(cartesian(Z)[None])
    assert float((derivative.mT @ after @ derivative - before).detach().abs().max()) <= 1e-12
    assert float(model.constraint(model(cartesian(Z))).detach().abs().max()) < 1e-15


def test_free_maps_that_are_projected_are_not_symplectic() -> None:
    """The same potentials and steps without constraints, then the nearest state on them."""
    model = net()
    steps = [
        Verlet(part.system.system, float(part.length.detach()))  # type: ignore[operator, union-attr, arg-type]
        for part in model.parts
    ]
    system = model.system

    @torch.no_grad()
    def projected(z: Tensor) -> Tensor:
        x = cartesian(z)
        for step in steps:
            x = step(x)
        return canonical(system.project(x))

    eye = 1e-5 * torch.eye(4, dtype=torch.float64)
    columns = [(projected(Z + e) - projected(Z - e)) / 2e-5 for e in eye]
    assert symplectic_defect(torch.stack(columns, -1)) > 1e-4


def test_certificate_and_inverse() -> None:
    model = net(mass=LearnedMass((1.0, 1.5), coordinates=2))
    x = model.project(starts(2)).detach()
    assert model.symplectic
    assert not model.symmetric
    torch.testing.assert_close(model.inverse(model(x)), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.adjoint().with_step(-model.h)(model(x)).detach(), x, rtol=0, atol=1e-12)
    certificate = certify(model, x[:1], steps=16, backend="torch")
    assert certificate.symplectic_defect is not None
    assert certificate.symplectic_defect <= 1e-12
    assert certificate.symplectic
    assert certificate.volume_preserving
    assert certificate.invertible
    assert certificate.solved
    assert certificate.on_constraints
    assert certificate.order is None


def test_friction_shrinks_the_form_by_its_exact_factor() -> None:
    rate = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
    model = net(friction=rate)
    x = starts(2)
    derivative, before, after = model.phase_derivative(x)
    shrunk = derivative.mT @ after @ derivative - math.exp(-0.7 * sum(STEPS)) * before
    assert float(shrunk.detach().abs().max()) <= 1e-12
    assert not model.symplectic
    torch.testing.assert_close(model.inverse(model(x)), x, rtol=0, atol=1e-12)
    assert sum(p is rate for p in model.parameters()) == 1


def test_one_potential_and_fixed_steps_are_rattle_itself() -> None:
    model = RattleNet(8, RODS, H, 4, (8,), shared=True, learn_steps=False, generator=generator(3))
    x = y = starts(5)
    flow = Rattle(model.system, H / 4)
    for _ in range(4):
        y = flow(y)
    torch.testing.assert_close(model(x), y, rtol=0, atol=1e-15)
    assert model.order == 2
    assert model.reversible
    assert model.joined == (True, True, True)
    single = RattleNet(8, RODS, H, 1, (8,), learn_steps=False, generator=generator(3))
    assert torch.equal(single(x), Rattle(model.system, H)(x))


def test_energy_is_that_of_the_leading_hamiltonian() -> None:
    """A composition of order one follows it with an error that halves with the step."""
    model, x = net(hidden=(4,)), starts(4)
    parts = torch.stack([part.energy(x) for part in model.parts], -1)  # type: ignore[operator]
    mean = parts @ torch.tensor(STEPS, dtype=torch.float64) / sum(STEPS)
    torch.testing.assert_close(model.energy(x), mean, rtol=0, atol=1e-14)
    changes = []
    for factor in (0.02, 0.01):
        small = model.with_step(factor * H)
        y = x
        for _ in range(round(0.2 / factor)):
            y = small(y).detach()
        changes.append(float((model.energy(y) - model.energy(x)).detach().abs().max()))
    assert 1.7 < changes[0] / changes[1] < 2.3
    assert torch.allclose(small.fractions, model.fractions)


def test_a_substep_that_cannot_be_solved_raises() -> None:
    x = fast_pendulum()
    with pytest.raises(StepError, match="was not solved"):
        RattleNet(4, ROD, 0.15, 1, potentials=flat())(x)
    RattleNet(4, ROD, 0.15, 3, potentials=flat())(x)


@pytest.mark.parametrize("shape", [(8,), (0, 8), (2, 3, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_shapes_and_types(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    model = net(dtype=dtype)
    x = model.project(starts(1)[0].to(dtype)).expand(shape).detach()
    y = model(x)
    assert y.shape == shape
    assert y.dtype == dtype
    if y.numel():
        assert float(model.constraint(y).detach().abs().max()) < 10 * torch.finfo(dtype).eps
        each = torch.vmap(model)(x.reshape(-1, 8)).reshape(shape)
        torch.testing.assert_close(each, y, rtol=0, atol=20 * torch.finfo(dtype).eps)


def test_refusals() -> None:
    model = net()
    with pytest.raises(ValueError, match=r"do not satisfy the constraints .* system.project"):
        model(starts(1) + 1e-3)
    with pytest.raises(ValueError, match="dim: expected an even number"):
        RattleNet(7, ROD, 0.1)
    for count in (0, -1, True, 2.0):
        with pytest.raises(ValueError, match="substeps: expected at least one"):
            RattleNet(4, ROD, 0.1, count)  # type: ignore[arg-type]
    for wrong in ([0.5], [1.0, 0.0], [1.0, math.nan], [1.0, -1.0]):
        with pytest.raises(ValueError, match="fractions: expected 2 finite numbers"):
            RattleNet(4, ROD, 0.1, 2, fractions=wrong)
    with pytest.raises(ValueError, match="expected a finite step that is not zero"):
        RattleNet(4, ROD, 0.0)
    with pytest.raises(ValueError, match="constraints: g2 depends on the others"):
        RattleNet(8, ["q1**2 + q2**2 - 1", "2*q1**2 + 2*q2**2 - 2"], 0.1)
    with pytest.raises(ValueError, match="2 constraints of 2 positions leave no motion"):
        RattleNet(4, [*ROD.values(), "q1 - q2"], 0.1)
    with pytest.raises(ValueError, match="unknown symbol q3"):
        RattleNet(4, ["q3"], 0.1)
    with pytest.raises(ValueError, match="potentials: expected one module, or 3, got 2"):
        RattleNet(4, ROD, 0.1, potentials=[flat(), flat()])
    system = ConstrainedMechanicalSystem(MechanicalSystem(2, flat()), ROD)
    with pytest.raises(ValueError, match="stretch: expected one finite number that is not zero"):
        Rattle(system, 0.1, stretch=torch.nn.Parameter(torch.zeros(())))
    with pytest.raises(ValueError, match="positive masses"):
        net(mass=[1.0, 1.0, -1.0, 1.0])
