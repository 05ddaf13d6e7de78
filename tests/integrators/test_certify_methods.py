"""Methods of every kind can be certified, on systems of every kind, and have what they state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import integrators as gi
from integrators import zoo

DOUBLE = torch.float64
HENON, CHARGED, EATEN, BODY = (
    zoo.henon_heiles(),
    zoo.charged_particle(),
    zoo.lotka_volterra(),
    zoo.heavy_top(),
)
TIMED = gi.Hamiltonian("p**2/2 - cos(q) - 0.3*q*cos(2*t)")
CLOCK = torch.tensor([0.5, 0.0, 0.0], dtype=DOUBLE)
BALL = gi.ConstrainedHamiltonian(
    "(p1**2 + p2**2 + p3**2)/2 + q3",
    ["q1**2 + q2**2 + q3**2 - 1"],
    invariants={"about_axis": "q1*p2 - q2*p1"},
)
PUSHED = gi.VectorField({"x": "v", "v": "-x + u"}, inputs="u")

CASES: dict[str, tuple[Callable[[], gi.FlowMap], torch.Tensor, str]] = {
    "splitting": (lambda: gi.Verlet(HENON.system, 0.1), HENON.start, "symplectic"),
    "splitting with time": (lambda: gi.Verlet(TIMED, 0.1), CLOCK, "symplectic"),
    "Gauss": (lambda: gi.Gauss4(CHARGED.system, 0.1), CHARGED.start, "symplectic"),
    "Gauss with time": (lambda: gi.ImplicitMidpoint(TIMED, 0.1), CLOCK, "symplectic"),
    "Lobatto": (lambda: gi.LobattoPair(CHARGED.system, 0.1), CHARGED.start, "symplectic"),
    "Tao": (lambda: gi.Tao(CHARGED.system, 0.02), CHARGED.start, ""),
    "Runge-Kutta": (lambda: gi.RungeKutta4(HENON.system, 0.1), HENON.start, ""),
    "adaptive": (lambda: gi.DOP853(HENON.system, 0.1), HENON.start, ""),
    "discrete gradient": (lambda: gi.GonzalezMidpoint(HENON.system, 0.1), HENON.start, "energy"),
    "discrete gradient, Poisson": (lambda: gi.AverageVectorField(EATEN.system, 0.1), EATEN.start, "energy"),
    "composition": (
        lambda: gi.Verlet(HENON.system, 0.1) @ gi.Verlet(HENON.system, 0.05), HENON.start, "symplectic",
    ),
    "symmetric composition": (
        lambda: gi.symmetric_composition(gi.Verlet(HENON.system, 0.1), "Suzuki4"), HENON.start, "symplectic",
    ),
    "constraints": (
        lambda: gi.Rattle(BALL, 0.05), torch.tensor([1, 0, 0, 0, 0.6, 0.2], dtype=DOUBLE), "symplectic",
    ),
    "group": (lambda: gi.RKMK4(BODY.system, 0.02), BODY.start, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CASES))
def test_certificate_of_every_kind_of_method(name: str) -> None:
    make, start, structure = CASES[name]
    flow = make()
    certificate = gi.certify(flow, start.expand(2, -1), steps=32, backend="torch")
    assert certificate.failed == 0
    assert len(str(certificate).splitlines()) >= 6
    if flow.symplectic:
        assert certificate.symplectic_defect is None or certificate.symplectic
    assert (structure == "symplectic") == (certificate.symplectic is True)
    if structure == "energy":
        assert certificate.energy is not None
        assert certificate.energy.largest < 1e-13
    if certificate.reversibility is not None and flow.reversible:
        assert certificate.reversible
    if certificate.inverse is not None:
        assert certificate.inverse < 1e-11
    if certificate.order is not None and name not in ("Tao", "adaptive"):
        assert certificate.order == pytest.approx(certificate.stated_order, abs=0.15)
    for invariant in certificate.invariants:
        if structure == "symplectic":
            assert certificate.keeps(invariant.name), invariant


def test_a_system_with_inputs_is_held_at_one() -> None:
    flow = gi.RungeKutta4(PUSHED, 0.1)
    control = torch.tensor([0.5], dtype=DOUBLE)
    certificate = gi.certify(flow, torch.tensor([1.0, 0.0], dtype=DOUBLE), 32, control, "torch")
    assert certificate.order == pytest.approx(4, abs=0.1)
    assert certificate.energy is None
