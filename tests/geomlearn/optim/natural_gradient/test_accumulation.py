"""Micro-batches, repeated calls and sums of losses give the curvature of the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._networks import batch, factors, off, optimizer_of, perceptron, train, weights


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize("parts", [[8, 8, 8, 8], [3, 20, 9]], ids=["equal", "unequal"])
@pytest.mark.parametrize("options", [{}, {"start": "scaled", "trust": 1e-3}], ids=["published", "default"])
def test_micro_batches_are_one_batch(variant: str, parts: list[int], options: dict[str, Any]) -> None:
    """Ten steps of 32 samples, whole or in micro-batches whose losses have their share."""
    whole = perceptron()
    optimizer = optimizer_of(whole, variant=variant, **options)
    train(whole, optimizer, range(10))
    model = perceptron()
    other = optimizer_of(model, variant=variant, **options)
    for number in range(10):
        x, labels = batch(number)
        other.zero_grad()
        for inputs, some in zip(x.split(parts), labels.split(parts)):
            with other.curvature():
                (F.cross_entropy(model(inputs), some) * len(some) / 32).backward()
        other.step()
    assert off(weights(model), weights(whole)) < 1e-12
    assert off(factors(other), factors(optimizer)) < 1e-12


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
def test_a_sum_of_losses_accumulates(variant: str) -> None:
    """Of a summed loss too: its gradients by outputs are those of the samples."""
    models = [perceptron(), perceptron()]
    optimizers = [optimizer_of(m, variant=variant, loss_reduction="sum", lr=1e-3) for m in models]
    for number in range(6):
        x, labels = batch(number)
        for model, optimizer, parts in zip(models, optimizers, (32, 8)):
            optimizer.zero_grad()
            with optimizer.curvature():
                for inputs, some in zip(x.split(parts), labels.split(parts)):
                    F.cross_entropy(model(inputs), some, reduction="sum").backward()
            optimizer.step()
    assert off(weights(models[1]), weights(models[0])) < 1e-12
    assert off(factors(optimizers[1]), factors(optimizers[0])) < 1e-12


def test_the_moments_are_those_of_the_definition() -> None:
    """U = mean of a a^T; G = n sum of g g^T for a mean loss, sum of g g^T for a sum."""
    x, labels = batch(0)
    for reduction, scale in (("mean", 32), ("sum", 1)):
        layer = nn.Linear(5, 3).double()
        optimizer = optimizer_of(layer, loss_reduction=reduction, factor_rate=1e-3, damping=0.0)
        logits = layer(x)
        (g,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction=reduction), logits)
        with optimizer.curvature():
            F.cross_entropy(layer(x), labels, reduction=reduction).backward()
        optimizer.step()
        a = torch.cat((x, torch.ones(32, 1).double()), 1)
        state = optimizer.state[layer.weight]
        for key, moment in (("K", a.T @ a / 32), ("C", scale * g.T @ g)):
            n = torch.eye(len(moment)) - moment
            expected = torch.eye(len(moment)) + 0.5e-3 * n + 0.5 * (0.5e-3 * n) @ (0.5e-3 * n)
            assert off(state[key].view_as(moment), expected) < 1e-14


class Siamese(nn.Module):
    """One network called on two halves of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return self.inner(x).sum(1)
        return self.inner(x[:, :4]) + self.inner(x[:, 4:])


def test_calls_in_one_pass_share_the_samples() -> None:
    """Two calls on the halves of 32 samples are 64 rows of 32 samples, as one call on (32, 2, 4) is."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 8, generator=generator, dtype=torch.float64)
    found = []
    for inputs in (x, x.view(32, 2, 4)):
        torch.manual_seed(0)
        model = Siamese()
        optimizer = optimizer_of(model)
        for _ in range(4):
            optimizer.zero_grad()
            with optimizer.curvature():
                model(inputs).square().sum(-1).mean().backward()
            optimizer.step()
        found.append((weights(model), factors(optimizer)))
    assert off(found[0][0], found[1][0]) < 1e-13
    assert off(found[0][1], found[1][1]) < 1e-13


def test_two_forward_passes_before_two_backward_passes_are_two_micro_batches() -> None:
    whole, model = perceptron(), perceptron()
    optimizer, other = optimizer_of(whole), optimizer_of(model)
    train(whole, optimizer, range(1))
    x, labels = batch(0)
    with other.curvature():
        losses = [F.cross_entropy(model(x[i : i + 16]), labels[i : i + 16]) / 2 for i in (0, 16)]
        for loss in losses:
            loss.backward()
    other.step()
    assert off(factors(other), factors(optimizer)) < 1e-13


def test_the_number_of_samples_can_be_said() -> None:
    """A mean over all 6 positions of all 8 samples is one over 48 terms."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 6, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(8, 6, 3, generator=generator, dtype=torch.float64)
    found: list[Any] = []
    for inputs, targets, samples in ((x, y, 48), (x.flatten(0, 1), y.flatten(0, 1), None)):
        torch.manual_seed(0)
        layer = nn.Linear(4, 3).double()
        optimizer = optimizer_of(layer)
        with optimizer.curvature(samples=samples):
            F.mse_loss(layer(inputs), targets).backward()
        optimizer.step()
        found.append(factors(optimizer))
    assert off(*found) < 1e-14


class Words(nn.Module):
    """Words, some of them padding, through attention, norms and a convolution over the positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(7, 4, padding_idx=0)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.convolution = nn.Conv1d(4, 6, 3, padding=1, groups=2)
        self.groups = nn.GroupNorm(3, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words)
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return self.last(torch.tanh(self.groups(self.convolution(x.mT))).mean(-1))


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize("approximation", ["expand", "reduce"])
def test_micro_batches_are_one_batch_for_every_kind_of_layer(variant: str, approximation: str) -> None:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(0, 7, (32, 5), generator=generator)
    labels = torch.randint(0, 3, (32,), generator=generator)
    found = []
    for size in (32, 8):
        model = Words().double()
        optimizer = optimizer_of(model, variant=variant, approximation=approximation, lr=0.02)
        assert len(optimizer.layers) == 9
        for _ in range(6):
            optimizer.zero_grad()
            with optimizer.curvature():
                for some, theirs in zip(words.split(size), labels.split(size)):
                    (F.cross_entropy(model(some), theirs) * size / 32).backward()
            optimizer.step()
        found.append((weights(model), factors(optimizer)))
    assert off(found[1][0], found[0][0]) < 1e-11
    assert off(found[1][1], found[0][1]) < 1e-11
