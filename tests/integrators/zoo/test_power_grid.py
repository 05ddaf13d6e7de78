"""The grid of 14 buses: the published operating point, its constraints, and motion that keeps them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
import torch

from integrators import StepError, VectorField, rollout, zoo
from integrators.runge_kutta import DOP853
from integrators.zoo._power_grid_data import LINES, LOADS, OPERATING_POINT

GRID = zoo.PowerGrid()
POINT = torch.tensor(OPERATING_POINT, dtype=torch.float64).T.flatten()


def drawn(count: int, spread: float = 0.1) -> torch.Tensor:
    return GRID.draw(count, spread, torch.Generator().manual_seed(1))


def complex_powers(x: torch.Tensor) -> np.ndarray:
    """``v conj(Y v)`` in complex numbers, line by line."""
    v = x.numpy()[:14] + 1j * x.numpy()[14:]
    current = np.zeros(14, complex)
    for (i, j), (g, b) in LINES.items():
        flow = (g + 1j * b) * (v[i - 1] - v[j - 1])
        current[i - 1] += flow
        current[j - 1] -= flow
    powers: np.ndarray = v * np.conj(current)
    return powers


def test_the_published_operating_point_keeps_the_constraints_to_its_digits() -> None:
    off = GRID.constraint(POINT).abs()
    assert 1e-8 < float(off.max()) < 1e-7
    powers = complex_powers(POINT)
    assert max(abs(powers[bus - 1] - complex(*load)) for bus, load in LOADS.items()) < 5e-8
    torch.testing.assert_close(GRID.power(POINT), torch.tensor(np.r_[powers.real, powers.imag]))
    torch.testing.assert_close(GRID.operating_point, POINT, rtol=0, atol=1e-7)
    assert float(GRID.constraint(GRID.operating_point).abs().max()) < 1e-14


def test_the_jacobian_is_the_derivative_with_the_published_condition() -> None:
    x = drawn(3)
    slope = torch.func.vmap(torch.func.jacrev(GRID.constraint))(x)
    torch.testing.assert_close(GRID.constraint_jacobian(x), slope, rtol=0, atol=1e-13)
    loads = GRID.constraint_jacobian(POINT)[:18]
    assert float(torch.linalg.cond(loads @ loads.mT)) == pytest.approx(426, abs=1)
    singular = torch.linalg.svdvals(loads)
    assert (float(singular[-1]), float(singular[0])) == pytest.approx((2.69, 55.6), abs=0.05)


def test_slack_rows_hold_the_slack_bus_and_a_mask_before_projecting_does_not() -> None:
    f = torch.randn(28, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    f[[1, 15]] = 0
    whole = GRID.constraint_jacobian(POINT)
    kept, masked = (
        f - slope.mT @ torch.linalg.solve(slope @ slope.mT, slope @ f) for slope in (whole, whole[:18])
    )
    assert float(kept[[1, 15]].abs().max()) < 1e-12
    assert float((whole @ kept).abs().max()) < 1e-12
    assert float(masked[[1, 15]].abs().max()) > 1e-2


def test_bus_8_is_mis_set() -> None:
    size = POINT.reshape(2, 14).norm(dim=0)
    assert float(size[7]) == pytest.approx(0.385, abs=5e-4)
    others = torch.cat((size[:7], size[8:]))
    assert float(others.min()) > 0.66
    assert float(others.max()) < 1.01


def test_the_field_keeps_every_level_and_rests_at_the_operating_point() -> None:
    x = drawn(4)
    off = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    for y in (x, off):
        rate = torch.func.jvp(GRID.constraint, (y,), (GRID.field(y),))[1]
        assert float(rate.abs().max()) < 1e-13
    assert float(GRID.field(x).abs().max()) > 0.1
    assert float(GRID.field(GRID.operating_point).abs().max()) < 1e-13


def test_generators_are_virtual_oscillators() -> None:
    """In complex numbers: ``k (e^(i c) (i0 / v0 v - i) + a (1 - |v|^2 / |v0|^2) v)``."""
    x, places = drawn(1)[0], [0, 2, 5, 7]
    v, rest = ((y[:14] + 1j * y[14:]).numpy()[places] for y in (x, GRID.operating_point))
    powers, at_rest = complex_powers(x)[places], complex_powers(GRID.operating_point)[places]
    drive = at_rest.conj() / abs(rest) ** 2 * v - (powers / v).conj()
    slope = np.exp(0.3j) * drive + 0.5 * (1 - abs(v) ** 2 / abs(rest) ** 2) * v
    slope *= np.array([0.1, 0.12, 0.08, 0.15])
    found = GRID.field(x).numpy()
    np.testing.assert_allclose(found[places] + 1j * found[[p + 14 for p in places]], slope, atol=1e-14)


def test_the_motion_swings_back_to_rest_and_keeps_the_loads() -> None:
    problem = zoo.power_grid()
    assert problem.invariants == ("constraint",)
    x = problem.reference(torch.tensor([0.0, 1.0, 10.0], dtype=torch.float64))
    assert float(GRID.invariant("constraint", x).abs().max()) < 1e-12
    away = (x - GRID.operating_point).norm(dim=-1)
    assert float(away[2]) < 0.3 * float(away[0])
    run = rollout(DOP853(GRID, 0.5), problem.start, 2, observe=["constraint"], backend="torch")
    torch.testing.assert_close(run.final, x[1], rtol=0, atol=1e-10)
    assert float(run.observations["constraint"].abs().max()) < 1e-11


def test_expressions_are_the_constraints() -> None:
    x = drawn(3, 0.05) + 0.01
    names = [f"x{k}" for k in range(1, 29)]
    texts = GRID.expressions
    assert len(texts) == 20
    values = [sympy.lambdify(names, text)(*x.T.numpy()) for text in texts.values()]
    torch.testing.assert_close(torch.tensor(np.array(values)).T, GRID.constraint(x), rtol=0, atol=1e-13)
    fields = dict.fromkeys(names, "0")
    field = VectorField(fields, invariants={"power": list(texts.values())})
    torch.testing.assert_close(field.invariant("power", x), GRID.constraint(x), rtol=0, atol=1e-13)


def test_starts_are_drawn_on_the_constraints() -> None:
    x = drawn(20)
    assert x.shape == (20, 28)
    assert float(GRID.constraint(x).abs().max()) < 1e-13
    assert GRID.draw(0, 0.1).shape == (0, 28)
    places = [0, 2, 5, 7, 14, 16, 19, 21]
    spread = (GRID.draw(400, 0.02) - GRID.operating_point)[:, places]
    size = POINT.reshape(2, 14)[:, places[:4]].norm(dim=0).repeat(2)
    torch.testing.assert_close(spread.std(0) / size, torch.full((8,), 0.02).double(), rtol=0.15, atol=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: zoo.PowerGrid(gains=(1.0, 1.0)), ValueError, "gains: expected 4"),
        (lambda: zoo.PowerGrid(gains=(1.0, 1.0, 1.0, math.inf)), ValueError, r"gains\[3\]"),
        (lambda: GRID.settle(0.1 * POINT), StepError, "settle: no voltages"),
        (lambda: GRID.invariant("energy", POINT), ValueError, "invariant: expected"),
    ],
)
def test_impossible_grids_are_refused(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
