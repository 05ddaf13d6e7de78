from __future__ import annotations

import pytest
import torch
from torch import Tensor

from integrators import StepError, project_point

X = torch.tensor([[1.0, 2.0, 3.0], [0.3, -0.2, 0.5]], dtype=torch.float64)
SPHERE = ["x1**2 + x2**2 + x3**2"]


def sphere(x: Tensor) -> Tensor:
    return (x * x).sum(-1, keepdim=True)


@pytest.mark.parametrize("constraint", [SPHERE, sphere], ids=["text", "function"])
def test_points_on_a_sphere_move_along_their_rays(constraint: object) -> None:
    y = project_point(X, constraint, level=4.0)  # type: ignore[arg-type]
    assert (y - 2 * X / X.norm(dim=-1, keepdim=True)).abs().max() <= 1e-15


def test_each_point_has_its_own_level() -> None:
    level = torch.tensor([[1.0], [9.0]], dtype=torch.float64)
    y = project_point(X, SPHERE, level)
    assert (y.square().sum(-1, keepdim=True) - level).abs().max() <= 1e-14


def test_weights_say_what_moves() -> None:
    y = project_point(X, ["x1 + x2 + x3"], 0.0, mass=[1.0, 1.0, 1e12])
    assert (y[:, 2] - X[:, 2]).abs().max() <= 1e-11
    assert y.sum(-1).abs().max() <= 1e-15


def test_parameters_of_expressions() -> None:
    y = project_point(X, ["x1**2 + x2**2 + x3**2 - r**2"], parameters={"r": 3.0})
    assert (y.norm(dim=-1) - 3).abs().max() <= 1e-15


def test_redundant_constraints_where_they_are_allowed() -> None:
    twice = [*SPHERE, "2*x1**2 + 2*x2**2 + 2*x3**2"]
    level = torch.tensor([1.0, 2.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="linearly dependent"):
        project_point(X, twice, level)
    y = project_point(X, twice, level, rank_deficient=True)
    assert (y.norm(dim=-1) - 1).abs().max() <= 1e-14


def test_derivatives_are_those_of_the_result() -> None:
    got = torch.func.jacrev(lambda x: project_point(x, sphere, level=1.0))(X[0])
    unit = X[0] / X[0].norm()
    expected = (torch.eye(3, dtype=torch.float64) - torch.outer(unit, unit)) / X[0].norm()
    assert (got - expected).abs().max() <= 1e-14


def test_what_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(StepError, match="do not reach"):
        project_point(X, ["x1**2 + x2**2 + x3**2 + 1"])
    with pytest.raises(ValueError, match="got t"):
        project_point(X, ["x1 - t"])


def test_single_precision() -> None:
    y = project_point(X.float(), SPHERE, level=1.0)
    assert y.dtype == torch.float32
    assert (y.norm(dim=-1) - 1).abs().max() <= 2e-7
