"""What fused groups accept, refuse and leave to torch."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from integrators import RigidBodyIntegrator, fused
from integrators._fused import _launch
from integrators._fused._kernel import Kernel
from lie import SE3, SO2, SO3, LieGroup, UnitQuaternion

from ._interpreted_loops import interpreted

F = fused(SE3)
GROUPS = pytest.mark.parametrize("group", [SO3, SE3, UnitQuaternion], ids=str)


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions whose loops were run."""
    called: list[str] = []

    def run(kernel: Kernel, dtype: torch.dtype) -> Callable[..., int]:
        called.append(kernel.function.__name__)
        return interpreted(kernel, dtype)

    monkeypatch.setattr(Kernel, "run", run)
    return called


def tangents(*batch: int, dtype: torch.dtype = torch.float64, group: LieGroup = SE3) -> Tensor:
    generator = torch.Generator().manual_seed(len(batch))
    return torch.randn(*batch, group.dim, generator=generator, dtype=torch.float64).to(dtype)


def motions(*batch: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return SE3.exp(tangents(*batch, dtype=dtype))


def close(got: Tensor, expected: Tensor) -> bool:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    return bool(((got - expected).abs() <= 64 * torch.finfo(got.dtype).eps * (1 + expected.abs())).all())


@GROUPS
def test_a_fused_group_is_the_group(group: LieGroup) -> None:
    own = fused(group)
    assert isinstance(own, type(group))
    assert own == group
    assert group == own
    assert hash(own) == hash(group)
    assert own != SO2
    assert own.name == group.name
    assert repr(own) == f"integrators.fused({group!r})"
    assert fused(own) is own
    assert fused(group) is own
    assert copy.deepcopy(own) is own
    assert pickle.loads(pickle.dumps(own)) is own


def test_other_groups_are_refused() -> None:
    with pytest.raises(ValueError, match=r"group must be lie.SO3.*got lie.SO2"):
        fused(SO2)


@pytest.mark.parametrize(
    ("left", "right"),
    [((), ()), ((), (4,)), ((5,), ()), ((3, 1), (4,)), ((2, 1, 3), (5, 1)), ((0,), (1,)), ((2, 0, 3), (3,))],
    ids=str,
)
def test_leading_dimensions_broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = motions(*left).requires_grad_(), motions(*right).requires_grad_()
    p = torch.randn(*right, 3, dtype=torch.float64, requires_grad=True)
    for name, other in (("compose", b), ("act", p), ("minus", b)):
        got, expected = getattr(F, name)(a, other), getattr(SE3, name)(a, other)
        assert close(got, expected)
        weight = torch.ones_like(expected)
        mine = torch.autograd.grad(got, (a, other), weight)
        theirs = torch.autograd.grad(expected, (a, other), weight)
        for one, two, x in zip(mine, theirs, (a, other), strict=True):
            assert one.shape == x.shape
            assert close(one[..., :3, :], two[..., :3, :]) if x is not p else close(one, two)


def test_no_copy_of_the_memory_is_assumed(loops: list[str]) -> None:
    """Steps between entries, rows and elements, transposition, and three batch dimensions."""
    wide = torch.randn(4, 3, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    xi = wide.permute(2, 0, 1, 3)[..., ::2]
    assert close(F.exp(xi), SE3.exp(xi))
    g = SE3.exp(xi)
    turned = SO3.inverse(SE3.rotation(g)).transpose(0, 1)
    assert close(fused(SO3).log(turned), SO3.log(turned))
    slope = torch.autograd.functional.vjp(F.exp, xi, torch.ones(1, dtype=torch.float64).expand(g.shape))[1]
    assert close(slope, torch.autograd.functional.vjp(SE3.exp, xi, torch.ones_like(g))[1])
    assert {"se3_exp_checked", "so3_log_checked", "se3_exp_vjp"} <= set(loops)


@pytest.mark.parametrize("first", [torch.float32, torch.float64])
def test_mixed_dtypes_promote(first: torch.dtype) -> None:
    second = torch.float64 if first == torch.float32 else torch.float32
    g, xi = motions(3, dtype=first).requires_grad_(), tangents(3, dtype=second).requires_grad_()
    got = F.plus(g, xi)
    assert got.dtype == torch.float64
    assert close(got, SE3.plus(g.double(), xi.double()))
    slopes = torch.autograd.grad(got.sum(), (g, xi))
    assert [slope.dtype for slope in slopes] == [first, second]


def test_lazily_negated_memory_is_left_to_torch(loops: list[str]) -> None:
    xi = torch.view_as_complex(tangents(4, 2).unflatten(-1, (3, 2))).conj().imag.flatten()[:6]
    xi = xi if xi.is_neg() else torch._neg_view(xi)
    assert close(F.exp(xi), SE3.exp(xi))
    assert not loops


def test_zeros_without_memory_are_left_to_torch(loops: list[str]) -> None:
    zero = torch._efficientzerotensor((2, 6), dtype=torch.float64)
    assert torch.equal(F.exp(zero), SE3.identity(2, dtype=torch.float64))
    assert not loops


@GROUPS
def test_strangers_are_refused_in_the_words_of_the_group(group: LieGroup) -> None:
    own = fused(group)
    good = group.exp(tangents(7, group=group))
    bad = good.clone()
    bad[5].view(-1)[0] += 0.5
    spoilt = good.clone()
    spoilt[2].view(-1)[3] = float("nan")
    for call in (
        lambda g: g.log(bad),
        lambda g: g.log(bad.requires_grad_()),
        lambda g: g.log(spoilt),
        lambda g: g.minus(bad, good),
        lambda g: g.minus(good, bad),
        lambda g: g.distance(good, spoilt),
        lambda g: g.distance(bad, good),
        lambda g: g.squared_distance(good, bad),
        lambda g: g.interpolate(spoilt, good, 0.5),
        lambda g: g.log(good[..., :2]),
        lambda g: g.exp(torch.zeros(2, 5)),
        lambda g: g.act(good, torch.zeros(2, 3)),
        lambda g: g.compose(good, good[:3]),
    ):
        with pytest.raises((ValueError, RuntimeError)) as expected:
            call(group)
        with pytest.raises(type(expected.value)) as got:
            call(own)
        assert str(got.value) == str(expected.value)
    with pytest.raises(TypeError, match="float32 or float64"):
        own.exp(torch.zeros(group.dim, dtype=torch.int64))


def test_small_drift_is_accepted_and_check_can_be_left_out() -> None:
    drifted = motions(3) + 2e-4
    assert close(F.log(drifted), SE3.log(drifted))
    stranger = 1.5 * motions(3)
    assert F.log(stranger, check=False).shape == (3, 6)


@GROUPS
def test_huge_angles_and_what_is_not_finite_are_left_to_torch(group: LieGroup) -> None:
    xi = tangents(5, group=group)
    xi[1] = 3e13
    xi[3, -1] = float("nan")
    got, expected = fused(group).exp(xi), group.exp(xi)
    assert torch.equal(got.isnan(), expected.isnan())
    assert torch.equal(got.nan_to_num(), expected.nan_to_num())
    x = xi[:3].requires_grad_()
    slope, true = (torch.autograd.grad(g.exp(x).sum(), x)[0] for g in (fused(group), group))
    assert torch.equal(slope, true)


def test_transforms_run_in_torch(loops: list[str]) -> None:
    xi = tangents(4)
    loops.clear()
    jacobian = torch.func.vmap(torch.func.jacrev(F.exp))(xi)
    assert close(jacobian, torch.func.vmap(torch.func.jacfwd(SE3.exp))(xi))
    ones = torch.ones_like(xi)
    value, slope = (torch.func.jvp(group.exp, (xi,), (ones,)) for group in (F, SE3))
    assert close(value[1], slope[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert F.compose(value[0], value[0]).dtype == torch.float64
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        assert F.exp(fake.from_tensor(xi)).shape == (4, 4, 4)
    assert not loops


def test_batched_cotangents_run_in_torch() -> None:
    xi = tangents(2).requires_grad_()
    weights = torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4).expand(16, 2, 4, 4)
    (got,) = torch.autograd.grad(F.exp(xi), xi, weights, is_grads_batched=True)
    (expected,) = torch.autograd.grad(SE3.exp(xi), xi, weights, is_grads_batched=True)
    assert close(got, expected)


def test_inputs_changed_in_place_are_noticed() -> None:
    xi = tangents(2).requires_grad_()
    twice = 2 * xi
    g = F.exp(twice)
    twice.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        g.sum().backward()


def test_gradcheck() -> None:
    xi, p = tangents(2).requires_grad_(), torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def function(xi: Tensor, p: Tensor) -> Tensor:
        g = F.plus(F.exp(xi), 0.5 * xi.flip(-1))
        return (
            F.minus(F.inverse(g), g).sum()
            + (F.act(g, p) * F.Ad(g)[..., :3, 3]).sum()
            + F.distance(g, F.exp(xi)).sum()
        )

    assert torch.autograd.gradcheck(function, (xi, p))
    assert torch.autograd.gradgradcheck(function, (xi, p))


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_launch, "PARALLEL", 64)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)


@pytest.mark.usefixtures("many_threads")
@pytest.mark.parametrize("count", [63, 64, 100, 1000])
def test_threads_share_the_batch(count: int) -> None:
    g = motions(count)
    assert torch.equal(F.log(g), torch.cat([F.log(part) for part in g.split(50)]))
    g[count - 3, 0, 0] += 1
    with pytest.raises(ValueError, match=rf"g\[{count - 3}\] is not in SE3"):
        F.log(g)


@pytest.mark.usefixtures("many_threads")
def test_python_threads_may_call_at_once() -> None:
    g = motions(300)
    expected = F.log(g)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: F.log(g), range(8)):
            assert torch.equal(got, expected)


