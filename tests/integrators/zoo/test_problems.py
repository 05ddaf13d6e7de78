"""Ready problems: closed forms, invariants, periods, published states, against independent integrations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from integrators import SofroniouSpaletta10, zoo

outer_solar_system = cache(zoo.outer_solar_system)
CLOSED: dict[str, Callable[[], zoo.Problem[Any]]] = {
    "harmonic": lambda: zoo.harmonic(mass=2.0, stiffness=3.0),
    "pendulum": lambda: zoo.pendulum(angle=2.5, mass=1.3, length=0.7),
    "spring_chain": lambda: zoo.spring_chain(4, mass=0.5, stiffness=2.0),
    "kepler": lambda: zoo.kepler(0.6),
    "circle": lambda: zoo.kepler(0.0),
    "charged_particle": lambda: zoo.charged_particle(field=-1.5, charge=2.0, mass=1.3),
}
OPEN: dict[str, Callable[[], zoo.Problem[Any]]] = {
    "henon_heiles": zoo.henon_heiles,
    "fput": lambda: zoo.fput(4),
    "alpha_fput": lambda: zoo.fput(3, beta=0.5, alpha=0.4),
    "quartic": zoo.quartic,
    "toda": lambda: zoo.toda(4),
    "double_pendulum": lambda: zoo.double_pendulum(gravity=1.0),
    "n_pendulum": zoo.n_pendulum,
    "lotka_volterra": zoo.lotka_volterra,
    "coupled_oscillators": zoo.coupled_oscillators,
    "gyrating_particle": zoo.gyrating_particle,
    "figure_eight": zoo.figure_eight,
    "outer_solar_system": outer_solar_system,
}


@pytest.fixture(scope="module", params=[*CLOSED, *OPEN])
def problem(request: pytest.FixtureRequest) -> zoo.Problem[Any]:
    made: zoo.Problem[Any] = {**CLOSED, **OPEN}[request.param]()
    return made


def observed(problem: zoo.Problem[Any], name: str, x: torch.Tensor) -> torch.Tensor:
    return problem.system.energy(x) if name == "energy" else problem.system.invariant(name, x)


def test_the_reference_starts_at_the_start_and_keeps_the_invariants(
    problem: zoo.Problem[Any],
) -> None:
    span = min(problem.duration / 23, 6.0)
    times = torch.tensor([[0.0, span], [2.0 * span, 0.37 * span]], dtype=torch.float64)
    x = problem.reference(times)
    assert x.shape == (2, 2, problem.start.shape[-1])
    torch.testing.assert_close(x[0, 0], problem.start, rtol=0, atol=1e-15)
    assert problem.invariants[0] == "energy"
    for name in problem.invariants:
        value = observed(problem, name, x)
        assert float((value - value[0, 0]).abs().max()) < 1e-12 * max(1.0, float(value.abs().max())), name
    assert bool((x[1, 0] != x[0, 0]).any())


@pytest.mark.parametrize("name", list(CLOSED))
def test_closed_forms_agree_with_dop853_forwards_and_backwards(name: str) -> None:
    problem = CLOSED[name]()
    times = [0.3, 4.0, -2.5]
    unsolved = replace(problem, solution=None)
    x = unsolved.reference(torch.tensor(times, dtype=torch.float64))
    for t, state in zip(times, x, strict=True):
        torch.testing.assert_close(problem.reference(t), state, rtol=0, atol=3e-12)
    assert problem.exact
    if problem.period is not None:
        torch.testing.assert_close(problem.reference(7 * problem.period), problem.start, rtol=0, atol=5e-14)


@pytest.mark.parametrize("name", ["henon_heiles", "fput", "alpha_fput", "quartic", "toda", "figure_eight"])
def test_integrated_references_agree_with_an_independent_method(name: str) -> None:
    problem = OPEN[name]()
    flow, x = SofroniouSpaletta10(problem.system, 0.05, compensated=True), problem.start
    for _ in range(40):
        x = flow(x)
    torch.testing.assert_close(problem.reference(2.0), x, rtol=0, atol=1e-11)


def test_published_energies() -> None:
    henon = zoo.henon_heiles()
    assert float(henon.system.energy(henon.start)) == pytest.approx(0.08196666666666667, rel=1e-15)
    chain = zoo.fput()
    assert float(chain.system.energy(chain.start)) == pytest.approx(0.07252081463347096, rel=1e-14)


def test_quadratic_forces_of_a_chain_are_those_of_the_lattice() -> None:
    problem = zoo.fput(3, beta=0.5, alpha=0.4)
    q = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
    gaps = torch.diff(torch.nn.functional.pad(q, (1, 1)))
    tension = gaps + 0.4 * gaps**2 + 0.5 * gaps**3
    torch.testing.assert_close(problem.system.force(q), tension.diff(), rtol=0, atol=1e-15)


def test_the_figure_eight_closes() -> None:
    eight = zoo.figure_eight()
    assert eight.period is not None
    torch.testing.assert_close(eight.reference(eight.period), eight.start, rtol=0, atol=1e-11)
    third = eight.reference(eight.period / 3)  # the bodies have changed places
    q, later = eight.start[:6].reshape(3, 2), third[:6].reshape(3, 2)
    assert min(float((later - q[list(order)]).abs().max()) for order in ((1, 2, 0), (2, 0, 1))) < 1e-11
    assert abs(float(eight.system.invariant("angular_momentum", eight.start))) < 1e-15


def test_planets_return_after_their_years() -> None:
    """Jupiter's year is 4332.6 days, and the sun's pull on it gives that by Kepler's third law."""
    x = outer_solar_system().reference(torch.tensor([0.0, 4332.6], dtype=torch.float64))
    relative = x[:, 3:6] - x[:, :3]
    angle = torch.acos((relative[0] @ relative[1]) / (relative[0].norm() * relative[1].norm()))
    assert float(angle) < 0.02
    rate = math.sqrt(1.3)
    pair = zoo.n_body((1.0, 0.3), ((0, 0), (1, 0)), ((0, 0), (0, rate)))
    torch.testing.assert_close(pair.reference(2 * math.pi / rate), pair.start, rtol=0, atol=1e-11)


