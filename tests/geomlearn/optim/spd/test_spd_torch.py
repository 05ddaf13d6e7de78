"""The optimizer among torch's: checkpoints, copies, options, scalers, graphs, bad input."""

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

import lie
from geomlearn.optim import (
    BregmanSLC,
    ManifoldParameter,
    RiemannianAdam,
    RiemannianSGD,
    SPDMomentum,
    bregman_start,
)
from geomlearn.training import make_optimizer

from ._cases import descend, log_det, manifold, spectrum, start

KINDS = ("all", "lower", "hierarchical", "lower_toeplitz", "band")
MAKERS: dict[str, Callable[..., Any]] = {
    "plain": lambda p, **o: SPDMomentum(p, lr=0.05, **o),
    "restarted": lambda p, **o: SPDMomentum(p, lr=0.05, restart=True, **o),
    "by-the-value": lambda p, **o: SPDMomentum(p, lr=0.05, restart="function", **o),
    "without-momentum": lambda p, **o: SPDMomentum(p, lr=0.05, momentum=0.0, **o),
}


class Mixture(nn.Module):
    """A batch of matrices of each structure, and a vector."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.curved = nn.ParameterList(
            ManifoldParameter(manifold(kind), start(manifold(kind), 2).to(dtype)) for kind in KINDS
        )
        self.flat = nn.Parameter(torch.linspace(-1, 1, 3, dtype=dtype))

    def forward(self) -> Tensor:
        Q = spectrum(5, 10).to(self.flat)
        terms = [log_det(Q)(tau) for tau in self.curved]
        return torch.stack([*terms, ((self.flat - 2) ** 2).sum()]).sum()


def train(model: Mixture, optimizer: Any, steps: int) -> list[float]:
    return descend(optimizer, list(model.parameters()), model, steps)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_structures_and_vectors_resume_bit_for_bit_and_copy(name: str) -> None:
    straight, halted = Mixture(), Mixture()
    values = train(straight, MAKERS[name](straight.parameters()), 22)
    assert values[-1] < values[0] - 5
    optimizer = MAKERS[name](halted.parameters())
    train(halted, optimizer, 10)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    for layer in (halted, copy.deepcopy(halted), pickle.loads(pickle.dumps(halted))):
        file.seek(0)
        resumed = MAKERS[name](layer.parameters())
        resumed.load_state_dict(torch.load(file, weights_only=True))
        train(layer, resumed, 12)
        assert same(straight, layer)
    both = copy.deepcopy((halted, resumed))
    assert repr(both[1]) == repr(resumed)


@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)
def test_an_optimizer_copied_with_its_model_goes_on(copier: Any) -> None:
    model = Mixture()
    optimizer = MAKERS["restarted"](model.parameters())
    train(model, optimizer, 5)
    other, twin = copier((model, optimizer))
    assert {id(p) for g in twin.param_groups for p in g["params"]} == {id(p) for p in other.parameters()}
    train(model, optimizer, 5)
    train(other, twin, 5)
    assert same(model, other)
    assert twin.param_groups[0]["restarts"] == optimizer.param_groups[0]["restarts"]


@pytest.mark.parametrize("name", MAKERS)
def test_a_capturable_step_is_the_step_in_the_same_memory(name: str) -> None:
    plain, other = Mixture(), Mixture()
    one = MAKERS[name](plain.parameters())
    train(plain, one, 12)
    optimizer = MAKERS[name](other.parameters(), capturable=True)
    train(other, optimizer, 2)
    kept = [entry for x in other.curved for entry in optimizer.state[x].values()]
    train(other, optimizer, 10)
    again = [entry for x in other.curved for entry in optimizer.state[x].values()]
    assert len(kept) == (5 if name == "without-momentum" else 10)
    assert all(a is b for a, b in zip(kept, again, strict=True))
    for x, y in zip(plain.parameters(), other.parameters()):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-12)
    assert int(optimizer.param_groups[0]["restarts"]) == one.param_groups[0]["restarts"]


def test_a_compiled_step_is_the_step() -> None:
    eager, compiled = Mixture(), Mixture()
    one, other = (MAKERS["plain"]([*m.curved[:2], m.flat]) for m in (eager, compiled))
    step = torch.compile(other.step, backend="aot_eager")
    for _ in range(4):
        for model, act in ((eager, one.step), (compiled, step)):
            model.zero_grad()
            model().backward()
            act()
    for x, y in zip(eager.parameters(), compiled.parameters()):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)


def test_schedulers_and_tensor_rates_reach_the_steps() -> None:
    Q, tau = spectrum(4, 10), torch.eye(4).double()
    x, y = (ManifoldParameter(lie.SPD(4), tau) for _ in range(2))
    scheduled = SPDMomentum([x], lr=torch.tensor(0.2), momentum=0.5)
    by_hand = SPDMomentum([y], lr=0.2, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(scheduled, 0.8)
    for k in range(8):
        by_hand.param_groups[0]["lr"] = float(torch.tensor(0.2) * 0.8**k)
        for p, optimizer in ((x, scheduled), (y, by_hand)):
            descend(optimizer, [p], lambda p=p: log_det(Q)(p), 1)  # type: ignore[misc]
        scheduler.step()
    torch.testing.assert_close(x.detach(), y.detach(), rtol=1e-6, atol=1e-7)


def test_vectors_in_a_group_are_stepped_as_torch_does() -> None:
    """Complex and bfloat16 ones too, beside SPD matrices; the SPD matrices do not feel them."""
    shapes = (torch.float64, torch.bfloat16, torch.complex128)
    for foreach in (False, True):
        ours, theirs = ([torch.ones(3, dtype=t).requires_grad_() for t in shapes] for _ in range(2))
        x, alone = (ManifoldParameter(lie.SPD(2), torch.eye(2)) for _ in range(2))
        options: dict[str, Any] = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.05, "foreach": foreach}
        mixed, torchs = SPDMomentum([*ours, x], **options), torch.optim.SGD(theirs, **options)
        lone = SPDMomentum([alone], **options)
        for k in range(6):
            for p, q in zip(ours, theirs, strict=True):
                p.grad, q.grad = (torch.cos(k + r.detach()) for r in (p, q))
            x.grad = alone.grad = torch.diag(torch.tensor([1.0, -0.5]))
            for optimizer in (mixed, torchs, lone):
                optimizer.step()
        assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
        assert torch.equal(x, alone)


def test_a_gradient_scaler_skips_steps() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaled, plain = Mixture(), Mixture()
    one, other = (MAKERS["plain"](m.parameters()) for m in (scaled, plain))
    for k in range(5):
        one.zero_grad()
        scaler.scale(scaled() * (float("inf") if k == 2 else 1)).backward()
        scaler.step(one)
        scaler.update()
        if k != 2:
            train(plain, other, 1)
    for x, y in zip(scaled.parameters(), plain.parameters()):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


def test_autocast_does_not_reach_the_step() -> None:
    ends = []
    for enabled in (False, True):
        x = ManifoldParameter(lie.SPD(5, structure="lower"), start(manifold("lower")).float())
        optimizer = SPDMomentum([x], lr=0.1)
        for _ in range(3):
            x.grad = start(lie.SPD(5), seed=3).float()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                optimizer.step()
        ends.append(x.detach())
    assert torch.equal(*ends)


def test_differentiable_steps_are_for_vectors() -> None:
    x = ManifoldParameter(lie.SPD(2), torch.eye(2))
    with pytest.raises(ValueError, match=r"differentiable: a ManifoldParameter is a leaf.*spd_step"):
        SPDMomentum([x], differentiable=True)

    def slope(make: Callable[..., Any]) -> Tensor:
        factor = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        y = torch.linspace(0.5, 1.5, 3, dtype=torch.float64).requires_grad_().clone()
        optimizer = make([y], lr=0.1, momentum=0.7, differentiable=True, foreach=False)
        for _ in range(3):
            y.grad = factor * y.clone()
            optimizer.step()
        return torch.autograd.grad(y.sum(), factor)[0]

    torch.testing.assert_close(slope(SPDMomentum), slope(torch.optim.SGD))
    restarted = slope(lambda p, **o: SPDMomentum(p, restart=True, **o))
    torch.testing.assert_close(restarted, slope(torch.optim.SGD))  # nothing went uphill


# Parameters that others write to


def test_a_parameter_that_was_written_to_is_factored_anew_at_rest() -> None:
    """Else the step would start from the old matrix without a word."""
    M, Q = manifold("lower"), spectrum(5, 10)
    x = ManifoldParameter(M, start(M))
    optimizer = SPDMomentum([x], lr=0.1)
    descend(optimizer, [x], lambda: log_det(Q)(x), 5)
    for how in ("copy", "data", "module"):
        if how == "copy":
            with torch.no_grad():
                x.copy_(start(M, seed=7))
        elif how == "data":
            x.data = start(M, seed=7)
        else:
            module = nn.ParameterList([x])
            module.load_state_dict({"0": start(M, seed=7)})
        fresh = ManifoldParameter(M, start(M, seed=7))
        descend(optimizer, [x], lambda: log_det(Q)(x), 3)
        descend(SPDMomentum([fresh], lr=0.1), [fresh], lambda: log_det(Q)(fresh), 3)  # noqa: B023
        torch.testing.assert_close(x.detach(), fresh.detach(), rtol=1e-12, atol=1e-13)
    with torch.no_grad():
        x.neg_()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="not symmetric positive definite"):
        optimizer.step()
    for key, entry in optimizer.state_dict()["state"][0].items():
        assert torch.equal(entry, before["state"][0][key])


def test_a_module_that_changes_its_dtype_goes_on() -> None:
    """From float32 to float64, with its momentum."""
    model, plain = Mixture(torch.float32), Mixture()
    one, other = (MAKERS["plain"](m.parameters()) for m in (model, plain))
    train(model, one, 5)
    model.double()
    assert all(isinstance(x, ManifoldParameter) and x.dtype == torch.float64 for x in model.curved)
    train(model, one, 5)
    train(plain, other, 10)
    assert one.state[model.curved[0]]["factor"].dtype == torch.float64
    for x, y in zip(model.curved, plain.curved):
        torch.testing.assert_close(x, y, rtol=2e-4, atol=2e-4)
    without = copy.deepcopy(plain)
    train(without, MAKERS["plain"](without.parameters()), 1)  # at rest it would go elsewhere
    train(plain, other, 1)
    assert not torch.allclose(plain.curved[0], without.curved[0], atol=2e-3)


# Refusals


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_infinite_gradients_leave_everything_as_it_is(bad: float) -> None:
    model = Mixture()
    optimizer = MAKERS["restarted"](model.parameters())
    train(model, optimizer, 3)
    before, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    for x in model.curved:
        model.zero_grad()
        model().backward()
        x.grad[0, 1, 2] = bad
        with pytest.raises(RuntimeError, match="infinite or NaN; parameters and state were left"):
            optimizer.step()
        assert same(model, before)
    now = optimizer.state_dict()
    assert now["param_groups"] == state["param_groups"]
    for key, entries in state["state"].items():
        assert all(torch.equal(entry, now["state"][key][name]) for name, entry in entries.items())


def test_a_step_that_overflows_is_refused_as_that() -> None:
    x = ManifoldParameter(lie.SPD(2), torch.eye(2))
    optimizer = SPDMomentum([x], lr=1e20)
    x.grad = 1e30 * torch.eye(2)
    with pytest.raises(RuntimeError, match="the step overflows; parameters and state were left"):
        optimizer.step()
    assert torch.equal(x, torch.eye(2))
    assert not optimizer.state


def test_sparse_gradients_are_refused() -> None:
    x = ManifoldParameter(lie.SPD(2), torch.eye(2))
    x.grad = torch.eye(2).to_sparse()
    with pytest.raises(RuntimeError, match="SPDMomentum does not take sparse gradients"):
        SPDMomentum([x]).step()


def test_the_function_restart_needs_a_closure() -> None:
    x = ManifoldParameter(lie.SPD(2), torch.eye(2))
    x.grad = torch.eye(2)
    with pytest.raises(ValueError, match=r"restart: 'function' compares losses and needs a closure"):
        SPDMomentum([x], restart="function").step()


def test_states_of_other_shapes_are_refused_and_nothing_is_loaded() -> None:
    for momentum in (0.9, 0.0):
        small, large = (ManifoldParameter(lie.SPD(n), torch.eye(n)) for n in (2, 3))
        donor, taker = (SPDMomentum([x], momentum=momentum) for x in (small, large))
        small.grad, large.grad = torch.eye(2), torch.eye(3)
        donor.step()
        taker.step()
        before = copy.deepcopy(taker.state_dict()["state"])
        with pytest.raises(
            ValueError, match=r"factor of parameter 0 has shape \(2, 2\), the parameter needs \(3, 3\)"
        ):
            taker.load_state_dict(donor.state_dict())
        assert torch.equal(taker.state[large]["factor"], before[0]["factor"])


def test_a_state_of_another_structure_is_not_taken_for_its_own() -> None:
    """Its factor belongs to the matrix but not to the pattern; the matrix is factored anew."""
    tau, Q = start(manifold("lower")), spectrum(5, 10)
    x, y, fresh = (ManifoldParameter(manifold(kind), tau) for kind in ("all", "lower", "lower"))
    donor, taker = SPDMomentum([x], lr=0.1), SPDMomentum([y], lr=0.1)
    descend(donor, [x], lambda: log_det(Q)(x), 4)
    with torch.no_grad():
        y.copy_(x)
        fresh.copy_(x)
    taker.load_state_dict(donor.state_dict())
    for p, optimizer in ((y, taker), (fresh, SPDMomentum([fresh], lr=0.1))):
        descend(optimizer, [p], lambda p=p: log_det(Q)(p), 3)  # type: ignore[misc]
    torch.testing.assert_close(y.detach(), fresh.detach(), rtol=1e-12, atol=1e-13)


def test_matrices_that_a_structure_cannot_reach_are_no_parameters() -> None:
    full = start(lie.SPD(4))
    with pytest.raises(ValueError, match="tau has no factor in diagonal"):
        ManifoldParameter(lie.SPD(4, structure="diagonal"), full)
    for kind in ("lower", "circulant"):
        with pytest.raises(ValueError, match=r"tau\[1\] is not symmetric positive definite"):
            ManifoldParameter(lie.SPD(4, structure=kind), torch.stack((torch.eye(4), -torch.eye(4))))
        with pytest.raises(ValueError, match="name must be one of 'full'"):
            ManifoldParameter(lie.SPD(4, structure=kind + "s"), full)
        with pytest.raises(ValueError, match=r"tau must be .* matrices of shape \(\.\.\., 4, 4\)"):
            ManifoldParameter(lie.SPD(4, structure=kind), torch.eye(3))
    with pytest.raises(ValueError, match="tau"):
        ManifoldParameter(lie.SPD(4, structure="lower"), full + torch.triu(torch.ones(4, 4), 1))
    with pytest.raises(TypeError, match="float32 or float64"):
        ManifoldParameter(lie.SPD(4, structure="lower"), torch.eye(4, dtype=torch.bfloat16))


@pytest.mark.parametrize("kind", [BregmanSLC, RiemannianSGD, RiemannianAdam])
def test_other_optimizers_name_the_one_for_structures(kind: Any) -> None:
    x = ManifoldParameter(lie.SPD(3, structure="lower"), torch.eye(3))
    with pytest.raises(ValueError, match=r"on lie\.SPD\(3, structure=\"lower\"\) is moved.*SPDMomentum"):
        kind([x])
    optimizer = kind([torch.zeros(2, requires_grad=True)])
    with pytest.raises(ValueError, match="SPDMomentum"):
        optimizer.add_param_group({"params": [x]})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="SPDMomentum"):
        bregman_start(torch.eye(3), x.manifold)  # type: ignore[arg-type]


def test_other_manifolds_are_refused_by_name() -> None:
    x = ManifoldParameter(lie.Sphere(3), torch.eye(3)[0])
    with pytest.raises(
        ValueError, match=r"SPDMomentum moves SPD matrices.*lie\.Sphere\(3\); give it to Riem"
    ):
        SPDMomentum([x])
    optimizer = SPDMomentum([torch.zeros(2, requires_grad=True)])
    with pytest.raises(ValueError, match="SPDMomentum moves SPD matrices"):
        optimizer.add_param_group({"params": [x]})
    assert len(optimizer.param_groups) == 1


def test_fit_knows_the_name_and_for_whom() -> None:
    model = Mixture()
    optimizer = make_optimizer("spd-momentum", model, lr=0.3, weight_decay=0.25)
    assert type(optimizer) is SPDMomentum
    assert optimizer.param_groups[0]["lr"] == 0.3
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    for name in ("adam", "sgd"):
        with pytest.raises(ValueError, match=r"would move curved.1 off .* take one of \['spd-momentum'\]"):
            make_optimizer(name, _only(model, 1))
        with pytest.raises(ValueError, match=r"take one of \['bravo', .*'spd-momentum'\]"):
            make_optimizer(name, model)
    with pytest.raises(ValueError, match="SPDMomentum"):
        make_optimizer("riemannian-adam", model)


def _only(model: Mixture, index: int) -> Mixture:
    other = copy.deepcopy(model)
    for k, x in enumerate(other.curved):
        x.requires_grad_(k == index)
    return other


def test_a_state_without_later_options_loads() -> None:
    model = Mixture()
    optimizer = MAKERS["plain"](model.parameters())
    train(model, optimizer, 2)
    old = copy.deepcopy(optimizer.state_dict())
    for group in old["param_groups"]:
        for key in ("restart", "inverse", "restarts", "value", "capturable"):
            del group[key]
    optimizer.load_state_dict(old)
    train(model, optimizer, 1)
    assert optimizer.param_groups[0]["restarts"] == 0
