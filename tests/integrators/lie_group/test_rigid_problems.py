"""The rigid bodies among the ready problems, by every kind of method that treats them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from integrators import RKMK4, LinearPotential, RigidBodySplitting, zoo

DOUBLE = torch.float64


@pytest.mark.parametrize("angle", [1.1, 0.3, -2.0])
def test_closed_form_of_the_free_body_against_dop853(angle: float) -> None:
    problem = zoo.free_rigid_body((3.0, 2.0, 0.7), angle, 1.5)
    times = torch.tensor([-5.0, 3.0, 20.0], dtype=DOUBLE)
    solved = replace(problem, solution=None).reference(times)
    torch.testing.assert_close(problem.reference(times), solved, rtol=0, atol=1e-12)
    assert problem.period is not None
    torch.testing.assert_close(problem.reference(problem.period), problem.start, rtol=0, atol=1e-13)
    assert problem.invariants == ("energy", "squared_momentum")


@pytest.mark.parametrize("general", [False, True])
def test_heavy_top_by_group_methods_and_splittings(general: bool) -> None:
    moments, arm = ((1.0, 2.0, 1.5), (0.1, 0.2, 0.3)) if general else ((1.0, 1.0, 0.5), (0.0, 0.0, 0.5))
    problem = zoo.heavy_top(moments, arm, omega=(1.0, 0.5, 6.0))
    assert ("spin" in problem.invariants) is not general
    truth = problem.reference(torch.linspace(0, 1, 5, dtype=DOUBLE))
    for name in problem.invariants:
        value = problem.system.energy(truth) if name == "energy" else problem.system.invariant(name, truth)
        assert float((value - value[0]).abs().max()) <= 1e-11
    weights = torch.tensor([1.0] * 9 + list(moments), dtype=DOUBLE)
    splitting = RigidBodySplitting(moments, 0.01, "KahanLi8", LinearPotential.gravity(1.0, arm))
    ends = [
        RKMK4(problem.system, 1 / 200).unroll(problem.start, steps=200)[-1],
        weights * splitting.unroll(problem.start / weights, steps=100)[-1],
    ]
    for found, bound in zip(ends, (1e-6, 1e-10), strict=True):
        assert float((found - truth[-1]).abs().max()) <= bound


def test_quadrotor_flies_the_same_by_both_of_its_forms() -> None:
    problem = zoo.quadrotor()
    control = torch.tensor([1.1 * 0.027 * 9.81, 2e-5, -1.5e-5, 1e-5], dtype=DOUBLE)
    by_group = RKMK4(problem.system, 0.005).unroll(problem.start, control.expand(20, 4))[-1]
    variational = zoo.quadrotor_integrator(0.001)
    pose, v, omega = problem.start[:16].reshape(4, 4), problem.start[16:19], problem.start[19:]
    x = torch.cat((pose[:3, 3], pose[:3, :3].flatten(), v, omega))
    path = variational.unroll(x, control.expand(100, 4))[-1]
    g = by_group[:16].reshape(4, 4)
    found = torch.cat((g[:3, 3], g[:3, :3].flatten(), by_group[16:]))
    torch.testing.assert_close(path, found, rtol=0, atol=2e-6)
    assert float((found - x).abs().max()) > 0.05
    falling = problem.reference(1.0)
    assert float(falling[11]) == pytest.approx(-0.1 - 9.81 / 2, abs=1e-12)
    assert float(problem.system.energy(falling) - problem.system.energy(problem.start)) == pytest.approx(
        0, abs=1e-13
    )


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="descending order"):
        zoo.free_rigid_body((1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match=r"moments\[1\]: expected a positive"):
        zoo.heavy_top((1.0, -1.0, 0.5))
    with pytest.raises(ValueError, match="mass"):
        zoo.quadrotor(mass=0.0)
