"""Learned inertias and mass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.nn import LearnedMass, LogCholeskyInertia, RealisableInertia

from ._models import randn, shaken

Kind = type[LogCholeskyInertia] | type[RealisableInertia]
KINDS = pytest.mark.parametrize("kind", [LogCholeskyInertia, RealisableInertia])
BODY = torch.tensor([[1.0, 0.1, -0.05], [0.1, 2.0, 0.2], [-0.05, 0.2, 2.8]], dtype=torch.float64)


@KINDS
@pytest.mark.parametrize("trace", [None, 0.37])
def test_inertia_is_positive_for_all_weights(kind: Kind, trace: float | None) -> None:
    for seed in range(50):
        inertia = shaken(kind(BODY, trace), scale=2.0, seed=seed)()
        assert torch.equal(inertia, inertia.mT)
        moments = torch.linalg.eigvalsh(inertia)
        assert moments[0] > 0
        if kind is RealisableInertia:
            assert moments[0] + moments[1] > moments[2] * (1 - 1e-14)
        if trace is not None:
            assert inertia.diagonal().sum().item() == pytest.approx(trace, rel=1e-14)


@KINDS
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e4])
def test_initial_inertia_is_reproduced(kind: Kind, scale: float) -> None:
    assert torch.allclose(kind(scale * BODY)(), scale * BODY, rtol=1e-14, atol=1e-15 * scale)
    assert torch.allclose(kind()(), torch.eye(3, dtype=torch.float64), rtol=1e-15, atol=1e-15)
    assert torch.allclose(kind(BODY.tolist())(), BODY, rtol=1e-14, atol=1e-15)
    assert kind(BODY, dtype=torch.float32)().dtype == torch.float32


@KINDS
def test_inertia_differentiates_twice(kind: Kind) -> None:
    for trace in (None, 2.0):
        model = kind(BODY, trace)

        def value(entries: Tensor, model: torch.nn.Module = model) -> Tensor:
            return torch.func.functional_call(model, {"entries": entries}, ())

        entries = (model.entries + 0.1 * randn(6)).detach().requires_grad_()
        assert torch.autograd.gradcheck(value, entries)
        assert torch.autograd.gradgradcheck(value, entries)


@KINDS
def test_rescaling_multiplies_the_inertia(kind: Kind) -> None:
    for trace in (None, 2.0):
        model = kind(BODY, trace)
        before = model().detach()
        model.rescale_(0.01)
        assert torch.allclose(model(), 0.01 * before, rtol=1e-13, atol=0)


@KINDS
@pytest.mark.parametrize(
    "matrix",
    [
        torch.diag(torch.tensor([1.0, 2.0, -1.0])),
        torch.diag(torch.tensor([1.0, 2.0, 0.0])),
        torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        torch.eye(2),
        torch.full((3, 3), torch.nan),
    ],
    ids=["negative", "singular", "not symmetric", "2 x 2", "NaN"],
)
def test_no_inertia_is_refused(kind: Kind, matrix: Tensor) -> None:
    with pytest.raises(ValueError, match="initial: expected a symmetric positive definite"):
        kind(matrix)


@KINDS
@pytest.mark.parametrize("trace", [0.0, -1.0, float("nan"), float("inf")])
def test_no_trace_is_refused(kind: Kind, trace: float) -> None:
    with pytest.raises(ValueError, match="trace: expected a positive number"):
        kind(trace=trace)


def test_moments_of_no_body_are_refused_where_they_must_be_realisable() -> None:
    moments = torch.diag(torch.tensor([1.0, 1.0, 3.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="use LogCholeskyInertia"):
        RealisableInertia(moments)
    assert torch.allclose(LogCholeskyInertia(moments)(), moments, rtol=1e-15, atol=1e-15)


def test_mass_is_positive_reproduced_and_rescaled() -> None:
    mass = LearnedMass(0.027)
    assert mass().item() == pytest.approx(0.027, rel=1e-15)
    mass.rescale_(10.0)
    assert mass().item() == pytest.approx(0.27, rel=1e-14)
    assert shaken(mass, scale=30.0)() > 0
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="initial: expected a positive mass"):
            LearnedMass(wrong)
