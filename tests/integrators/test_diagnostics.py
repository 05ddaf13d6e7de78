"""Poisson defects, growth laws, invariants and modified energies, on maps and series where they are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from integrators import (
    FlowMap,
    KahanLi8,
    PoissonSystem,
    SofroniouSpaletta10,
    SymplecticEuler,
    Verlet,
    VerletDriftFirst,
    certify,
    measure_growth,
    modified_energy,
    rollout,
    zoo,
)

DOUBLE = torch.float64
INERTIA = (2.0, 1.0, 2 / 3)
BODY = PoissonSystem(
    "(x1**2/2 + x2**2 + 3*x3**2/2)/2",
    {(0, 1): "-x3", (0, 2): "x2", (1, 2): "-x1"},
    casimirs={"squared_momentum": "x1**2 + x2**2 + x3**2"},
)


class AxisSplitting(FlowMap):
    """Rotations about the axes one after the other: a Poisson map that keeps the momentum's length."""

    order = 1

    def __init__(self, h: float = 0.1, exact: bool = True) -> None:
        super().__init__()
        self.h, self.system, self.space, self.exact = h, BODY, BODY.space, exact
        self.observables = {"squared_momentum": 1}

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        if not self.exact:
            return carry + self.h * BODY.field(carry)
        p = list(carry.unbind(-1))
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            angle = self.h * p[i] / INERTIA[i]
            c, s = torch.cos(angle), torch.sin(angle)
            p[j], p[k] = c * p[j] + s * p[k], -s * p[j] + c * p[k]
        return torch.stack(p, -1)

    def squared_momentum(self, x: Tensor) -> Tensor:
        return BODY.invariant("squared_momentum", x)

    def energy(self, x: Tensor) -> Tensor:
        return BODY.energy(x)

    def constraint_residual(self, x: Tensor) -> Tensor:
        return (x.square().sum(-1, keepdim=True) - 1).abs()


def test_a_poisson_map_is_told_from_another_one() -> None:
    x = torch.tensor([[0.6, 0.0, 0.8], [0.48, 0.64, 0.6]], dtype=DOUBLE)
    good = certify(AxisSplitting(), x, steps=400, backend="torch")
    assert good.poisson_defect is not None
    assert good.poisson_defect < 1e-15
    assert good.poisson
    assert good.symplectic is None
    assert good.keeps("squared_momentum")
    assert good.constraint_residual is not None
    assert good.constraint_residual < 1e-13
    assert good.on_constraints
    assert not good.energy_drifts
    assert "Poisson" in str(good)
    assert "squared momentum: largest change" in str(good)
    bad = certify(AxisSplitting(exact=False), x, steps=400, backend="torch")
    assert not bad.poisson
    assert not bad.keeps("squared_momentum")
    assert not bad.on_constraints
    assert bad.energy_growth is not None
    assert "NOT Poisson" in str(bad)
    # The defect of x + h f(x) is h^2 f' B f'^T, since the flow itself keeps B up to that order.
    finer = certify(AxisSplitting(0.05, exact=False), x, steps=16, backend="torch")
    assert finer.poisson_defect is not None
    assert bad.poisson_defect is not None
    assert bad.poisson_defect / finer.poisson_defect == pytest.approx(4, rel=0.2)
    with pytest.raises(ValueError, match="name: expected one of"):
        good.keeps("energy of nothing")


def test_invariants_of_the_system_are_rows_of_the_table() -> None:
    kepler = zoo.kepler(0.3)
    certificate = certify(Verlet(kepler.system, 0.1), kepler.start, steps=400, backend="torch")
    assert [i.name for i in certificate.invariants] == ["angular_momentum", "laplace_runge_lenz"]
    assert certificate.keeps("angular_momentum")
    assert not certificate.keeps("laplace_runge_lenz")
    assert certificate.energy_growth is not None
    assert certificate.energy_growth.law == "bounded"
    assert certificate.momentum == ()


def test_the_order_is_measured_where_rounding_hides_it_at_the_step_itself() -> None:
    henon = zoo.henon_heiles()
    certificate = certify(SofroniouSpaletta10(henon.system, 0.05), henon.start, steps=16, backend="torch")
    assert certificate.order == pytest.approx(10, abs=1.0)


def test_flipping_velocities_proves_nothing_in_a_magnetic_field() -> None:
    charged = zoo.charged_particle()

    class Exact(FlowMap):
        """The exact flow of the particle: as reversible as a map can be, with the field turned round."""

        def __init__(self) -> None:
            super().__init__()
            self.h, self.system, self.space = 0.1, charged.system, charged.system.space

        def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
            return carry @ step.mT

        def flip_velocities(self, x: Tensor) -> Tensor:
            return torch.cat((x[..., :3], -x[..., 3:]), -1)

        def energy(self, x: Tensor) -> Tensor:
            return charged.system.energy(x)

    slope = torch.func.jacrev(charged.system.field)(charged.start)
    step = torch.linalg.matrix_exp(0.1 * slope)
    certificate = certify(Exact(), charged.start, steps=200, backend="torch")
    assert certificate.reversibility is None
    assert not certificate.energy_drifts


def test_growth_of_known_series() -> None:
    t = np.arange(4097.0)
    walks = np.cumsum(np.random.default_rng(0).normal(size=(4097, 64)), 0)
    cases = {
        "bounded": np.sin(0.7 * t),
        "random walk": walks,
        "linear": 1e-9 * t[:, None] * np.array([1.0, -2.0]),
        "faster": t**2,
        "zero": np.ones(40),
    }
    for law, values in cases.items():
        assert measure_growth(values).law == law
    assert measure_growth(walks).exponent == pytest.approx(0.5, abs=0.1)
    assert measure_growth(3 * t).exponent == pytest.approx(1, abs=0.01)
    assert measure_growth(np.sin(0.7 * t)).size == pytest.approx(math.sqrt(0.5), rel=0.01)
    with pytest.raises(ValueError, match="at least 16"):
        measure_growth(t[:5])


@pytest.mark.parametrize(
    ("method", "published"),
    [
        (Verlet, ((0.2, 5.3e-3, 3.7e-5), (0.1, 1.3e-3, 2.3e-6), (0.05, 3.3e-4, 1.5e-7))),
        (VerletDriftFirst, ((0.2, 4.7e-3, 2.5e-5), (0.1, 1.2e-3, 1.5e-6), (0.05, 2.9e-4, 9.5e-8))),
    ],
)
def test_the_modified_energy_varies_by_the_fourth_power_of_the_step(method, published) -> None:
    pendulum = zoo.pendulum(gravity=1.0).system
    start, bands = torch.tensor([1.0, 0.5], dtype=DOUBLE), []
    for h, energy, modified in published:
        flow = method(pendulum, h)
        x = rollout(flow, start, steps=round(20 / h), backend="torch").states
        band = modified_energy(flow, x)
        bands.append(float(band.max() - band.min()))
        assert bands[-1] == pytest.approx(modified, rel=0.05)
        value = pendulum.energy(x)
        assert float(value.max() - value.min()) == pytest.approx(energy, rel=0.05)
    for coarse, fine in ((0, 1), (1, 2)):
        assert math.log2(bands[coarse] / bands[fine]) == pytest.approx(4, abs=0.05)


def test_maps_without_a_known_modified_energy_are_refused() -> None:
    henon = zoo.henon_heiles()
    for flow in (KahanLi8(henon.system, 0.1), SymplecticEuler(henon.system, 0.1), AxisSplitting()):
        with pytest.raises(ValueError, match="flow: expected Verlet"):
            modified_energy(flow, henon.start)
