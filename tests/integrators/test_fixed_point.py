"""Iterations to stagnation: solutions, derivatives through every transform, failures."""

from __future__ import annotations

import math

import pytest
import torch

from integrators import Status
from integrators._fixed_point import iterate, jacobian, solve_fixed_point

POINTS = torch.tensor([[0.5, 0.3], [0.2, 0.1]], dtype=torch.float64)


def coupled(a: torch.Tensor) -> torch.Tensor:
    solution, status = solve_fixed_point(
        lambda x: a * torch.cos(x) + 0.1 * x.flip(-1) ** 2, torch.zeros_like(a), torch.ones_like(a[..., 0])
    )
    assert status.shape == a.shape[:-1]
    return solution


def test_solution_of_keplers_equation() -> None:
    anomaly = torch.linspace(-3, 3, 13, dtype=torch.float64).unsqueeze(-1)
    x, status = iterate(lambda e: anomaly + 0.4 * torch.sin(e), anomaly, torch.ones(13, dtype=torch.float64))
    assert not status.any()
    torch.testing.assert_close(x - 0.4 * torch.sin(x), anomaly, rtol=0, atol=1e-15)


def test_derivatives_are_those_of_the_implicit_function() -> None:
    a = POINTS.clone().requires_grad_()
    assert torch.autograd.gradcheck(coupled, (a,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(coupled, (a,))
    slopes = torch.vmap(torch.func.jacrev(coupled))(POINTS)
    torch.testing.assert_close(torch.vmap(torch.func.jacfwd(coupled))(POINTS), slopes, rtol=0, atol=1e-15)
    torch.testing.assert_close(jacobian(coupled, POINTS), slopes, rtol=0, atol=1e-15)
    assert torch.equal(torch.vmap(coupled)(POINTS), coupled(POINTS))
    assert torch.equal(coupled(a), coupled(POINTS))


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 0, 2)])
def test_any_batch_shape(shape: tuple[int, ...]) -> None:
    a = torch.full(shape, 0.3, requires_grad=True)
    assert coupled(a).shape == shape
    assert coupled(a).dtype == torch.float32


def test_each_trajectory_has_its_own_verdict() -> None:
    slopes = torch.tensor([[-1.0], [-0.3], [1e200]], dtype=torch.float64)
    x, status = iterate(lambda x: 1 + slopes * x * x.abs(), torch.zeros_like(slopes), torch.ones(3).double())
    assert status.tolist() == [Status.NOT_CONVERGED, Status.OK, Status.NON_FINITE]
    assert float(x[1]) == pytest.approx((math.sqrt(2.2) - 1) / 0.6, abs=1e-15)