@pytest.mark.usefixtures("many_threads")
def test_results_of_many_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice on pages is given for whole pages inside the result."""
    advised: list[tuple[int, int, int]] = []
    monkeypatch.setattr(_launch, "_HUGE", 1 << 14)
    monkeypatch.setattr(_launch, "_madvise", lambda *arguments: advised.append(arguments))
    out = F.inverse(motions(300))
    ((start, length, _),) = advised
    assert start % 4096 == length % 4096 == 0
    assert out.data_ptr() <= start
    assert start + length <= out.data_ptr() + out.nbytes


FORKED = """
import os, sys, torch
from integrators import RigidBodyIntegrator, fused
from integrators._fused import _launch
import lie
_launch.PARALLEL = 64
torch.get_num_threads = lambda: 2
F = fused(lie.SO3)
xi = torch.randn(500, 3, dtype=torch.float64)
here = F.exp(xi)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(F.exp(xi), here) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(
    not hasattr(sys, "getwindowsversion") and sys.platform == "darwin", reason="forks are unsafe"
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=120)


def test_a_body_may_move_on_a_fused_group() -> None:
    inertia = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    flows = [RigidBodyIntegrator(group, h=0.1, inertia=inertia, mass=2.0) for group in (F, SE3)]
    x = flows[0].space.pack(
        x=torch.zeros(3, dtype=torch.float64),
        R=torch.eye(3, dtype=torch.float64),
        v=torch.ones(3, dtype=torch.float64),
        omega=torch.ones(3, dtype=torch.float64),
    )
    assert torch.equal(flows[0](x), flows[1](x))
