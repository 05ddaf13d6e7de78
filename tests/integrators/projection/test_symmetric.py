from __future__ import annotations

import pytest
import torch

from integrators import (
    ImplicitMidpoint,
    ProjectedField,
    ProjectedStep,
    RungeKutta4,
    SymmetricProjectedStep,
    VectorField,
    rollout,
)

from ._pendulum import ROD, raw

BODY = VectorField({"a": "(1/3 - 1/2)*b*c*(1 + c/5)", "b": "(1 - 1/3)*a*c", "c": "(1/2 - 1)*a*b"})
X = torch.tensor([[0.8, 0.1, 0.6], [0.2, 0.9, 0.4]], dtype=torch.float64)


def flow(h: float = 0.1) -> SymmetricProjectedStep:
    return SymmetricProjectedStep(ImplicitMidpoint(ProjectedField(BODY, ["a**4 + b**2 + c**2"]), h))


def test_step_is_its_own_adjoint_and_stays() -> None:
    method = flow()
    assert method.symmetric
    assert method.order == 2
    y = method(X)
    assert (method.with_step(-0.1)(y) - X).abs().max() <= 1e-14
    plain = ProjectedStep(method.inner)
    assert not plain.symmetric
    assert (plain.with_step(-0.1)(plain(X)) - X).abs().max() > 1e-11
    path = method.unroll(X, steps=20)
    assert (method.constraint(path) - method.constraint(X)).abs().max() <= 1e-14


def test_order() -> None:
    end = ProjectedStep(RungeKutta4(flow().field, 1 / 100)).unroll(X, steps=100)[-1]
    coarse, fine = ((flow(1 / n).unroll(X, steps=n)[-1] - end).abs().max() for n in (8, 16))
    assert 3.6 < coarse / fine < 4.4


def test_derivatives_are_those_of_the_implicit_function() -> None:
    method = flow(0.3)

    x = X[0].clone().requires_grad_()
    weights = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    (method(x) @ weights).backward()
    shifts = 1e-5 * torch.eye(3, dtype=torch.float64)
    central = (method(X[0] + shifts) - method(X[0] - shifts)) @ weights / 2e-5
    assert x.grad is not None
    assert (x.grad - central).abs().max() <= 1e-8


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="Rattle"):
        SymmetricProjectedStep(ImplicitMidpoint(ProjectedField(raw(), ROD), 0.1))
    moving = ProjectedField(VectorField({"a": "1", "b": "a"}), ["a - t"])
    with pytest.raises(ValueError, match="without t"):
        SymmetricProjectedStep(RungeKutta4(moving, 0.1))
    assert not SymmetricProjectedStep(RungeKutta4(flow().field, 0.1)).symmetric
    with pytest.raises(TypeError, match="symmetric projection"):
        rollout(flow(), X, 3, backend="numba")
    assert rollout(flow(), X, 3).backend == "torch"
