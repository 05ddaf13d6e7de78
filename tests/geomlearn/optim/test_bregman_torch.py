"""The Bregman optimizers among torch's: groups, closures, schedulers, checkpoints, dtypes, errors."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geomlearn.optim import BrAVO, BregmanHTVI, BregmanSLC

MAKERS = {
    "slc-exponential": lambda p, **o: BregmanSLC(p, **{"lr": 3.0, "C": 20.0, **o}),
    "slc-polynomial": lambda p, **o: BregmanSLC(p, family="polynomial", **{"lr": 0.02, **o}),
    "bravo-exponential": lambda p, **o: BrAVO(p, **{"lr": 3.0, "C": 20.0, **o}),
    "bravo-polynomial": lambda p, **o: BrAVO(p, family="polynomial", **{"lr": 0.02, **o}),
    "htvi": lambda p, **o: BregmanHTVI(p, **{"lr": 0.02, "temporal_looping": True, **o}),
    "htvi-adaptive": lambda p, **o: BregmanHTVI(
        p, **{"lr": 2e-5, "C": 1.0, "adaptive": 0.01, "temporal_looping": True, **o}
    ),
}
Make = Callable[..., Any]


@pytest.fixture(params=MAKERS, ids=str)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


def tensors(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Three parameters, one strided, one empty."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3), (5,), (0,)]
    made = [torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    made[0] = made[0].t()
    return [x.requires_grad_() for x in made]


def loss(parameters: list[Tensor]) -> Tensor:
    terms = [((k + 1) * (x - 1).abs().square()).sum() for k, x in enumerate(parameters)]
    return torch.stack(terms).sum()


def descend(optimizer: Any, parameters: list[Tensor], steps: int) -> float:
    """Steps on the loss; its last value."""
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(parameters)
        value.backward()
        optimizer.step()
    return float(loss(parameters).detach())


def clock(optimizer: Any) -> list[dict[str, float]]:
    keys = ("time", "drifted", "speed", "carry", "steps", "restarts", "loops")
    return [{key: float(group[key]) for key in keys} for group in optimizer.param_groups]


def test_the_loss_falls(make: Make) -> None:
    parameters = tensors()
    start = float(loss(parameters).detach())
    assert descend(make(parameters), parameters, 200) < 0.02 * start


@pytest.mark.parametrize(
    "options", [{"foreach": False}, {"capturable": True}, {"capturable": True, "foreach": False}]
)
def test_every_way_of_working_gives_the_same_steps(make: Make, options: dict[str, Any]) -> None:
    one, other = tensors(), tensors()
    first, second = make(one), make(other, **options)
    descend(first, one, 40)
    descend(second, other, 40)
    for x, y in zip(one, other):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-13)
    for a, b in zip(clock(first), clock(second)):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12)


def test_a_checkpoint_resumes_bit_for_bit(make: Make) -> None:
    for options in ({}, {"capturable": True}):
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            straight, halted = tensors(dtype), tensors(dtype)
            descend(make(straight, **options), straight, 31)
            first = make(halted, **options)
            descend(first, halted, 14)
            file = io.BytesIO()
            torch.save(first.state_dict(), file)
            file.seek(0)
            resumed = make(halted, **options)
            resumed.load_state_dict(torch.load(file, weights_only=True))
            descend(resumed, halted, 17)
            for x, y in zip(straight, halted):
                assert torch.equal(x, y)


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_go_on_alike(make: Make, stepped: bool, copier: Callable[[Any], Any]) -> None:
    parameters = tensors()
    optimizer = make(parameters)
    descend(optimizer, parameters, 9 if stepped else 0)
    twin = copier(optimizer)
    copied = twin.param_groups[0]["params"]
    descend(optimizer, parameters, 6)
    descend(twin, copied, 6)
    assert all(torch.equal(x, y) for x, y in zip(parameters, copied))
    assert clock(optimizer) == clock(twin)


def test_a_state_without_new_options_loads(make: Make) -> None:
    parameters = tensors()
    optimizer = make(parameters)
    descend(optimizer, parameters, 3)
    old = optimizer.state_dict()
    for group in old["param_groups"]:
        del group["capturable"], group["foreach"], group["loops"]
    fresh = make(parameters)
    fresh.load_state_dict(old)
    descend(fresh, parameters, 1)
    assert fresh.param_groups[0]["steps"] == 4


def test_changed_shapes_are_refused_and_nothing_is_loaded(make: Make) -> None:
    parameters = tensors()
    optimizer = make(parameters)
    descend(optimizer, parameters, 3)
    other = [torch.zeros(2, 2, requires_grad=True), *tensors()[1:]]
    receiver = make(other)
    with pytest.raises(ValueError, match=r"parameter 0 has shape \(3, 4\), the parameter needs \(2, 2\)"):
        receiver.load_state_dict(optimizer.state_dict())
    assert receiver.param_groups[0]["steps"] == 0
    assert not receiver.state


def test_splitting_a_tensor_changes_nothing(make: Make) -> None:
    whole = [torch.linspace(-1, 2, 6, dtype=torch.float64).requires_grad_()]
    parts = [x.clone().requires_grad_() for x in whole[0].detach().split([1, 2, 3])]
    one, other = make(whole), make(parts)
    for _ in range(40):
        whole[0].grad = 3 * (whole[0].detach() - 1)
        one.step()
        for x in parts:
            x.grad = 3 * (x.detach() - 1)
        other.step()
    torch.testing.assert_close(torch.cat(parts), whole[0], rtol=1e-11, atol=1e-13)
    assert clock(one)[0]["restarts"] == clock(other)[0]["restarts"]


def test_maximize_is_minimize_of_the_negative(make: Make) -> None:
    one, other = tensors(), tensors()
    up, down = make(one, maximize=True, weight_decay=0.1), make(other, weight_decay=0.1)
    for _ in range(20):
        for x, y in zip(one, other):
            x.grad = -2 * (x.detach() - 1)
            y.grad = 2 * (y.detach() - 1)
        up.step()
        down.step()
    assert all(torch.equal(x, y) for x, y in zip(one, other))


def test_weight_decay_adds_to_the_function(make: Make) -> None:
    one, other = tensors(), tensors()
    decayed, plain = make(one, weight_decay=0.3), make(other)
    for _ in range(20):
        for x, y in zip(one, other):
            x.grad = 2 * (x.detach() - 1)
            y.grad = 2 * (y.detach() - 1) + 0.3 * y.detach()
        decayed.step()
        plain.step()
    for x, y in zip(one, other):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-13)


def test_groups_have_options_and_clocks_of_their_own() -> None:
    a, b, c = tensors()
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b], "family": "polynomial"}]
    optimizer = BregmanSLC(groups, lr=2.0)
    assert [group["lr"] for group in optimizer.param_groups] == [2.0, 0.01]
    optimizer.add_param_group({"params": [c], "C": 7.0})
    b.grad = torch.ones_like(b)
    optimizer.step()
    assert [group["steps"] for group in optimizer.param_groups] == [0, 1, 0]
    assert optimizer.param_groups[2]["C"] == 7.0
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [b]})


def test_a_parameter_that_comes_late_shares_the_clock() -> None:
    a, b, _ = tensors()
    optimizer = BrAVO([a, b], lr=1.0, temporal_looping=False)
    for k in range(6):
        a.grad = torch.ones_like(a)
        b.grad = torch.ones_like(b) if k > 3 else None
        optimizer.step()
    assert optimizer.param_groups[0]["time"] == 7.0


def test_gradients_that_stay_zero_keep_a_late_clock_finite(make: Make) -> None:
    parameters = tensors()
    optimizer = make(parameters)
    optimizer.param_groups[0].update(time=1e8, drifted=1e8, steps=1)
    before = [x.detach().clone() for x in parameters]
    for _ in range(3):
        for x in parameters:
            x.grad = torch.zeros_like(x)
        optimizer.step()
    assert all(torch.equal(x, y) for x, y in zip(parameters, before))
    assert optimizer.param_groups[0]["time"] < 1e8


def test_no_gradients_change_nothing(make: Make) -> None:
    parameters = tensors()
    optimizer = make(parameters)
    before = [x.detach().clone() for x in parameters]
    assert optimizer.step() is None
    assert all(torch.equal(x, y) for x, y in zip(parameters, before))
    assert optimizer.param_groups[0]["steps"] == 0
    assert not optimizer.state


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_infinite_gradients_are_refused_in_every_group(make: Make, bad: float) -> None:
    parameters = tensors()
    optimizer = make([{"params": parameters[:1]}, {"params": parameters[1:]}])
    descend(optimizer, parameters, 4)
    before = [x.detach().clone() for x in parameters]
    state = copy.deepcopy(optimizer.state_dict())
    grad = parameters[1].grad
    assert grad is not None
    grad[2] = bad
    with pytest.raises(RuntimeError, match="infinite or NaN; parameters and state were left"):
        optimizer.step()
    assert all(torch.equal(x, y) for x, y in zip(parameters, before))
    assert state["param_groups"] == optimizer.state_dict()["param_groups"]
    for key, entry in optimizer.state_dict()["state"].items():
        assert torch.equal(entry["velocity"], state["state"][key]["velocity"])


def test_sparse_gradients_are_refused(make: Make) -> None:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r"does not take sparse gradients.*SparseAdam"):
        make(table.parameters()).step()


def test_the_function_restart_needs_a_closure() -> None:
    parameters = tensors()
    optimizer: Any = BregmanSLC(parameters, C=20.0, restart="function")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(parameters)
        value.backward()
        return value

    first = optimizer.step(closure)
    assert float(first.detach()) == pytest.approx(float(loss(tensors()).detach()))
    for _ in range(60):
        last = optimizer.step(closure)
    assert float(last.detach()) < 0.05 * float(first.detach())
    assert optimizer.param_groups[0]["restarts"] > 0
    with pytest.raises(ValueError, match="pass a closure"):
        optimizer.step()


def test_schedulers_set_the_time_step() -> None:
    parameters = tensors()
    optimizer = BregmanSLC(parameters, lr=2.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for _ in range(2):
        descend(optimizer, parameters, 1)
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.param_groups[0]["lr"] = 0.0
    before = [x.detach().clone() for x in parameters]
    descend(optimizer, parameters, 2)
    assert all(torch.equal(x, y) for x, y in zip(parameters, before))
    optimizer.param_groups[0]["lr"] = 1.0
    assert descend(optimizer, parameters, 40) < float(loss(before))


def test_a_tensor_lr_is_one_number() -> None:
    parameters, others = tensors(), tensors()
    descend(BregmanSLC(parameters, lr=torch.tensor(3.0)), parameters, 12)
    descend(BregmanSLC(others, lr=3.0), others, 12)
    assert all(torch.equal(x, y) for x, y in zip(parameters, others))
    with pytest.raises(ValueError, match="lr: Tensor lr must be 1-element"):
        BregmanSLC(parameters, lr=torch.ones(2))


def test_complex_parameters_are_their_two_parts(make: Make) -> None:
    z = torch.tensor([1 + 2j, -1 + 0.5j], dtype=torch.complex128, requires_grad=True)
    parts = torch.view_as_real(z.detach()).clone().requires_grad_()
    one, other = make([z]), make([parts])
    for _ in range(25):
        z.grad = 2 * (z.detach() - 1j)
        parts.grad = torch.view_as_real(z.grad).clone()
        one.step()
        other.step()
    assert torch.equal(torch.view_as_real(z.detach()), parts.detach())


def test_half_precision_keeps_the_clock_exact(make: Make) -> None:
    parameters = tensors(torch.bfloat16)
    start = float(loss(parameters).detach())
    optimizer = make(parameters)
    assert descend(optimizer, parameters, 60) < 0.3 * start
    velocity = optimizer.state[parameters[0]]["velocity"]
    assert velocity.dtype == torch.bfloat16
    assert isinstance(optimizer.param_groups[0]["time"], float)


def test_a_gradient_scaler_skips_a_step_without_the_clock() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    x, plain = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer, reference = BregmanSLC([x], lr=3.0), BregmanSLC([plain], lr=3.0)
    for k in range(6):
        optimizer.zero_grad()
        scaler.scale((x**2).sum() * (float("inf") if k == 2 else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        if k != 2:
            plain.grad = 2 * plain.detach()
            reference.step()
    assert torch.equal(x, plain)
    assert optimizer.param_groups[0]["steps"] == 5


@pytest.mark.parametrize("name", MAKERS)
def test_a_differentiable_step_has_the_derivatives_of_the_step(name: str) -> None:
    start = torch.linspace(0.5, 1.5, 3, dtype=torch.float64)

    def end(lr: Tensor, factor: Tensor) -> Tensor:
        x = start.clone().requires_grad_().clone()
        optimizer = MAKERS[name]([x], lr=lr, differentiable=True, foreach=None)
        for _ in range(4):
            x.grad = factor * x.clone()
            optimizer.step()
        return x.sum()

    lr = torch.tensor(
        {"slc-exponential": 3.0, "bravo-exponential": 3.0, "htvi-adaptive": 2e-5}.get(name, 0.02)
    )
    lr, factor = (v.double().requires_grad_() for v in (lr, torch.tensor(2.0)))
    assert torch.autograd.gradcheck(end, (lr, factor), eps=1e-9, atol=1e-4, rtol=1e-4)


def test_capturable_keeps_the_tensors_of_the_clock() -> None:
    parameters = tensors()
    optimizer = BregmanSLC(parameters, capturable=True)
    descend(optimizer, parameters, 2)
    group = optimizer.param_groups[0]
    time, steps = group["time"], group["steps"]
    descend(optimizer, parameters, 3)
    assert group["time"] is time
    assert group["steps"] is steps
    assert int(steps) == 5
    assert time.dtype == torch.float64


def test_hooks_and_repr(make: Make) -> None:
    parameters = tensors()
    optimizer = make(parameters)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    descend(optimizer, parameters, 1)
    assert seen == ["before", "after"]
    assert "restarts" in repr(optimizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr: expected a number >= 0, got -1.0"),
        ({"C": 0.0}, "C: expected a number > 0, got 0.0"),
        ({"family": "linear"}, "family: expected one of"),
        ({"order": -0.1}, "order: expected η > 0"),
        ({"order": 0.5, "family": "polynomial"}, "order: expected p >= 1"),
        ({"beta": 1.5}, "beta: expected a number between 0 and 1"),
        ({"restart": "always"}, "restart: expected None, 'gradient'"),
        ({"temporal_looping": "often"}, "temporal_looping: expected True, False"),
        ({"weight_decay": -1.0}, "weight_decay: expected a number >= 0"),
        ({"foreach": True, "differentiable": True}, "foreach: its steps are made in place"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BregmanSLC(tensors(), **options)


def test_adaptivity_of_the_exponential_family_is_refused() -> None:
    with pytest.raises(ValueError, match="only multiplies the time step"):
        BregmanHTVI(tensors(), family="exponential", adaptive=0.1)


@pytest.mark.parametrize(
    ("make", "foreach", "capturable"),
    [(BregmanSLC, False, True), (BregmanSLC, True, False), (BrAVO, True, True)],
)
def test_a_compiled_step_is_the_step(make: Make, foreach: bool, capturable: bool) -> None:
    eager, compiled = tensors(), tensors()
    one, other = (make(p, C=20.0, capturable=capturable, foreach=foreach) for p in (eager, compiled))
    step = torch.compile(other.step, backend="aot_eager")
    for _ in range(6):
        for x in (*eager, *compiled):
            x.grad = 2 * (x.detach() - 1)
        one.step()
        step()
    for x, y in zip(eager, compiled):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-15)
    assert clock(one)[0] == pytest.approx(clock(other)[0], rel=1e-12)
    assert clock(one)[0]["loops"] > 0
