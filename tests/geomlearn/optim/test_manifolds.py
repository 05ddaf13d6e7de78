"""Parameters on manifolds: iterations beside known ones, constraints, mixtures, checkpoints, errors."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lie
from geomlearn.optim import (
    BrAVO,
    BregmanSLC,
    ManifoldParameter,
    RiemannianAdam,
    RiemannianSGD,
)

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "slc": lambda p: BregmanSLC(p, lr=2.0, C=4.0),
    "bravo": lambda p: BrAVO(p, lr=2.0, C=4.0),
    "sgd": lambda p: RiemannianSGD(p, lr=0.02, momentum=0.5),
    "sgd-plain": lambda p: RiemannianSGD(p, lr=0.05),
    "sgd-nesterov": lambda p: RiemannianSGD(p, lr=0.02, momentum=0.5, nesterov=True),
    "adam": lambda p: RiemannianAdam(p, lr=0.05, betas=(0.8, 0.99)),
}
MANIFOLDS: dict[str, Any] = {
    "sphere": lie.Sphere(4),
    "stiefel": lie.Stiefel(5, 2),
    "stiefel-canonical": lie.Stiefel(5, 2, metric="canonical"),
    "grassmann": lie.Grassmann(5, 2),
    "spd": lie.SPD(3),
    "so3": lie.SO3,
    "so4": lie.SO(4),
    "se3": lie.SE3,
    "quaternion": lie.UnitQuaternion,
    "product": lie.Product(lie.SO3, lie.Euclidean(2)),
    "power": lie.SE3**2,
}


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distance_to(manifold: Any, batch: int = 2) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Points, and the sum of squared distances in the surrounding space from others not far from them."""
    goal = manifold.random(batch, generator=seeded(), dtype=torch.float64)
    if isinstance(manifold, lie.LieGroup):
        turn = torch.randn(batch, manifold.dim, generator=seeded(4), dtype=torch.float64)
        start = manifold.plus(goal, 0.3 * turn)
    else:
        start = manifold.exp(goal, 0.3 * manifold.random_tangent(goal, seeded(4)))
    if isinstance(manifold, lie.Grassmann):
        return start, lambda x: -(goal.mT @ x).square().sum() + 2 * batch
    return start, lambda x: (x - goal).square().sum()


def descend(optimizer: Any, x: Tensor, function: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """Values along a run."""
    values = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = function(x)
        values.append(value.detach())
        value.backward()
        optimizer.step()
    return torch.stack([*values, function(x).detach()])


@pytest.mark.parametrize("manifold", MANIFOLDS.values(), ids=MANIFOLDS)
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_descends_on_every_manifold_and_stays_there(make: Any, manifold: Any) -> None:
    start, function = distance_to(manifold)
    x = ManifoldParameter(manifold, start)
    values = descend(make([x]), x, function, 60)
    assert values[-1] < 0.1 * values[0]
    assert float(manifold.residual(x.detach()).max()) <= 2e-15 * max(1.0, float(x.detach().abs().max()))


def test_gradient_on_a_group_is_the_derivative_along_its_coordinates() -> None:
    from geomlearn.optim._motion import GroupMotion

    R = lie.SO3.random(generator=seeded(), dtype=torch.float64)
    K = torch.randn(3, 3, generator=seeded(), dtype=torch.float64)
    expected = -lie.SO3.vee(R.mT @ K - K.mT @ R)
    torch.testing.assert_close(GroupMotion(lie.SO3).gradient(R, -K), expected)


@pytest.mark.parametrize("make", [RiemannianSGD, RiemannianAdam])
def test_parameters_on_no_manifold_step_as_in_torch(make: Any) -> None:
    reference = torch.optim.SGD if make is RiemannianSGD else torch.optim.Adam
    options: dict[str, Any] = {"lr": 0.03, "weight_decay": 0.1, "maximize": True}
    if make is RiemannianSGD:
        options.update(momentum=0.9, nesterov=True)
    ours, theirs = (
        [
            torch.randn(4, generator=seeded()).requires_grad_(),
            torch.ones(2, dtype=torch.cdouble).requires_grad_(),
        ]
        for _ in range(2)
    )
    mine, other = make(ours, **options), reference(theirs, **options)
    for _ in range(12):
        for parameters, optimizer in ((ours, mine), (theirs, other)):
            for x in parameters:
                x.grad = torch.cos(x.detach())
            optimizer.step()
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs))


