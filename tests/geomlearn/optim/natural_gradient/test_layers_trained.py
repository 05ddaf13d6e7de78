"""Every parameter is trained, once, with the curvature of its layer or by AdamW, and said to be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._networks import batch, generated, iterate, off, optimizer_of, perceptron, train, weights


class Everything(nn.Module):
    """A small model for sequences of words and one for images, with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(11, 8)
        self.places = nn.Parameter(0.1 * torch.randn(6, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.rms = nn.RMSNorm(8)
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.images = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding="same", dilation=2),
            nn.GroupNorm(2, 4),
            nn.Flatten(2),
            nn.Conv1d(4, 3, 2),
            nn.ConvTranspose1d(3, 2, 2),
            nn.Flatten(),
        )
        self.last = nn.LazyLinear(3)

    def forward(self, words: Tensor, images: Tensor) -> Tensor:
        x = self.rms(self.block(self.words(words) + self.places))
        x = self.recurrent(x)[0].mean(1)
        return self.last(torch.cat((x, self.images(images)), -1))


def everything() -> tuple[nn.Module, Any]:
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(0, 11, (12, 6), generator=generator)
    images = generated(12, 2, 8, 8)
    labels = torch.randint(0, 3, (12,), generator=generator)
    model = Everything().double()
    model(words, images)
    return model.double(), lambda m: F.cross_entropy(m(words, images), labels)


@pytest.mark.parametrize("variant", ["ikfac", "ingd"])
@pytest.mark.parametrize("approximation", ["expand", "reduce"])
@pytest.mark.parametrize("structure", ["dense", "hierarchical-2-2"])
def test_every_parameter_is_trained_by_one_optimizer(
    variant: str, approximation: str, structure: str
) -> None:
    model, loss = everything()
    optimizer = optimizer_of(
        model, variant=variant, approximation=approximation, structure=structure, interval=1, lr=0.02
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    values = iterate(model, optimizer, loss, 12)
    assert values[-1] < 0.7 * values[0]
    for name, p in model.named_parameters():
        assert off(p.detach(), before[name]) > 1e-6, name
        assert "momentum_buffer" in optimizer.state[p] or "exp_avg" in optimizer.state[p]
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}
    assert len(held) == len(set(held))


def test_what_adamw_steps_is_listed_with_the_reason() -> None:
    model, _ = everything()
    optimizer = optimizer_of(model, structure={"images.*": "diagonal", "*": ("dense", "triangular")})
    text = repr(optimizer)
    assert "    places: no curvature for this parameter of Everything\n" in text
    assert "    recurrent.weight_ih_l0: no curvature for this parameter of GRU\n" in text
    assert "    images.7.weight: no curvature for this parameter of ConvTranspose1d\n" in text
    assert "    words: embedding, diagonal(11) x lower(8)\n" in text
    assert "    block.self_attn.q: linear, full(9) x lower(8)\n" in text
    assert "    images.3: conv, diagonal(37) x diagonal(4)\n" in text
    assert {other.name for other in optimizer.others} == {
        name for name, _ in model.named_parameters() if name.split(".")[0] in ("places", "recurrent")
    } | {"images.7.weight", "images.7.bias"}
    assert "adamw, 7 parameters, lr=0.001" in text


