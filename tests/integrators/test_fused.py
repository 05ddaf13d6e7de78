"""Values and derivatives of fused groups against 50-digit arithmetic and the groups in torch.

The loops are run by Python from the text that is compiled, and some compiled; sheet angles are those of the
tests of the groups.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from integrators import fused
from integrators._fused._kernel import Kernel
from integrators._fused._tables import MEMBER
from lie import SE3, SO3, LieGroup, UnitQuaternion
from lie._manifold import MEMBER_TOLERANCE

from ..lie import reference
from ._interpreted_loops import interpreted

GROUPS = (SO3, SE3, UnitQuaternion)
groups = pytest.mark.parametrize("group", GROUPS, ids=str)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@pytest.fixture
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops are not compiled."""
    monkeypatch.setattr(Kernel, "run", interpreted)


@pytest.fixture(params=["python", pytest.param("compiled", marks=pytest.mark.slow)])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops are run by Python, and compiled."""
    if request.param == "python":
        monkeypatch.setattr(Kernel, "run", interpreted)


@cache
def truth(dtype: torch.dtype) -> np.ndarray:
    return reference.exp_se3(reference.exact(reference.points(dtype)))


def rounded(values: np.ndarray, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values.astype(float), dtype=torch.float64).to(dtype)


def angles(dtype: torch.dtype) -> np.ndarray:
    return np.linalg.norm(reference.points(dtype)[:, 3:].double().numpy(), axis=1)


@dtypes
@pytest.mark.usefixtures("either_way")
def test_exp(dtype: torch.dtype) -> None:
    xi = reference.points(dtype)
    bound = 4 * reference.EPS[dtype]
    assert reference.error(fused(SE3).exp(xi), truth(dtype)).max() <= bound
    turns = truth(dtype)[:, :3, :3]
    assert reference.error(fused(SO3).exp(xi[:, 3:]), turns).max() <= bound
    quaternions = fused(UnitQuaternion).exp(xi[:, 3:])
    assert reference.error(UnitQuaternion.Ad(quaternions), turns).max() <= bound


@dtypes
@pytest.mark.usefixtures("either_way")
def test_log(dtype: torch.dtype) -> None:
    """Relative error of rotation vectors; of the nearer one at an angle of pi up to rounding."""
    eps, angle = reference.EPS[dtype], angles(dtype)
    phi = reference.points(dtype)[:, 3:]
    expected = reference.principal(reference.exact(phi))
    motion = rounded(truth(dtype), dtype)
    halfway = np.abs(angle - np.pi) < 8 * eps
    for got in (
        fused(SO3).log(motion[:, :3, :3]),
        fused(SE3).log(motion)[:, 3:],
        fused(UnitQuaternion).log(UnitQuaternion.exp(phi)),
    ):
        difference = reference.error(got, expected)
        difference[halfway] = np.minimum(difference, reference.error(-got, expected))[halfway]
        assert (difference / np.maximum(angle, 1e-300)).max() <= 4 * eps
    rho = reference.exact(reference.points(dtype)[:, :3])
    below = angle < np.pi - 8 * eps
    assert reference.error(fused(SE3).log(motion)[:, :3], rho)[below].max() <= 8 * eps


def gradient(function: Callable[[Tensor], Tensor], x: Tensor, weight: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(function(x), x, weight)
    return found


@dtypes
@pytest.mark.usefixtures("either_way")
def test_gradient_of_exp(dtype: torch.dtype) -> None:
    xi = reference.points(dtype)[::5]
    weight = torch.randn(len(xi), 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(
        dtype
    )
    expected, _ = reference.gradient_and_hessian(reference.exact(xi), reference.exact(weight))
    size = np.abs(expected).astype(float).max(1)
    got = gradient(fused(SE3).exp, xi, weight)
    assert (reference.error(got, expected) / size).max() <= 16 * reference.EPS[dtype]
    turn = weight.clone()
    turn[:, :, 3] = 0
    expected, _ = reference.gradient_and_hessian(reference.exact(xi), reference.exact(turn))
    got = gradient(fused(SO3).exp, xi[:, 3:], turn[:, :3, :3])
    size = np.abs(expected).astype(float).max(1)
    assert (reference.error(got, expected[:, 3:]) / size).max() <= 16 * reference.EPS[dtype]


@dtypes
@groups
@pytest.mark.usefixtures("either_way")
def test_gradient_of_log_after_exp(dtype: torch.dtype, group: LieGroup) -> None:
    """It is the weight itself, below half turns."""
    own = fused(group)
    below = torch.tensor(angles(dtype) < np.pi - 8 * reference.EPS[dtype])
    xi = reference.points(dtype)[below][:, 6 - group.dim :]
    w = torch.tensor([0.36, -0.48, 0.8, -0.6, 0.64, 0.48], dtype=dtype)[6 - group.dim :].expand(xi.shape)
    got = gradient(lambda x: own.log(own.exp(x)), xi, w)
    assert (got - w).abs().max() / w.abs().max() <= 16 * reference.EPS[dtype]


OPERATIONS: dict[str, tuple[str, ...]] = {
    "exp": ("xi",),
    "log": ("g",),
    "compose": ("g", "h"),
    "inverse": ("g",),
    "act": ("g", "p"),
    "Ad": ("g",),
    "plus": ("g", "xi"),
    "minus": ("g", "h"),
    "distance": ("g", "h"),
    "squared_distance": ("g", "h"),
    "interpolate": ("g", "h", "s"),
}


def inputs(group: LieGroup, dtype: torch.dtype, names: tuple[str, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n = 37
    made = {
        "xi": draw(n, group.dim),
        "g": group.exp(draw(n, group.dim)),
        "h": group.exp(draw(n, group.dim)),
        "p": draw(n, 3),
        "s": draw(n),
    }
    return [made[name].to(dtype) for name in names]


@dtypes
@groups
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.usefixtures("either_way")
def test_operations_are_those_of_the_group(group: LieGroup, operation: str, dtype: torch.dtype) -> None:
    """Values and cotangents, in every entry, against float64."""
    names = OPERATIONS[operation]
    given = inputs(group, dtype, names)
    exact = [x.double() for x in given]
    got = getattr(fused(group), operation)(*[x.requires_grad_() for x in given])
    expected = getattr(group, operation)(*[x.requires_grad_() for x in exact])
    eps = torch.finfo(dtype).eps
    assert got.dtype == dtype
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 16 * eps * (1 + expected.abs().max())
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    slopes = torch.autograd.grad(got, given, weight.to(dtype), allow_unused=True)
    truths = torch.autograd.grad(expected, exact, weight.to(dtype).double(), allow_unused=True)
    for x, slope, true in zip(given, slopes, truths, strict=True):
        assert slope is not None
        assert true is not None
        if x.shape[-2:] == (4, 4):  # of the last row no loop knows
            assert (slope[:, 3] == 0).all()
            slope, true = slope[:, :3], true[:, :3]
        assert (slope - true).abs().max() <= 64 * eps * true.abs().max()


@groups
@pytest.mark.usefixtures("in_python")
def test_half_turns_have_finite_logarithms_and_cotangents(group: LieGroup) -> None:
    phi = torch.pi * torch.tensor(reference.axes())
    xi = torch.cat((torch.ones_like(phi), phi), -1)[:, 6 - group.dim :]
    g = group.exp(xi).requires_grad_()
    got = fused(group).log(g)
    turn = got[:, -3:]
    assert torch.minimum((turn - phi).abs().amax(-1), (turn + phi).abs().amax(-1)).max() <= 1e-14
    (slope,) = torch.autograd.grad(got.sum(), g)
    assert slope.isfinite().all()


@groups
@pytest.mark.usefixtures("in_python")
def test_distance_of_equal_elements_has_slope_zero(group: LieGroup) -> None:
    (g,) = inputs(group, torch.float64, ("g",))
    h = g.clone().requires_grad_()
    d = fused(group).distance(g, h)
    (slope,) = torch.autograd.grad(d.sum(), h)
    assert d.max() <= 1e-7
    assert slope.isfinite().all()


@groups
@pytest.mark.usefixtures("in_python")
def test_derivatives_of_derivatives_are_those_of_the_group(group: LieGroup) -> None:
    (xi,) = inputs(group, torch.float64, ("xi",))
    xi, w = xi[:4], torch.linspace(-1, 1, group.dim, dtype=torch.float64)

    def value(own: LieGroup, x: Tensor) -> Tensor:
        return (w * own.log(own.plus(own.exp(x), 0.3 * x))).sin().sum()

    def hessian(own: LieGroup) -> Tensor:
        x = xi.clone().requires_grad_()
        (first,) = torch.autograd.grad(value(own, x), x, create_graph=True)
        rows = [torch.autograd.grad(first[:, k].sum(), x, retain_graph=True)[0] for k in range(group.dim)]
        return torch.stack(rows, -2)

    assert (hessian(fused(group)) - hessian(group)).abs().max() <= 1e-12


def test_the_loops_pass_no_element_that_the_group_refuses() -> None:
    assert MEMBER <= MEMBER_TOLERANCE / 2
