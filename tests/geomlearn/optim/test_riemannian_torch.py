"""Optimizers on manifolds among torch's: options, graphs, parametrizations, reductions to torch."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import lie
from geomlearn.optim import BrAVO, BregmanSLC, ManifoldParameter, RiemannianAdam, RiemannianSGD

MAKERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda p, **o: RiemannianSGD(p, lr=0.03, **o),
    "sgd-momentum": lambda p, **o: RiemannianSGD(p, lr=0.02, momentum=0.7, **o),
    "sgd-nesterov": lambda p, **o: RiemannianSGD(p, lr=0.02, momentum=0.7, nesterov=True, **o),
    "adam": lambda p, **o: RiemannianAdam(p, lr=0.05, betas=(0.8, 0.9), **o),
    "adam-amsgrad": lambda p, **o: RiemannianAdam(p, lr=0.05, betas=(0.8, 0.9), amsgrad=True, **o),
    "slc": lambda p, **o: BregmanSLC(p, lr=2.0, C=4.0, **o),
    "slc-quick": lambda p, **o: BregmanSLC(p, lr=2.0, C=4.0, quick=True, **o),
    "bravo-quick": lambda p, **o: BrAVO(p, lr=2.0, C=4.0, quick=True, **o),
}
RIEMANNIAN = [name for name in MAKERS if name.startswith(("sgd", "adam"))]
SPACES: list[Any] = [
    lie.Sphere(4),
    lie.Stiefel(4, 2),
    lie.Stiefel(4, 2, metric="canonical"),
    lie.Grassmann(4, 2),
    lie.SPD(2),
    lie.SO3,
    lie.Product(lie.SE3, lie.Euclidean(2)),
    lie.SO3**2,
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Mixture(nn.Module):
    """A parameter on each kind of manifold, products included, and a vector."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.curved = nn.ParameterList(
            ManifoldParameter(M, M.random(2, generator=seeded(k), dtype=dtype)) for k, M in enumerate(SPACES)
        )
        self.flat = nn.Parameter(torch.linspace(-1, 1, 3, dtype=dtype))
        self.goals = [M.random(2, generator=seeded(20 + k), dtype=dtype) for k, M in enumerate(SPACES)]

    def forward(self) -> Tensor:
        terms = [((x - goal) ** 2).sum() for x, goal in zip(self.curved, self.goals)]
        return torch.stack([*terms, ((self.flat - 2) ** 2).sum()]).sum()


def train(model: nn.Module, optimizer: Any, steps: int) -> float:
    for _ in range(steps):
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
    return float(model().detach())


def off(model: Mixture) -> float:
    return max(float(M.residual(x.detach()).max()) for M, x in zip(SPACES, model.curved))


@pytest.mark.parametrize("name", MAKERS)
def test_manifolds_products_and_vectors_in_one_optimizer(name: str) -> None:
    for dtype, tolerance in ((torch.float64, 4e-15), (torch.float32, 2e-6)):
        model = Mixture(dtype)
        start = float(model().detach())
        groups = [{"params": [*model.curved]}, {"params": [model.flat], "weight_decay": 0.01}]
        end = train(model, MAKERS[name](groups), 40)
        assert end < (0.5 if name != "sgd" else 0.7) * start
        assert off(model) <= tolerance * max(1.0, *(float(x.detach().abs().max()) for x in model.curved))


@pytest.mark.parametrize("name", MAKERS)
def test_a_capturable_step_is_the_step(name: str) -> None:
    plain, other = Mixture(), Mixture()
    train(plain, MAKERS[name](plain.parameters()), 12)
    optimizer = MAKERS[name](other.parameters(), capturable=True)
    train(other, optimizer, 2)
    kept = [entry for x in other.parameters() for entry in optimizer.state[x].values()]
    train(other, optimizer, 10)
    again = [entry for x in other.parameters() for entry in optimizer.state[x].values()]
    if not name.startswith("sgd"):
        assert all(a is b for a, b in zip(kept, again))  # graphs write to the tensors they have seen
    tolerance: Any = (
        {"rtol": 1e-5, "atol": 1e-6} if name.startswith("adam") else {"rtol": 1e-11, "atol": 1e-12}
    )
    for x, y in zip(plain.parameters(), other.parameters()):
        torch.testing.assert_close(x, y, **tolerance)


