"""Learned gains and damping matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geomlearn.nn import LearnedDamping, LearnedMatrix, NeuralDamping, NeuralGain

from ._models import GROUPS, configurations, generator, randn, shaken

CASES = pytest.mark.parametrize(("name", "rows"), [("SO3", 3), ("SE3", 6)])


def test_learned_matrix_starts_where_it_is_told() -> None:
    start = randn(3, 2)
    matrix = LearnedMatrix(start)
    assert torch.equal(matrix(), start)
    with torch.no_grad():
        matrix.matrix.zero_()
    assert start.abs().sum() > 0
    assert LearnedMatrix([[1, 2], [3, 4]])().dtype == torch.float64
    assert LearnedMatrix(start.float())().dtype == torch.float32


@pytest.mark.parametrize(
    "value", [[1.0, 2.0], [[float("nan")]], torch.zeros(3, 0)], ids=["1-D", "NaN", "empty"]
)
def test_no_matrix_is_refused(value: list[float] | Tensor) -> None:
    with pytest.raises(ValueError, match="initial: expected a finite matrix"):
        LearnedMatrix(value)


def test_learned_damping_is_positive_semidefinite() -> None:
    start = randn(3, 3)
    assert torch.allclose(LearnedDamping(start)(), start @ start.mT)
    for seed in range(20):
        damping = shaken(LearnedDamping(start), scale=1.0, seed=seed)()
        assert torch.equal(damping, damping.mT)
        assert torch.linalg.eigvalsh(damping)[0] >= -1e-14 * damping.abs().max()
    with pytest.raises(ValueError, match="initial: expected a square matrix"):
        LearnedDamping(torch.zeros(3, 2))


@CASES
def test_neural_gain_is_the_network_row_by_row(name: str, rows: int) -> None:
    gain = NeuralGain(GROUPS[name], 2, generator=generator())
    q = configurations(GROUPS[name], 4)
    features = torch.cat((*q[:-1], q[-1].flatten(-2)), dim=-1)
    assert torch.equal(gain(*q), gain.net(features).view(4, rows, 2))
    batch = gain(*configurations(GROUPS[name], 2, 3))
    assert batch.shape == (2, 3, rows, 2)
    assert gain(*configurations(GROUPS[name])).shape == (rows, 2)


@CASES
def test_neural_damping_is_positive_semidefinite_everywhere(name: str, rows: int) -> None:
    q = configurations(GROUPS[name], 30)
    for seed in range(5):
        damping = shaken(NeuralDamping(GROUPS[name], generator=generator()), scale=1.0, seed=seed)(*q)
        assert damping.shape == (30, rows, rows)
        assert torch.equal(damping, damping.mT)
        assert (torch.linalg.eigvalsh(damping)[..., 0] >= -1e-13 * damping.abs().amax((-2, -1))).all()


@CASES
def test_rescaling_multiplies_the_matrix(name: str, rows: int) -> None:
    group = GROUPS[name]
    q = configurations(group, 3)
    for part in (
        NeuralGain(group, 2, generator=generator()),
        NeuralDamping(group, generator=generator()),
    ):
        before = part(*q).detach()
        part.rescale_(7.0)
        assert torch.allclose(part(*q), 7 * before, rtol=1e-13, atol=1e-15)
    for constant in (LearnedMatrix(randn(rows, 2)), LearnedDamping(randn(rows, rows))):
        before = constant().detach().clone()
        constant.rescale_(7.0)
        assert torch.allclose(constant(), 7 * before, rtol=1e-13, atol=1e-15)


def test_fields_differentiate_in_configuration_and_weights() -> None:
    damping = NeuralDamping(GROUPS["SE3"], (2,), generator=generator())
    names, weights = zip(*damping.named_parameters())
    q = configurations(GROUPS["SE3"])

    def value(x: Tensor, rotation: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(damping, dict(zip(names, values)), (x, rotation))

    inputs = [t.detach().clone().requires_grad_() for t in (*q, *weights)]
    assert torch.autograd.gradcheck(value, inputs)