def test_equal_bodies_on_a_polygon_turn_as_a_whole() -> None:
    ring = zoo.n_body((2.0, 2.0, 2.0, 2.0), gravity=0.5)
    q = ring.reference(1.3)[:8].reshape(4, 2)
    torch.testing.assert_close(q.norm(dim=-1), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(q.sum(0), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-14)


def test_traces_of_todas_matrix_are_sums_of_powers_of_its_eigenvalues() -> None:
    toda = zoo.toda(4)
    for x in (toda.start, toda.reference(3.0)):
        q, p = x.split(4)
        off = torch.exp((q - q.roll(-1)) / 2)
        matrix = torch.diag(p) + torch.zeros(4, 4, dtype=torch.float64)
        for j in range(4):
            matrix[j, (j + 1) % 4] = matrix[(j + 1) % 4, j] = off[j]
        values = torch.linalg.eigvalsh(matrix)
        for k, name in enumerate(("momentum", "second", "third", "fourth"), 1):
            expected = (values**k).sum() / k - (2.0 if k == 4 else 0.0)  # once around the ring, either way
            torch.testing.assert_close(toda.system.invariant(name, x), expected, rtol=0, atol=1e-12)


def test_every_problem_states_its_units_parameters_and_source(problem: zoo.Problem[Any]) -> None:
    assert {"time", "energy", *problem.system.space.names} <= set(problem.units)
    assert problem.source
    assert problem.duration > 0
    assert set(problem.parameters) - {"eccentricity"} == set(problem.system._names)
    assert problem.name in repr(problem)


def test_chains_of_pendulums_are_one_another() -> None:
    """From Lagrangians with one and two masses, and from Hamiltonians written down."""
    for chain, known in (
        (zoo.n_pendulum(2, 1.3, 0.7), zoo.double_pendulum((1.3, 1.3), (0.7, 0.7))),
        (zoo.n_pendulum(1, 1.3, 0.7), zoo.pendulum(1.0, 1.3, 0.7)),
    ):
        torch.testing.assert_close(chain.start, known.start, rtol=0, atol=0)
        torch.testing.assert_close(chain.reference(1.5), known.reference(1.5), rtol=0, atol=1e-10)
    hanging = zoo.double_pendulum((1.0, 2.0), (0.5, 1.5), angles=(0.0, 0.0))
    assert float(hanging.system.energy(hanging.start)) == pytest.approx(-9.81 * (0.5 + 2 * 2.0))
    assert float(hanging.system.field(hanging.start).abs().max()) == 0


def test_lotka_volterra_has_the_equations_of_the_book_and_a_fixed_point() -> None:
    eaten = zoo.lotka_volterra(growth=0.7, predation=0.5, death=0.3, gain=0.2)
    x, y = eaten.start.tolist()
    slope = torch.tensor([x * (0.7 - 0.5 * y), y * (0.2 * x - 0.3)], dtype=torch.float64)
    torch.testing.assert_close(eaten.system.field(eaten.start), slope, rtol=0, atol=1e-15)
    still = eaten.system.field(torch.tensor([1.5, 1.4], dtype=torch.float64))
    assert float(still.abs().max()) < 1e-15


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: zoo.kepler(1.0), "eccentricity: expected at least 0"),
        (lambda: zoo.harmonic(mass=-1.0), "mass: expected a positive"),
        (lambda: zoo.pendulum(angle=math.pi), "angle: expected"),
        (lambda: zoo.spring_chain(0), "n: expected"),
        (lambda: zoo.fput(0), "at least 1 particle"),
        (lambda: zoo.toda(2), "at least 3 particles"),
        (lambda: zoo.charged_particle(field=0.0), "field: expected"),
        (lambda: zoo.n_body((1.0,)), "masses: expected"),
        (lambda: zoo.n_body((1.0, 1.0), ((0, 0), (1, 0))), "velocities: expected"),
        (lambda: zoo.n_body((1.0, 1.0), ((0,), (1,)), ((0,), (1,))), "positions: expected"),
        (
            lambda: zoo.Problem("x", zoo.harmonic().system, torch.zeros(2, dtype=torch.float64), 1.0, {}, ""),
            "units: expected",
        ),
    ],
)
def test_impossible_problems_are_refused(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_collision_ends_the_reference() -> None:
    with pytest.raises(ArithmeticError, match="gave up"):
        zoo.n_body((1.0, 1.0), ((-1, 0), (1, 0)), ((0, 0), (0, 0))).reference(5.0)