@pytest.mark.parametrize("name", RIEMANNIAN)
def test_on_a_line_the_steps_are_those_of_torch(name: str) -> None:
    """Adam's second moment is that of an element: elements of one number are torch's."""
    ours = ManifoldParameter(lie.Euclidean(1), torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None])
    theirs = ours.detach().clone().requires_grad_()
    optimizer = MAKERS[name]([ours], weight_decay=0.1)
    options = {key: value for key, value in optimizer.defaults.items() if key != "fused"}
    reference = (torch.optim.SGD if name.startswith("sgd") else torch.optim.Adam)(
        [theirs],
        **{key: options[key] for key in options if not (key == "capturable" and name.startswith("sgd"))},
    )
    for k in range(15):
        ours.grad, theirs.grad = (torch.cos(k + x.detach()) for x in (ours, theirs))
        optimizer.step()
        reference.step()
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-12, atol=1e-14)


def test_amsgrad_divides_by_the_greatest_second_moment() -> None:
    x = ManifoldParameter(lie.Sphere(3), torch.eye(3, dtype=torch.float64)[0])
    optimizer = RiemannianAdam([x], lr=0.01, betas=(0.5, 0.5), amsgrad=True)
    greatest = torch.zeros((), dtype=torch.float64)
    for scale in (1.0, 5.0, 0.1, 0.1):
        x.grad = scale * torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
        optimizer.step()
        state = optimizer.state[x]
        greatest = torch.maximum(greatest, state["exp_avg_sq"])
        assert torch.equal(state["max_exp_avg_sq"], greatest)
    assert state["exp_avg_sq"] < greatest


@pytest.mark.parametrize("name", ["sgd", "sgd-nesterov", "adam"])
def test_a_differentiable_step_is_that_of_torch(name: str) -> None:
    reference = (
        (lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.9), differentiable=True))
        if name == "adam"
        else (
            lambda p: (
                torch.optim.SGD(p, lr=0.02, momentum=0.7, nesterov=True, differentiable=True, foreach=False)
                if name != "sgd"
                else torch.optim.SGD(p, lr=0.03, differentiable=True, foreach=False)
            )
        )
    )

    def slope(make: Any) -> Tensor:
        factor = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        x = torch.linspace(0.5, 1.5, 3, dtype=torch.float64).requires_grad_().clone()
        optimizer = make([x])
        for _ in range(3):
            x.grad = factor * x.clone()
            optimizer.step()
        (derivative,) = torch.autograd.grad(x.sum(), factor)
        return derivative

    ours = slope(lambda p: MAKERS[name](p, differentiable=True, foreach=False))
    assert float(ours) != 0
    torch.testing.assert_close(ours, slope(reference))


@pytest.mark.parametrize("name", MAKERS)
def test_a_differentiable_step_on_a_manifold_is_refused(name: str) -> None:
    x = ManifoldParameter(lie.Sphere(3), torch.eye(3)[0])
    with pytest.raises(ValueError, match="differentiable: a ManifoldParameter is a leaf"):
        MAKERS[name]([x], differentiable=True)
    optimizer = MAKERS[name]([torch.zeros(2, requires_grad=True)], differentiable=True)
    with pytest.raises(ValueError, match="bregman_step with manifold="):
        optimizer.add_param_group({"params": [x]})
    assert len(optimizer.param_groups) == 1


