"""Work-precision tables: errors and counts against what is known of the methods."""

from __future__ import annotations

import math

import pytest

from integrators import Verlet, Yoshida4, work_precision, zoo


def test_errors_fall_with_the_order_and_counts_are_those_of_the_methods() -> None:
    result = work_precision(zoo.kepler(0.3), [Verlet, Yoshida4], (200, 400), duration=6.0, backend="torch")
    assert result.methods == ("Verlet", "Yoshida4")
    for name, order, forces in (("Verlet", 2, 1), ("Yoshida4", 4, 3)):
        coarse, fine = result.of(name)
        assert math.log2(coarse.error / fine.error) == pytest.approx(order, abs=0.2)
        assert math.log2(coarse.energy_error / fine.energy_error) == pytest.approx(order, abs=0.3)
        assert (coarse.evaluations, fine.evaluations) == (200 * forces, 400 * forces)
        assert coarse.h == pytest.approx(0.03)
        assert fine.seconds > 0
    assert "Yoshida4" in str(result)
    assert len(str(result).splitlines()) == 5
    with pytest.raises(ValueError, match="method: expected one of"):
        result.of("RK4")


def test_a_run_that_fails_has_no_error_and_names_are_free() -> None:
    fall = zoo.n_body((1.0, 1.0), ((-1e-200, 0), (1e-200, 0)), ((0, 0), (0, 0)))
    made = {"first": lambda system, h: Verlet(system, h)}
    kepler = zoo.kepler(0.3)
    problem = zoo.Problem("fall", fall.system, fall.start, 1.0, fall.units, "", solution=lambda t: fall.start)
    (point,) = work_precision(problem, made, [3], backend="torch").points
    assert point.method == "first"
    assert math.isnan(point.error)
    assert math.isnan(point.energy_error)
    for methods, steps in (([], [3]), ([Verlet], []), ([Verlet], [0])):
        with pytest.raises(ValueError, match="steps: expected"):
            work_precision(kepler, methods, steps)
