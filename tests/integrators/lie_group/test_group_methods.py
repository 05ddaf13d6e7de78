"""Methods on Lie groups: measured orders and errors, invariants, other groups, kernels, derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from integrators import (
    RKMK4,
    CommutatorFree3,
    CommutatorFree4,
    CrouchGrossman3,
    CrouchGrossman4,
    GroupField,
    GroupSystem,
    LieEuler,
    LieMidpoint,
    Status,
    SymbolicGroupField,
    rollout,
    vector,
)
from integrators.runge_kutta import reference_solution
from lie import SE2, SE3, SL, SO3, UnitQuaternion

from ._euler_top import MOMENTS, MOMENTUM, exact

DOUBLE = torch.float64
START = torch.eye(3, dtype=DOUBLE).flatten()
LENGTHS = torch.tensor(MOMENTS, dtype=DOUBLE)
SPATIAL = torch.tensor(MOMENTUM, dtype=DOUBLE)
METHODS = {
    "LieEuler": LieEuler,
    "LieMidpoint": LieMidpoint,
    "CrouchGrossman3": CrouchGrossman3,
    "CrouchGrossman4": CrouchGrossman4,
    "CommutatorFree3": CommutatorFree3,
    "CommutatorFree4": CommutatorFree4,
    "RKMK4": RKMK4,
    "RKMK4 full": lambda system, h: RKMK4(system, h, full=True),
}
ORDERS = dict(zip(METHODS, (1, 2, 3, 4, 3, 4, 4, 4), strict=True))
# Error of R at T = 5 with 200 steps in the Frobenius norm, right-trivialised, measured with independent code.
ERRORS = {
    "LieMidpoint": 1.1e-4, "CrouchGrossman3": 4.5e-6, "CrouchGrossman4": 3.7e-8, "CommutatorFree3": 7.7e-7,
    "CommutatorFree4": 7.2e-9, "RKMK4": 4.7e-9, "RKMK4 full": 3.0e-9,
}  # fmt: skip


def body_rate(R: Tensor) -> Tensor:
    return (R.mT @ SPATIAL) / LENGTHS


def world_rate(R: Tensor) -> Tensor:
    return (R @ body_rate(R).unsqueeze(-1)).squeeze(-1)


def expressions() -> SymbolicGroupField:
    """The free body, right-trivialised, as expressions."""
    moments = [f"(R1{i}*L1 + R2{i}*L2 + R3{i}*L3)" for i in (1, 2, 3)]
    rates = [f"{p}/I{i + 1}" for i, p in enumerate(moments)]
    values = {f"I{i + 1}": m for i, m in enumerate(MOMENTS)} | {
        f"L{i + 1}": m for i, m in enumerate(MOMENTUM)
    }
    return SymbolicGroupField(
        SO3,
        [" + ".join(f"R{k}{i + 1}*{rate}" for i, rate in enumerate(rates)) for k in (1, 2, 3)],
        parameters=values,
        trivialization="right",
        energy=" + ".join(f"{p}**2/(2*I{i + 1})" for i, p in enumerate(moments)),
    )


def end(flow, x: Tensor, steps: int) -> Tensor:
    with torch.no_grad():
        for _ in range(steps):
            x = flow(x)
    return x


@pytest.mark.parametrize("name", list(METHODS))
def test_measured_orders_and_errors_on_the_free_body(name: str) -> None:
    truth = exact(5.0)[:9]
    for trivialization, field in (("right", world_rate), ("left", body_rate)):
        system = GroupField(SO3, field, name="R", trivialization=trivialization)
        ends = [end(METHODS[name](system, 5.0 / n), START, n) for n in (100, 200)]
        errors = [float((x - truth).norm()) for x in ends]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[name], abs=0.06)
        assert METHODS[name](system, 0.1).order == ORDERS[name]
        assert float(SO3.residual(ends[1].reshape(3, 3))) <= 2e-14
        if trivialization == "right" and name in ERRORS:
            assert errors[1] == pytest.approx(ERRORS[name], rel=0.1)


@pytest.mark.parametrize(
    ("name", "early", "late"),
    [("CommutatorFree4", 5.6e-7, 8.3e-6), ("RKMK4", 1.1e-7, 1.3e-6), ("LieMidpoint", 9.4e-5, 9.0e-5)],
)
def test_energy_errors_grow_for_explicit_methods_and_stay_for_the_midpoint_rule(name, early, late) -> None:
    """Largest relative energy error up to T = 50 and 1000 with h = 0.1."""
    flow = METHODS[name](expressions(), 0.1)
    start = START.expand(2, 9)
    run = rollout(flow, start, 10_000, every=10_000, observe="energy", observe_every=1, backend="numba")
    energy = run.observations["energy"][:, 0]
    error = (energy / energy[0] - 1).abs()
    assert early / 2 <= float(error[:501].max()) <= 2 * early
    assert late / 2 <= float(error.max()) <= 2 * late
    assert float(SO3.residual(run.final[0].reshape(3, 3))) <= 1e-11
    short = [rollout(flow, start, 100, observe="energy", backend=b).states for b in ("torch", "numba")]
    torch.testing.assert_close(short[0], short[1], rtol=0, atol=1e-12)


def driven() -> SymbolicGroupField:
    """A motion on SE(3) with a vector, time, an input and parameters."""
    return SymbolicGroupField(
        SE3,
        ["x2*a", "v1 - x1", "sin(t)*R11", "x3 - u", "R21*v2", "R32"],
        {"v": ["R11 - v2", "v1"]},
        {"a": 0.3},
        inputs="u",
    )


def unit_quaternion() -> SymbolicGroupField:
    return SymbolicGroupField(UnitQuaternion, ["qx + a", "qw", "-qy"], parameters={"a": 0.3})


def starts(group, extra: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    element = group.random(3, dtype=DOUBLE, generator=generator)
    rest = torch.randn(3, extra, dtype=DOUBLE, generator=generator)
    return torch.cat((element.reshape(3, -1), rest), -1)


def test_kernels_agree_with_torch() -> None:
    cases = (
        (RKMK4(driven(), 0.05, full=True), starts(SE3, 3), torch.tensor([0.4], dtype=DOUBLE)),
        (CommutatorFree3(unit_quaternion(), 0.05), starts(UnitQuaternion, 0), None),
    )
    for flow, x, controls in cases:
        ends = [rollout(flow, x, 100, controls=controls, backend=b).final for b in ("torch", "numba")]
        torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-12)


def test_derivatives_of_the_entries_as_expressions() -> None:
    """The field that kernels of other methods take, against that of the group."""
    turned = SymbolicGroupField(UnitQuaternion, ["qx", "qw", "qy*qz"], trivialization="right")
    for system, x in (
        (expressions(), starts(SO3, 0)),
        (driven(), starts(SE3, 3)),
        (unit_quaternion(), starts(UnitQuaternion, 0)),
        (turned, starts(UnitQuaternion, 0)),
        (SymbolicGroupField(SL(2), ["g11", "g12*g21", "g22"]), starts(SL(2), 0)),
    ):
        control = torch.full((3, system.control_size), 0.4, dtype=DOUBLE) if system.control_size else None
        with_control = x if control is None else torch.cat((x, control), -1)
        found = system._derivative(with_control, system.values())
        torch.testing.assert_close(found, system.field(x, control), rtol=0, atol=1e-14)


def planar(g: Tensor, t: Tensor) -> Tensor:
    return torch.cat((g[..., 0, 2:], 1 + g[..., 1, 2:], torch.cos(t) + g[..., :1, 0]), -1)


def unimodular(Y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    rate = torch.stack((Y[..., 0, 0] - 1, 0.3 * Y[..., 0, 1], z[..., 0] - Y[..., 1, 1]), -1)
    return 0.4 * rate, torch.stack((Y[..., 1, 0], -z[..., 0]), -1)


@pytest.mark.parametrize("case", ["SE2", "SL2", "SE3", "quaternions"])
def test_orders_on_other_groups_against_dop853(case: str) -> None:
    system: GroupSystem
    if case == "SE2":
        system = GroupField(SE2, planar, timed=True)
        x = torch.cat((SE2.exp(torch.tensor([0.3, -0.2, 0.5], dtype=DOUBLE)).flatten(), torch.zeros(1)))
    elif case == "SL2":
        system = GroupField(SL(2), unimodular, vectors=[vector("z", 2)], trivialization="right")
        x = torch.cat((torch.eye(2, dtype=DOUBLE).flatten(), torch.tensor([0.5, -0.3], dtype=DOUBLE)))
    else:
        system = driven() if case == "SE3" else unit_quaternion()
        x = starts(SE3, 3)[0] if case == "SE3" else starts(UnitQuaternion, 0)[0]
    x = x.double()
    truth = reference_solution(system, x, [1.0])[0]
    for name, method in METHODS.items():
        count = {1: 100, 2: 40, 3: 16, 4: 8}[ORDERS[name]]
        errors = [float((end(method(system, 1.0 / n), x, n) - truth).norm()) for n in (count, 2 * count)]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[name], abs=0.35), (name, errors)


def test_the_midpoint_rule_is_symmetric_and_says_where_it_fails() -> None:
    flow = LieMidpoint(expressions(), 0.1)
    x = SO3.random(4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).flatten(-2)
    torch.testing.assert_close(flow.inverse(flow(x)), x, rtol=0, atol=1e-14)
    with pytest.raises(NotImplementedError, match="no known adjoint"):
        RKMK4(expressions(), 0.1).inverse(x)
    wide = LieMidpoint(expressions(), 40.0)
    for backend in ("torch", "numba"):
        run = rollout(wide, x[:1].expand(2, 9), 2, observe="energy", backend=backend)
        assert run.failed_at.tolist() == [1, 1]
        assert run.status.tolist() == [int(Status.NOT_CONVERGED)] * 2
        assert bool(torch.isfinite(run.states).all())


def test_derivatives_transforms_and_single_precision() -> None:
    rate = torch.nn.Linear(9, 3).double()
    learned = GroupField(SO3, lambda R: rate(R.flatten(-2)))
    x = SO3.random(2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).flatten(-2)
    for flow in (RKMK4(learned, 0.1, full=True), CommutatorFree4(learned, 0.1), LieMidpoint(learned, 0.1)):
        assert torch.autograd.gradcheck(flow, (x.clone().requires_grad_(),))
        torch.testing.assert_close(torch.vmap(flow)(x), flow(x), rtol=0, atol=1e-15)
        tangent = torch.vmap(torch.func.jacrev(flow))(x)
        torch.testing.assert_close(tangent, torch.vmap(torch.func.jacfwd(flow))(x), rtol=0, atol=1e-13)
        assert flow(x[:0]).shape == (0, 9)
    flow(x).sum().backward()
    assert rate.weight.grad is not None
    assert bool(rate.weight.grad.abs().sum() > 0)
    single = GroupField(SO3, lambda R: R[..., 0])
    assert RKMK4(single, 0.1)(x.float()).dtype == torch.float32


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="expected 3, the tangent coordinates of SO"):
        SymbolicGroupField(SO3, ["R11", "R12"])
    with pytest.raises(ValueError, match="unknown symbol w"):
        SymbolicGroupField(SO3, ["R11", "R12", "w"])
    with pytest.raises(ValueError, match="trivialization: expected 'left' or 'right'"):
        GroupField(SO3, body_rate, trivialization="body")
    with pytest.raises(TypeError, match="SymbolicGroupField"):
        GroupField(SO3, ["R11", "R12", "R13"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"field: expected shapes .* k = \[3\]"):
        RKMK4(GroupField(SO3, lambda R: R[..., 0, :2]), 0.1)(START)
    with pytest.raises(TypeError, match="GroupField holds a Python function"):
        rollout(RKMK4(GroupField(SO3, body_rate), 0.1), START, 2, backend="numba")
    planar_field = SymbolicGroupField(SE2, ["g11", "g12", "g13"])
    with pytest.raises(TypeError, match="no exponential in kernels"):
        rollout(RKMK4(planar_field, 0.1), torch.eye(3, dtype=DOUBLE).flatten(), 2, backend="numba")
    with pytest.raises(TypeError, match="expects a GroupSystem"):
        RKMK4("R11", 0.1)  # type: ignore[arg-type]