class Frames(nn.Module):
    """Frames, points of a sphere and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.frame = ManifoldParameter(SPACES[1], SPACES[1].random(generator=seeded(1), dtype=torch.float64))
        self.point = ManifoldParameter(
            SPACES[0], SPACES[0].random(2, generator=seeded(2), dtype=torch.float64)
        )
        self.flat = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self) -> Tensor:
        weight = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(4, 2)
        return (weight * self.frame).sum() + (self.point @ weight).sum() + (self.flat**2).sum()


@pytest.mark.parametrize("name", ["sgd-nesterov", "adam-amsgrad", "slc-quick"])
def test_a_compiled_step_is_the_step(name: str) -> None:
    eager, compiled = Frames(), Frames()
    one, other = (MAKERS[name](model.parameters()) for model in (eager, compiled))
    step = torch.compile(other.step, backend="aot_eager")
    for _ in range(5):
        for model, act in ((eager, one.step), (compiled, step)):
            model.zero_grad()
            model().backward()
            act()
    for x, y in zip(eager.parameters(), compiled.parameters()):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)


def test_a_gradient_scaler_skips_steps_on_manifolds() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaled, plain = Frames(), Frames()
    one, other = RiemannianAdam(scaled.parameters(), lr=0.1), RiemannianAdam(plain.parameters(), lr=0.1)
    for k in range(5):
        one.zero_grad()
        scaler.scale(scaled() * (float("inf") if k == 2 else 1)).backward()
        scaler.step(one)
        scaler.update()
        if k != 2:
            train(plain, other, 1)
    assert all(torch.equal(x, y) for x, y in zip(scaled.parameters(), plain.parameters()))


class Orthogonal(nn.Module):
    """A layer that torch keeps orthogonal."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        layer: Any = parametrizations.orthogonal(nn.Linear(4, 4, bias=False, dtype=torch.float64))
        turn = torch.linspace(-0.3, 0.4, 6, dtype=torch.float64)
        self.goal: Tensor = layer.weight.detach() @ lie.SO(4).exp(turn)
        self.layer: Any = layer

    def forward(self) -> Tensor:
        distance: Tensor = self.layer.weight - self.goal
        return distance.square().sum()


@pytest.mark.parametrize("name", MAKERS)
def test_parametrizations_of_torch_train(name: str) -> None:
    model = Orthogonal()
    start = float(model().detach())
    assert train(model, MAKERS[name](model.parameters()), 40) < 0.5 * start
    weight = model.layer.weight.detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-13)


class Scaled(nn.Module):
    """A parametrization with a length."""

    def forward(self, frame: Tensor) -> Tensor:
        return 3.0 * frame


@pytest.mark.parametrize("name", MAKERS)
def test_the_original_of_a_parametrization_may_be_on_a_manifold(name: str) -> None:
    layer: Any = nn.Linear(2, 4, bias=False, dtype=torch.float64)
    layer.weight = ManifoldParameter(SPACES[1], SPACES[1].random(generator=seeded(6), dtype=torch.float64))
    parametrize.register_parametrization(layer, "weight", Scaled())
    original = layer.parametrizations.weight.original
    assert isinstance(original, ManifoldParameter)
    optimizer = MAKERS[name](layer.parameters())
    goal = 3.0 * SPACES[1].random(generator=seeded(7), dtype=torch.float64)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        value = (layer.weight - goal).square().sum()
        values.append(float(value.detach()))
        value.backward()
        optimizer.step()
    assert values[-1] < 0.5 * values[0]
    assert float(SPACES[1].residual(original.detach())) <= 2e-15


def test_half_precision_has_no_manifolds() -> None:
    with pytest.raises(TypeError, match="value must be float32 or float64"):
        ManifoldParameter(lie.Sphere(3), torch.eye(3, dtype=torch.bfloat16)[0])


def test_an_old_state_without_new_options_loads() -> None:
    model = Frames()
    optimizer = RiemannianAdam(model.parameters())
    train(model, optimizer, 2)
    old = copy.deepcopy(optimizer.state_dict())
    for group in old["param_groups"]:
        for key in ("amsgrad", "capturable", "differentiable"):
            del group[key]
    optimizer.load_state_dict(old)
    train(model, optimizer, 1)
    assert optimizer.param_groups[0]["amsgrad"] is False
