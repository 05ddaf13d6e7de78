"""Transformed time: orbits on eccentric ellipses against Kepler's equation, energies, names, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from integrators import GaussLegendre, Hamiltonian, poincare_transformed, rollout

KEPLER = Hamiltonian(
    "(p1**2 + p2**2)/2 - mu/sqrt(q1**2 + q2**2)", {"mu": 1.0},
    invariants={"angular_momentum": "q1*p2 - q2*p1"}, units=("m", "m/s"),
)  # fmt: skip
ECCENTRICITY = 0.9
START = torch.tensor(
    [1 - ECCENTRICITY, 0.0, 0.0, math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY))], dtype=torch.float64
)


def exact_position(t: float) -> tuple[float, float]:
    """Kepler's equation M = E - e sin E, with a = mu = 1, by Newton's method."""
    mean = math.remainder(t, 2 * math.pi)
    anomaly = math.pi * (1 if mean > 0 else -1) if abs(mean) > 0.1 else mean / (1 - ECCENTRICITY)
    for _ in range(60):
        slope = 1 - ECCENTRICITY * math.cos(anomaly)
        anomaly -= (anomaly - ECCENTRICITY * math.sin(anomaly) - mean) / slope
    return math.cos(anomaly) - ECCENTRICITY, math.sqrt(1 - ECCENTRICITY**2) * math.sin(anomaly)


def test_eccentric_orbits_with_equal_steps_in_fictive_time() -> None:
    """Order 4 in position at the time reached; the energy does not drift."""
    fictive = poincare_transformed(KEPLER, "(q1**2 + q2**2)**(3/4)")
    z = fictive.start(START)
    errors, energies = [], []
    for steps in (2000, 4000):
        run = rollout(
            GaussLegendre(fictive, 200 / steps), z, steps=steps,
            observe=["energy", "original_energy", "angular_momentum"], observe_every=1, backend="numba",
        )  # fmt: skip
        time = float(fictive.physical_time(run.final))
        exact = torch.tensor(exact_position(time), dtype=torch.float64)
        errors.append(float((fictive.original(run.final)[:2] - exact).abs().max()))
        energy = run.observations["original_energy"]
        energies.append(float((energy + 0.5).abs().max()))
        assert float((energy[-200:] + 0.5).abs().max()) < 2 * float((energy[:400] + 0.5).abs().max())
        momentum = run.observations["angular_momentum"]
        assert float((momentum - momentum[0]).abs().max()) < 1e-11
    assert time > 6 * 2 * math.pi
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3), errors
    assert energies[1] < 1e-4


def test_the_field_is_the_slowed_one_on_the_level_of_zero() -> None:
    timed = Hamiltonian("p**2/2 - cos(q) - a*q*cos(t)", {"a": 0.3}, invariants={"clock": "q*t"})
    fictive = poincare_transformed(timed, "1/(2 + q**2 + p**2) + sin(t)**2")
    x = torch.tensor([[0.4, -0.2, 1.3], [1.1, 0.6, -2.0]], dtype=torch.float64)
    z = fictive.start(x)
    assert fictive.space.labels() == ["q[0]", "q[1]", "p[0]", "p[1]"]
    torch.testing.assert_close(fictive.original(z), x)
    torch.testing.assert_close(fictive.physical_time(z), x[:, 2])
    torch.testing.assert_close(fictive.energy(z), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-15)
    pace = 1 / (2 + x[:, 0] ** 2 + x[:, 1] ** 2) + x[:, 2].sin() ** 2
    slow = fictive.field(z)
    torch.testing.assert_close(slow[:, [0, 2, 1]], pace[:, None] * timed.field(x), rtol=1e-13, atol=1e-14)
    assert fictive.invariants == {"clock": 1}
    torch.testing.assert_close(fictive.invariant("clock", z), x[:, 0] * x[:, 2])


def test_names_units_and_parameters_are_kept() -> None:
    mass = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    system = Hamiltonian("p**2/(2*time) + q**2", {"time": mass})
    fictive = poincare_transformed(system, "1 + q**2*time")
    assert fictive.value_time is mass
    assert [s.name for s in fictive.positions] == ["q", "time_"]
    assert [part.unit for part in poincare_transformed(KEPLER, "q1**2").space.parts] == ["m", "m/s"]
    z = fictive.start(torch.zeros(3, 2, dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0]))
    assert fictive.physical_time(z).tolist() == [0.0, 1.0, 2.0]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="monitor: unknown symbol w"):
        poincare_transformed(KEPLER, "w*q1")
    with pytest.raises(ValueError, match="monitor: cannot read"):
        poincare_transformed(KEPLER, "q1 +* q2")
    with pytest.raises(ValueError, match="other forces act on"):
        poincare_transformed(Hamiltonian("p**2/2", forces={"p": "-p"}), "1")
    with pytest.raises(TypeError, match="Hamiltonian from an expression, got str"):
        poincare_transformed("p**2/2", "1")  # type: ignore[arg-type]