class Layer(nn.Module):
    """A frame, a rotation and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.frame = ManifoldParameter(lie.Stiefel(4, 2), torch.eye(4, 2, dtype=torch.float64))
        self.turn = ManifoldParameter(lie.SO3, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
        self.shift = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self) -> Tensor:
        goal = torch.tensor([[0, 0], [0.6, 0], [0.8, 0], [0, 1]], dtype=torch.float64)
        turned = lie.SO3.exp(torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64))
        return (
            (self.frame - goal).square().sum()
            + (self.turn - turned).square().sum()
            + (self.shift - 1).square().sum()
        )


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_mixed_groups_resume_bit_for_bit_and_copy(make: Any) -> None:
    def train(layer: Layer, optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            layer().backward()
            optimizer.step()

    straight, halted = Layer(), Layer()
    train(straight, make(straight.parameters()), 25)
    optimizer = make(halted.parameters())
    train(halted, optimizer, 10)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    twin, pickled = copy.deepcopy(halted), pickle.loads(pickle.dumps(halted))
    for layer in (halted, twin, pickled):
        file.seek(0)
        resumed = make(layer.parameters())
        resumed.load_state_dict(torch.load(file, weights_only=True))
        train(layer, resumed, 15)
        assert all(torch.equal(x, y) for x, y in zip(straight.parameters(), layer.parameters()))
        assert repr(layer.frame.manifold) == "lie.Stiefel(4, 2)"
    assert float(straight().detach()) < 0.2 * float(Layer()().detach())


def test_a_layer_keeps_its_parameters_through_torch(tmp_path: Any) -> None:
    layer = Layer()
    assert isinstance(layer.float().frame, ManifoldParameter)
    assert layer.frame.dtype == torch.float32
    other = Layer()
    other.load_state_dict(layer.state_dict())
    assert isinstance(other.frame, ManifoldParameter)
    assert "ManifoldParameter on lie.SO(3)" in repr(layer.turn) or "lie.SO3" in repr(layer.turn)


def test_the_way_is_that_of_the_negative_when_maximizing() -> None:
    start, function = distance_to(lie.Sphere(4))
    for kind in (BregmanSLC, RiemannianSGD, RiemannianAdam):
        ends = []
        for sign in (1, -1):
            x = ManifoldParameter(lie.Sphere(4), start)
            optimizer: Any = kind([x], lr=0.1, maximize=sign < 0)
            descend(optimizer, x, lambda y, sign=sign: sign * function(y), 12)  # type: ignore[misc]
            ends.append(x.detach())
        assert torch.equal(ends[0], ends[1])


def test_a_point_off_the_manifold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"value.* is not in Stiefel\(3, 2\)"):
        ManifoldParameter(lie.Stiefel(3, 2), torch.ones(3, 2))
    with pytest.raises(TypeError, match="manifold: expected a"):
        ManifoldParameter("sphere", torch.ones(3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value: expected a tensor"):
        ManifoldParameter(lie.Sphere(2), [1.0, 0.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_infinite_gradients_leave_everything_as_it_is(make: Any) -> None:
    start, function = distance_to(lie.SO3)
    x, plain = ManifoldParameter(lie.SO3, start), torch.zeros(2, requires_grad=True)
    optimizer = make([plain, x])
    descend(optimizer, x, function, 2)
    before = x.detach().clone()
    plain.grad = torch.ones(2)
    x.grad = torch.full_like(x, float("nan"))
    with pytest.raises(RuntimeError, match="infinite or NaN; parameters and state were left"):
        optimizer.step()
    assert torch.equal(x, before)
    assert torch.equal(plain, torch.zeros(2))


def test_errors_of_the_riemannian_optimizers() -> None:
    x = torch.zeros(3, requires_grad=True)
    for options, message in (
        ({"lr": -1.0}, "lr: expected a number >= 0"),
        ({"nesterov": True}, "nesterov: expected False without momentum"),
    ):
        with pytest.raises(ValueError, match=message):
            RiemannianSGD([x], **options)
    with pytest.raises(ValueError, match="betas: expected two numbers"):
        RiemannianAdam([x], betas=(0.9, 1.0))
    optimizer = RiemannianAdam([x])
    x.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="does not take sparse gradients"):
        optimizer.step()
    frame = ManifoldParameter(lie.SO3, torch.eye(3))
    other = RiemannianAdam([ManifoldParameter(lie.Sphere(3), torch.eye(3)[0])])
    donor = RiemannianAdam([frame])
    frame.grad = torch.ones(3, 3)
    donor.step()
    other.load_state_dict(donor.state_dict())  # both have three coordinates
    wrong = RiemannianAdam([torch.zeros(2, requires_grad=True)])
    with pytest.raises(ValueError, match="exp_avg of parameter 0 has shape"):
        wrong.load_state_dict(donor.state_dict())