def test_the_fallback_is_adamw_with_its_own_options() -> None:
    """A parameter beside layers goes as in torch's AdamW."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.scale = nn.Parameter(torch.ones(5))
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.scale * x)

    options: dict[str, Any] = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    model, other = Scaled().double(), Scaled().double()
    optimizer = optimizer_of(model, lr=0.0, fallback=options)
    adamw = torch.optim.AdamW([other.scale], **options)
    train(model, optimizer, range(6))
    for number in range(6):
        x, labels = batch(number)
        other.zero_grad()
        F.cross_entropy(other(x), labels).backward()
        adamw.step()
    assert torch.equal(model.scale, other.scale)


class Tied(nn.Module):
    """An embedding whose weight is that of the last layer, or two linear layers with one weight."""

    def __init__(self, embedding: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Embedding(5, 4) if embedding else nn.Linear(4, 4)
        self.last = nn.Linear(4, 5 if embedding else 4, bias=embedding)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


@pytest.mark.parametrize("embedding", [False, True])
def test_a_tied_weight_is_stepped_once(embedding: bool) -> None:
    """With no curvature but the start, an identity, steps are those of gradient descent."""
    x = torch.arange(5) if embedding else generated(5, 4)
    models = [Tied(embedding).double() for _ in range(2)]
    optimizer = optimizer_of(models[0], factor_rate=1e-12, momentum=0.0, trust=None, fallback={"lr": 0.0})
    assert len(optimizer.layers) == 1
    descent = torch.optim.SGD(models[1].first.parameters(), 0.05)

    def loss(model: nn.Module) -> Tensor:
        return (model(x) - 1).square().sum(-1).mean()

    iterate(models[0], optimizer, loss)
    for _ in range(3):
        descent.zero_grad()
        loss(models[1]).backward()
        descent.step()
    assert off(models[0].first.weight.detach(), models[1].first.weight.detach()) < 1e-9
    fresh = Tied(embedding).double()
    optimizer = optimizer_of(fresh, interval=1)
    values = iterate(fresh, optimizer, loss, 30)
    assert values[-1] < 0.5 * values[0]


def test_a_layer_that_is_not_used_stays_and_the_others_go() -> None:
    model = nn.ModuleDict({"used": perceptron(), "idle": nn.Linear(5, 3).double()})
    optimizer = optimizer_of(model)
    idle = weights(model["idle"])
    alone = perceptron()
    other = optimizer_of(alone)
    for number in range(4):
        x, labels = batch(number)
        optimizer.zero_grad()
        with optimizer.curvature():
            F.cross_entropy(model["used"](x), labels).backward()
        optimizer.step()
    train(alone, other, range(4))
    assert torch.equal(weights(model["idle"]), idle)
    assert torch.equal(weights(model["used"]), weights(alone))
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_half_a_layer_may_be_frozen(frozen: str) -> None:
    """Before the optimizer is made, or between its steps."""
    model = perceptron()
    getattr(model[0], frozen).requires_grad_(False)
    optimizer = optimizer_of(model)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, optimizer, range(4))
    for name, p in model.named_parameters():
        assert torch.equal(p, start[name]) == (name == f"0.{frozen}")
    later = perceptron()
    optimizer = optimizer_of(later)
    train(later, optimizer, range(2))
    getattr(later[0], frozen).requires_grad_(False)
    held = getattr(later[0], frozen).detach().clone()
    train(later, optimizer, range(2, 5))
    assert torch.equal(getattr(later[0], frozen), held)


def test_groups_may_part_weights_from_biases() -> None:
    """Weight decay of the weights alone, as in all training recipes, with the curvature of whole layers."""
    model, other = perceptron(), perceptron()
    decayed = {"params": [(n, p) for n, p in model.named_parameters() if p.ndim > 1], "weight_decay": 0.5}
    rest = {"params": [(n, p) for n, p in model.named_parameters() if p.ndim == 1]}
    optimizer = optimizer_of(model, params=[decayed, rest], momentum=0.0, interval=1)
    train(model, optimizer, range(1))
    train(other, optimizer_of(other, momentum=0.0, interval=1), range(1))
    start = dict(perceptron().named_parameters())
    for name, p in other.named_parameters():
        expected = p - 0.05 * 0.5 * start[name] if p.ndim > 1 else p
        assert off(model.get_parameter(name).detach(), expected.detach()) < 1e-14
    assert optimizer.param_groups[1]["param_names"] == ["0.bias", "2.bias"]


def test_a_part_of_a_model_may_be_trained() -> None:
    """As a head on features: the other layers are neither watched nor stepped."""
    model, other = perceptron(), perceptron()
    other[0].requires_grad_(False)
    optimizer = optimizer_of(model, params=model[2].parameters())
    train(model, optimizer, range(4))
    train(other, optimizer_of(other), range(4))
    assert torch.equal(weights(model), weights(other))
    assert set(optimizer.state) == set(model[2].parameters())
    assert "0: linear" not in repr(optimizer)


def test_groups_with_equal_options_are_one_group() -> None:
    model, other = perceptron(), perceptron()
    split = [{"params": [p]} for p in model.parameters()]
    train(model, optimizer_of(model, params=split), range(4))
    train(other, optimizer_of(other), range(4))
    assert torch.equal(weights(model), weights(other))


def test_layers_that_are_unfrozen_later_join_with_their_curvature() -> None:
    model = perceptron()
    model[0].requires_grad_(False)
    optimizer = optimizer_of(model, interval=1)
    train(model, optimizer, range(2))
    frozen = weights(model[0])
    model[0].requires_grad_(True)
    optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01, "model": model})
    assert [group["method"] for group in optimizer.param_groups] == ["natural", "natural"]
    train(model, optimizer, range(2, 4))
    assert off(weights(model[0]), frozen) > 1e-4
    first: Any = model[0]
    assert "K" in optimizer.state[first.weight]
    assert "    0: linear, full(6) x full(7)" in repr(optimizer)


def test_parameters_of_nothing_known_are_stepped_by_adamw() -> None:
    model = perceptron()
    optimizer = optimizer_of(model)
    extra = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer.add_param_group({"params": [extra], "lr": 0.1})
    x, labels = batch(0)
    with optimizer.curvature():
        F.cross_entropy(model(x) + extra, labels).backward()
    optimizer.step()
    assert off(extra.detach().abs(), torch.full((3,), 0.1).double()) < 1e-6
    assert "parameter 4: no layer of the model holds it" in repr(optimizer)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [extra]})
    before = len(optimizer.param_groups)
    with pytest.raises(ValueError, match="lr: expected a number >= 0"):
        optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)], "lr": -1.0})
    assert len(optimizer.param_groups) == before
