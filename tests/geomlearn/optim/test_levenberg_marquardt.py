"""Levenberg and Marquardt's method against certified values, scipy, and other optimizers."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

import lie
from geomlearn.optim import (
    LevenbergMarquardt,
    ManifoldParameter,
    NonFiniteResidualError,
    levenberg_marquardt,
)
from geomlearn.optim._levenberg_marquardt_jacobian import blocks, evaluate
from geomlearn.optim._levenberg_marquardt_system import NormalEquations, TriangularFactor

F64 = torch.float64


def vector(*entries: float) -> Tensor:
    return torch.tensor(entries, dtype=F64)


def rosenbrock(x: Tensor) -> Tensor:
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def powell(x: Tensor) -> Tensor:
    return torch.stack(
        [
            x[0] + 10 * x[1],
            math.sqrt(5) * (x[2] - x[3]),
            (x[1] - 2 * x[2]) ** 2,
            math.sqrt(10) * (x[0] - x[3]) ** 2,
        ]
    )


def by_scipy(residual: Callable[[Tensor], Tensor], start: Tensor) -> Any:
    def of_arrays(x: np.ndarray) -> np.ndarray:
        return residual(torch.from_numpy(x)).numpy()

    def slope(x: np.ndarray) -> np.ndarray:
        return torch.func.jacrev(residual)(torch.from_numpy(x)).numpy()

    return scipy.optimize.least_squares(of_arrays, start.numpy(), jac=slope, method="lm", xtol=1e-12)


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
@pytest.mark.parametrize("jacobian", ["forward", "reverse"])
def test_rosenbrock_beside_scipy(solver: str, jacobian: str) -> None:
    start = vector(-1.2, 1.0)
    result = levenberg_marquardt(rosenbrock, start, solver=solver, jacobian=jacobian)
    peer = by_scipy(rosenbrock, start)
    assert result.converged
    assert torch.allclose(result.parameters, torch.from_numpy(peer.x), rtol=1e-12)
    assert result.cost < 1e-28
    assert result.evaluations <= 1.5 * peer.nfev
    assert torch.equal(start, vector(-1.2, 1.0))


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
def test_powell_where_the_jacobian_loses_rank_at_the_solution(solver: str) -> None:
    start = vector(3.0, -1.0, 0.0, 1.0)
    result = levenberg_marquardt(powell, start, solver=solver)
    peer = by_scipy(powell, start)
    assert result.cost <= max(1e-30, peer.cost)
    assert result.parameters.abs().max() < 1e-7


# NIST Statistical Reference Datasets: data, starts, certified parameters and sums of squares.
MISRA_X = vector(
    77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0
)
MISRA_Y = vector(
    10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78
)
# fmt: off
THURBER_X = vector(
    -3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363, -2.322, -1.501,
    -1.460, -1.274, -1.212, -1.100, -1.046, -0.915, -0.714, -0.566, -0.545, -0.400, -0.309, -0.109, -0.103,
    0.010, 0.119, 0.377, 0.790, 0.963, 1.006, 1.115, 1.572, 1.841, 2.047, 2.200,
)
THURBER_Y = vector(
    80.574, 84.248, 87.264, 87.195, 89.076, 89.608, 89.868, 90.101, 92.405, 95.854, 100.696, 101.060, 401.672,
    390.724, 567.534, 635.316, 733.054, 759.087, 894.206, 990.785, 1090.109, 1080.914, 1122.643, 1178.351,
    1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509, 1425.208, 1421.384, 1442.962, 1464.350,
    1468.705, 1447.894, 1457.628,
)
# fmt: on


def misra(b: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return b[0] * (1 - torch.exp(-b[1] * x)) - y


def thurber(b: Tensor, x: Tensor, y: Tensor) -> Tensor:
    above = b[0] + x * (b[1] + x * (b[2] + x * b[3]))
    return above / (1 + x * (b[4] + x * (b[5] + x * b[6]))) - y


MISRA = (misra, MISRA_X, MISRA_Y, vector(2.3894212918e02, 5.5015643181e-04), 1.2455138894e-01)
THURBER = (
    thurber,
    THURBER_X,
    THURBER_Y,
    vector(
        1.2881396800e03,
        1.4910792535e03,
        5.8323836877e02,
        7.5416644291e01,
        9.6629502864e-01,
        3.9797285797e-01,
        4.9727297349e-02,
    ),
    5.6427082397e03,
)
CASES = {
    "misra1a-1": (MISRA, vector(500, 1e-4)),
    "misra1a-2": (MISRA, vector(250, 5e-4)),
    "thurber-1": (THURBER, vector(1000, 1000, 400, 40, 0.7, 0.3, 0.03)),
    "thurber-2": (THURBER, vector(1300, 1500, 500, 75, 1, 0.4, 0.05)),
}


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("solver", ["cholesky", "qr"])
def test_certified_values(name: str, solver: str) -> None:
    (residual, x, y, parameters, squares), start = CASES[name]
    result = levenberg_marquardt(residual, start, samples=(x, y), solver=solver, cost_tolerance=0)
    assert result.converged
    assert torch.allclose(result.parameters, parameters, rtol=2e-8, atol=0)
    assert abs(2 * result.cost / squares - 1) < 1e-10


def network(seed: int = 0, width: int = 10, dtype: torch.dtype = F64) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype))
    return model


X = torch.linspace(-1, 1, 60, dtype=F64).unsqueeze(-1)
Y = torch.sin(2 * X)


def test_a_small_network_beyond_the_reach_of_gradient_methods() -> None:
    model = network()
    optimizer = LevenbergMarquardt(model)
    loss, steps = math.inf, 0
    while loss > 1e-12 and steps < 250:
        loss = 2 * optimizer.step(lambda x, y: model(x) - y, (X, Y)) / len(X)
        steps += 1
    assert loss <= 1e-12
    passes = (
        optimizer.evaluations + 2 * optimizer.jacobians
    )  # one residual for each sample: one backward pass
    assert passes < 900
    for make in (
        lambda p: torch.optim.Adam(p, lr=1e-2),
        lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0),
    ):
        peer, best, count = network(), math.inf, 0
        other = make(peer.parameters())

        def closure(peer: Any = peer, other: Any = other) -> Tensor:
            nonlocal best, count
            other.zero_grad()
            value = (peer(X) - Y).square().mean()
            value.backward()
            best, count = min(best, value.item()), count + 1
            return value

        while count < 900:
            other.step(closure)
        assert best > 1e4 * loss


def hidden(theta: Tensor, x: Tensor) -> Tensor:
    """Three residuals for each sample of a function of five parameters."""
    a = torch.tanh(x * theta[0] + theta[1])
    return torch.stack([a * theta[2], a.square() - theta[3], torch.sin(theta[4] * x)], -1)


THETA = vector(0.3, -0.4, 1.2, 0.1, 0.8)


@pytest.mark.parametrize("mode", ["auto", "reverse", "forward"])
@pytest.mark.parametrize("memory", [1, 300, 1000, 2**20])
@pytest.mark.parametrize("sampled", [True, False])
def test_blocks_of_the_jacobian_make_up_the_whole(mode: str, memory: int, sampled: bool) -> None:
    x = torch.linspace(-1, 2, 13, dtype=F64)
    residual: Any = hidden if sampled else lambda theta: hidden(theta, x)
    samples = (x,) if sampled else ()
    shape = evaluate(residual, THETA, samples).shape
    parts = list(blocks(residual, THETA, samples, shape, mode, memory))
    whole = torch.autograd.functional.jacobian(lambda theta: hidden(theta, x).flatten(), THETA)
    assert torch.allclose(torch.cat([rows for rows, _ in parts]), whole, rtol=1e-13, atol=1e-14)
    assert torch.allclose(torch.cat([values for _, values in parts]), hidden(THETA, x).flatten(), rtol=1e-14)
    if sampled or mode == "reverse":
        largest = max(rows.numel() * rows.element_size() for rows, _ in parts)
        assert largest <= max(memory, 40 * (3 if sampled else 1))
        assert len(parts) == {1: 13 if sampled else 39, 300: 7 if sampled else 6, 1000: 2, 2**20: 1}[memory]


@pytest.mark.parametrize("kind", [NormalEquations, TriangularFactor])
@pytest.mark.parametrize("sizes", [[40], [3, 7, 30], [1] * 40, [4]])
def test_damped_steps_are_those_of_the_stacked_problem(kind: Any, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(1)
    jacobian = torch.randn(sum(sizes), 6, generator=generator, dtype=F64)
    right = torch.randn(sum(sizes), generator=generator, dtype=F64)
    system = kind(6, jacobian.device)
    for rows, entries in zip(jacobian.split(sizes), right.split(sizes), strict=True):
        system.add(rows, entries)
    stacked = torch.cat([jacobian, 0.3**0.5 * torch.eye(6, dtype=F64)])
    expected = torch.linalg.lstsq(stacked, -torch.cat([right, torch.zeros(6, dtype=F64)])).solution
    assert torch.allclose(system.solve(0.3), expected, rtol=1e-11)
    assert torch.allclose(system.gradient, jacobian.T @ right, rtol=1e-12)
    assert torch.allclose(system.squared_norms(), jacobian.square().sum(0), rtol=1e-12)


def test_qr_sees_directions_that_squaring_loses() -> None:
    jacobian = torch.diag(vector(1.0, 1e-9)) @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=F64)
    solution = vector(2.0, -3.0)
    errors = []
    for kind in (NormalEquations, TriangularFactor):
        system = kind(2, jacobian.device)
        system.add(jacobian, -jacobian @ solution)
        step = system.solve(1e-26)
        errors.append(math.inf if step is None else float((step - solution).abs().max()))
    assert errors[1] < 1e-5
    assert errors[0] > 1e-2


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
def test_parameters_that_cannot_be_told_apart_take_the_shortest_way(solver: str) -> None:
    """Only a + b matters, and c not at all: the step along (1, 1, 0) is the shortest."""
    t = torch.linspace(0, 1, 9, dtype=F64)
    result = levenberg_marquardt(
        lambda v: torch.exp(-(v[0] + v[1]) * t) - torch.exp(-3 * t) + 0 * v[2],
        vector(0.5, 0.1, 7.0),
        solver=solver,
    )
    assert result.cost < 1e-28
    assert torch.allclose(result.parameters, vector(1.7, 1.3, 7.0), rtol=1e-9)


def test_named_parameters_and_the_form_of_the_result() -> None:
    model = network(1, 4)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}

    def residual(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return torch.func.functional_call(model, parameters, (x,)) - y

    result = levenberg_marquardt(residual, start, samples=(X, Y), max_evaluations=30)
    assert (result.status, result.evaluations, result.converged) == ("evaluations", 30, False)
    assert {name: p.shape for name, p in result.parameters.items()} == {n: p.shape for n, p in start.items()}
    there = residual(dict(result.parameters), X, Y)
    assert torch.equal(result.residual, there)
    assert result.cost == pytest.approx(0.5 * float(there.square().sum()), rel=1e-14)
    assert all(torch.equal(p, start[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("jacobian", ["forward", "reverse"])
def test_three_ways_to_say_the_same(jacobian: str) -> None:
    """A function with samples, a module without, loose parameters: the same steps but for rounding."""
    costs = []
    model = network(2, 4)
    optimizer = LevenbergMarquardt(model, jacobian=jacobian)
    costs.append([optimizer.step(lambda x, y: model(x) - y, (X, Y)) for _ in range(12)])
    second = network(2, 4)
    optimizer = LevenbergMarquardt(second, jacobian=jacobian)
    costs.append([optimizer.step(lambda: second(X) - Y) for _ in range(12)])
    third = network(2, 4)
    optimizer = LevenbergMarquardt(third.parameters(), jacobian=jacobian, memory=2000)
    costs.append([optimizer.step(lambda: third(X) - Y) for _ in range(12)])
    assert costs[0] == sorted(costs[0], reverse=True)
    last = optimizer.last
    assert last is not None
    assert last.cost == costs[2][-1]
    assert last.new_cost == pytest.approx(0.5 * (third(X) - Y).detach().square().sum().item(), rel=1e-12)
    assert costs[1] == pytest.approx(costs[0], rel=1e-6)
    assert costs[2] == pytest.approx(costs[0], rel=1e-6)


def test_the_damping_follows_the_gain_ratio() -> None:
    """One parameter, r = exp(x): every number of the first two steps by hand."""
    x = torch.zeros(1, dtype=F64, requires_grad=True)
    optimizer = LevenbergMarquardt([x], damping=0.5)
    assert optimizer.step(lambda: torch.exp(x)) == 0.5
    step = -1 / 1.5
    promised = 0.5 * (0.5 * step**2 - step)
    ratio = (0.5 - 0.5 * math.exp(2 * step)) / promised
    assert x.item() == pytest.approx(step, rel=1e-15)
    assert optimizer.damping == pytest.approx(0.5 * max(1 / 3, 1 - (2 * ratio - 1) ** 3), rel=1e-14)
    rejecting = LevenbergMarquardt([x], damping=1e-3)
    with torch.no_grad():
        x.fill_(2.0)
    seen: list[float] = []

    def closure() -> Tensor:
        seen.append(float(x.detach()))
        return torch.atan(x)

    rejecting.step(closure)
    # at 2 the slope is 1/5: undamped steps overshoot to where |atan| is larger, until lambda has grown enough
    slope, value = 0.2, math.atan(2.0)
    damping, expected = 1e-3, []
    for power in (2, 4, 8, 16):
        expected.append(2.0 - slope * value / (slope**2 + damping))
        if abs(math.atan(expected[-1])) < value:
            break
        damping *= power
    trials = [entry for entry in seen if entry != 2.0]
    assert trials == pytest.approx(expected, rel=1e-12)
    assert len(trials) >= 2


@pytest.mark.parametrize("damping", [1e9, 1e15, 1e16])
def test_steps_short_for_their_damping_alone_do_not_end_a_run(damping: float) -> None:
    result = levenberg_marquardt(rosenbrock, vector(-1.2, 1.0), damping=damping)
    assert result.converged
    assert result.cost < 1e-28


def test_a_share_of_the_step() -> None:
    models = [network(4, 3), network(4, 3)]
    moves = []
    for model, rate in zip(models, (1.0, 0.25), strict=True):
        before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
        optimizer = LevenbergMarquardt(model, lr=rate, damping=10.0)
        optimizer.step(lambda x, y, model=model: model(x) - y, (X, Y))
        moves.append(torch.cat([p.detach().flatten() for p in model.parameters()]) - before)
    assert torch.allclose(moves[1], 0.25 * moves[0], rtol=1e-10)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step(lambda x, y: models[1](x) - y, (X, Y))
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_float32_stops_at_its_rounding() -> None:
    model = network(0, 6, torch.float32)
    optimizer = LevenbergMarquardt(model)
    for _ in range(100):
        cost = optimizer.step(lambda x, y: model(x) - y, (X.float(), Y.float()))
        if optimizer.status:
            break
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert 1e-13 < cost < 1e-4


def test_frozen_and_shared_parameters() -> None:
    model = network(6, 4)
    bias = model[0].get_parameter("bias").requires_grad_(False)
    frozen = bias.clone()
    twice: Any = nn.ModuleDict({"a": model, "b": model})
    optimizer = LevenbergMarquardt(twice)
    first = optimizer.step(lambda x, y: twice["a"](x) + twice["b"](x) - y, (X, Y))
    for _ in range(5):
        last = optimizer.step(lambda x, y: twice["a"](x) + twice["b"](x) - y, (X, Y))
    assert last < 0.2 * first
    assert torch.equal(bias, frozen)
    assert isinstance(model[0].weight, nn.Parameter)
    tied = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)).double()
    tied[1].weight = tied[0].weight
    of_tied = LevenbergMarquardt(tied)
    while not of_tied.status:
        of_tied.step(lambda x, y: tied(x) - y, (X, 4 * X))
    assert tied[1].get_parameter("weight").abs().item() == pytest.approx(2, rel=1e-12)
    alone = network(6, 4)
    alone[0].get_parameter("bias").requires_grad_(False)
    peer = LevenbergMarquardt(alone)
    assert peer.step(lambda x, y: 2 * alone(x) - y, (X, Y)) == pytest.approx(first, rel=1e-13)


def test_a_parametrized_weight_stays_orthogonal() -> None:
    generator = torch.Generator().manual_seed(2)
    layer = nn.Linear(3, 3, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3, dtype=F64))
    nn.utils.parametrizations.orthogonal(layer, orthogonal_map="cayley")
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.6, 0.2], [0.6, 0, 0.4], [-0.2, -0.4, 0]], dtype=F64))
    x = torch.randn(8, 3, generator=generator, dtype=F64)
    optimizer = LevenbergMarquardt(layer)
    while not optimizer.status:
        optimizer.step(lambda x, y: layer(x) - y, (x, x @ turn.T))
    assert torch.allclose(layer.weight, turn, atol=1e-12)


def continued(optimizer: LevenbergMarquardt, model: nn.Module, steps: int) -> list[float]:
    return [optimizer.step(lambda x, y: model(x) - y, (X, Y)) for _ in range(steps)]


def test_a_run_goes_on_from_its_state_bit_for_bit() -> None:
    model = network(7, 5)
    optimizer = LevenbergMarquardt(model, damping=0.1)
    continued(optimizer, model, 6)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "model": model.state_dict()}, file)
    model_copy, optimizer_copy = copy.deepcopy((model, optimizer))
    model_pickled, optimizer_pickled = pickle.loads(pickle.dumps((model, optimizer)))
    whole = continued(optimizer, model, 6)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = network(8, 5)
    fresh = LevenbergMarquardt(other)
    other.load_state_dict(saved["model"])
    fresh.load_state_dict(saved["optimizer"])
    assert continued(fresh, other, 6) == whole
    assert continued(optimizer_copy, model_copy, 6) == whole
    assert continued(optimizer_pickled, model_pickled, 6) == whole
    for p, q, r in zip(model.parameters(), other.parameters(), model_copy.parameters(), strict=True):
        assert torch.equal(p, q)
        assert torch.equal(p, r)
    assert fresh.state_dict() == optimizer.state_dict()
    assert fresh.status == optimizer.status == ""


def test_hooks_and_schedulers_see_its_steps() -> None:
    model = network(4, 3)
    optimizer = LevenbergMarquardt(model)
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    continued(optimizer, model, 2)
    assert calls == ["before", "after"] * 2


def test_the_status_survives_saving() -> None:
    x = vector(3.0).requires_grad_()
    optimizer = LevenbergMarquardt([x])
    while not optimizer.status:
        optimizer.step(lambda: 2 * x)
    other = LevenbergMarquardt([x])
    assert other.status == ""
    other.load_state_dict(optimizer.state_dict())
    assert other.status == optimizer.status


def test_a_trial_without_residuals_is_a_rejected_step() -> None:
    """r = log(x) - 5 from a start whose first step leaves the domain; also where the closure raises."""
    for raises in (False, True):

        def residual(x: Tensor, raises: bool = raises) -> Tensor:
            if raises and not torch._C._functorch.is_functorch_wrapped_tensor(x) and float(x.detach()) <= 0:
                raise ArithmeticError("outside")
            return torch.log(x) - 5

        result = levenberg_marquardt(residual, vector(700.0), damping=1e-12)
        assert result.cost < 1e-28
        assert float(result.parameters) == pytest.approx(math.exp(5), rel=1e-14)


def test_what_is_not_finite_at_the_start_is_named_and_changes_nothing() -> None:
    with pytest.raises(NonFiniteResidualError, match="1 of 2 residuals are not finite"):
        levenberg_marquardt(lambda x: torch.log(x), vector(-1.0, 2.0))
    with pytest.raises(NonFiniteResidualError, match="Jacobian is not finite"):
        levenberg_marquardt(lambda x: torch.sqrt(x) - 1, vector(0.0))
    with pytest.raises(NonFiniteResidualError, match="overflows"):
        levenberg_marquardt(lambda x: 1e200 * x, vector(1.0))
    model = network(1, 4)
    optimizer = LevenbergMarquardt(model)
    continued(optimizer, model, 3)
    state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    with pytest.raises(NonFiniteResidualError):
        optimizer.step(lambda x, y: model(x) - y / 0, (X, Y))
    with pytest.raises(KeyError):
        optimizer.step(lambda x, y: model(x) - {"y": y}["z"], (X, Y))
    loose = LevenbergMarquardt(model.parameters())
    calls = 0

    def dies_late() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyError("late")
        return model(X) - Y

    with pytest.raises(KeyError, match="late"):
        loose.step(dies_late)
    assert optimizer.state_dict()["state"] == state["state"]
    assert all(torch.equal(p, weights[name]) for name, p in model.state_dict().items())
    assert not loose.state


def test_the_jacobian_may_fail_on_the_way() -> None:
    result = levenberg_marquardt(
        lambda x: torch.sqrt((x - 1).clamp_min(0)) + (x - 1).abs() * 3, vector(2.0), damping=1e-9
    )
    assert result.status in ("jacobian", "gradient", "step", "cost", "damping")
    assert math.isfinite(result.cost)


number: Any = lambda x: 1.0  # noqa: E731

WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no tensor": (
        lambda: levenberg_marquardt(number, vector(1.0)),
        TypeError,
        "real residuals, got float",
    ),
    "integers": (
        lambda: levenberg_marquardt(lambda x: torch.ones(2, dtype=torch.int64), vector(1.0)),
        TypeError,
        "int64",
    ),
    "empty": (lambda: levenberg_marquardt(lambda x: x[:0], vector(1.0)), ValueError, "at least one residual"),
    "summed": (
        lambda: levenberg_marquardt(lambda b, x: (b * x).sum(), vector(1.0), samples=(X,)),
        ValueError,
        r"shape \(60, ...\), got \(\); do not sum",
    ),
    "mixed samples": (
        lambda: levenberg_marquardt(lambda b, x: b * (x - x.mean()), vector(1.0), samples=(X**3 + X**2,)),
        ValueError,
        "change with the other samples",
    ),
    "unequal samples": (
        lambda: levenberg_marquardt(lambda b, x, y: b * x, vector(1.0), samples=(X, Y[:5])),
        ValueError,
        r"samples: .* got shapes \[\(60, 1\), \(5, 1\)\]",
    ),
    "independent": (
        lambda: levenberg_marquardt(lambda x: torch.ones(3, dtype=F64), vector(1.0)),
        ValueError,
        "does not depend",
    ),
    "half": (lambda: levenberg_marquardt(lambda x: x, torch.ones(1).half()), TypeError, "float16"),
    "complex": (lambda: LevenbergMarquardt([torch.ones(1, dtype=torch.complex128)]), TypeError, "complex128"),
    "mixed": (lambda: LevenbergMarquardt([torch.ones(1), vector(1.0)]), TypeError, "float32 .*float64"),
    "nothing": (lambda: levenberg_marquardt(lambda x: x, vector()), ValueError, "at least one entry"),
    "frozen": (lambda: LevenbergMarquardt(nn.Tanh()), ValueError, "no parameter with requires_grad"),
    "groups": (
        lambda: LevenbergMarquardt([{"params": [vector(1.0)]}, {"params": [vector(2.0)]}]),
        ValueError,
        "one group",
    ),
    "sparse": (lambda: LevenbergMarquardt([torch.eye(2).to_sparse()]), TypeError, "got a sparse one"),
    "manifold": (
        lambda: LevenbergMarquardt([ManifoldParameter(lie.SO3, torch.eye(3))]),
        TypeError,
        "off lie.SO3; make it a torch parametrization",
    ),
    "other state": (
        lambda: LevenbergMarquardt([X]).load_state_dict(torch.optim.Adam([X]).state_dict()),
        ValueError,
        "expected that of a LevenbergMarquardt",
    ),
    "more parameters": (
        lambda: LevenbergMarquardt([X]).load_state_dict(LevenbergMarquardt([X, Y]).state_dict()),
        ValueError,
        "size of optimizer's group",
    ),
    "damping": (lambda: LevenbergMarquardt([vector(1.0)], damping=0.0), ValueError, "damping: .* got 0.0"),
    "relative": (
        lambda: LevenbergMarquardt([vector(1.0)], relative_damping=-1),
        ValueError,
        "relative_damping",
    ),
    "decrease": (lambda: LevenbergMarquardt([vector(1.0)], decrease=1.5), ValueError, "decrease: .* got 1.5"),
    "increase": (lambda: LevenbergMarquardt([vector(1.0)], increase=1.0), ValueError, "increase: .* got 1.0"),
    "solver": (
        lambda: LevenbergMarquardt([vector(1.0)], solver="lu"),
        ValueError,
        "solver: .*'cholesky', 'qr'",
    ),
    "jacobian": (
        lambda: LevenbergMarquardt([vector(1.0)], jacobian="full"),
        ValueError,
        "jacobian: .*'full'",
    ),
    "memory": (lambda: LevenbergMarquardt([vector(1.0)], memory=0), ValueError, "memory: .* got 0"),
    "tolerance": (
        lambda: levenberg_marquardt(lambda x: x, vector(1.0), step_tolerance=2.0),
        ValueError,
        "step_tolerance",
    ),
    "lr": (lambda: LevenbergMarquardt([vector(1.0)], lr=3.0), ValueError, "lr: .* got 3.0"),
    "evaluations": (
        lambda: levenberg_marquardt(lambda x: x, vector(1.0), max_evaluations=1),
        ValueError,
        "max_evaluations",
    ),
    "closure": (lambda: LevenbergMarquardt([vector(1.0)]).step(None), TypeError, "closure"),  # type: ignore[arg-type]
    "loose samples": (
        lambda: LevenbergMarquardt([vector(1.0)]).step(lambda x: x, (X,)),
        ValueError,
        "need an optimizer of a module",
    ),
    "no graph": (
        lambda: LevenbergMarquardt([vector(1.0).requires_grad_()]).step(lambda: X),
        ValueError,
        "do not depend",
    ),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_input_is_named(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()


def test_parameters_given_twice_or_taken_from_the_module() -> None:
    p = vector(1.0).requires_grad_()
    with pytest.warns(UserWarning, match="duplicate"), pytest.raises(ValueError, match="twice"):
        LevenbergMarquardt([p, p])
    model = network(0, 3)
    optimizer = LevenbergMarquardt(model)
    model[0] = nn.Linear(1, 3).double()
    with pytest.raises(ValueError, match="no longer holds"):
        optimizer.step(lambda x, y: model(x) - y, (X, Y))
