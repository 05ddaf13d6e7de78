"""Compositions of flow maps: what they compute, what they claim, and their kernels."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from integrators import (
    Composition,
    FlowMap,
    Hamiltonian,
    ImplicitMidpoint,
    KickFlow,
    RigidBodyIntegrator,
    StateSpace,
    Status,
    SymplecticEuler,
    Verlet,
    VerletDriftFirst,
    certify,
    rollout,
    symmetric_composition,
    vector,
)
from lie import SO3

from .._flows import body, body_states, controls

DOUBLE = torch.float64
HENON = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
START = torch.tensor([[0.0, 0.1, 0.39, 0.05], [0.1, -0.1, 0.2, 0.3]], dtype=DOUBLE)
FAST = Hamiltonian("p**2/2 + 200*q**2")
SLOW = Hamiltonian("q**4/4 - cos(q)", positions=["q"], momenta=["p"])


def respa(h: float, inner_steps: int) -> Composition:
    kick, inner = KickFlow(SLOW, h / 2), Verlet(FAST, h / inner_steps)
    flow: FlowMap = kick
    for _ in range(inner_steps):
        flow = flow @ inner
    return flow @ kick


def test_the_right_map_is_applied_first() -> None:
    first, second = Verlet(HENON, 0.3), SymplecticEuler(HENON, 0.2)
    torch.testing.assert_close((second @ first)(START), second(first(START)), rtol=0, atol=0)
    assert (second @ first).h == 0.5
    torch.testing.assert_close((second @ first).inverse((second @ first)(START)), START, rtol=0, atol=1e-15)


def test_three_maps_make_one_flat_composition() -> None:
    a, b, c = Verlet(HENON, 0.1), SymplecticEuler(HENON, 0.2), VerletDriftFirst(HENON, 0.3)
    for flow in ((a @ b) @ c, a @ (b @ c)):
        assert list(flow.maps) == [c, b, a]
        torch.testing.assert_close(flow(START), a(b(c(START))), rtol=0, atol=0)


def test_an_adjoint_pair_is_symmetric_and_of_order_two() -> None:
    half = SymplecticEuler(HENON, 0.05)
    pair = half.adjoint() @ half
    assert pair.order == 2
    assert pair.symmetric
    assert pair.symplectic
    torch.testing.assert_close(pair(START), Verlet(HENON, 0.1)(START), rtol=0, atol=1e-16)
    assert not (half @ half).symmetric


def test_flags_follow_from_the_parts() -> None:
    a, b = Verlet(HENON, 0.1), ImplicitMidpoint(HENON, 0.2)
    mirrored, lopsided = a @ b @ a, b @ a
    assert (mirrored.symmetric, mirrored.reversible, mirrored.symplectic, mirrored.order) == (
        True,
        True,
        True,
        2,
    )
    assert (lopsided.symmetric, lopsided.reversible, lopsided.symplectic, lopsided.order) == (
        False,
        False,
        True,
        2,
    )
    assert (a @ a).evaluations == 2
    assert (a @ Verlet(FAST_PLANE, 0.1)).order is None


FAST_PLANE = Hamiltonian("(p1**2 + p2**2)/2 + 8*(q1**2 + q2**2)")


def test_adjoint_is_the_inverse_of_the_step_backwards() -> None:
    flow = SymplecticEuler(HENON, 0.05) @ Verlet(HENON, 0.1)
    back = flow.adjoint().with_step(-flow.h)
    torch.testing.assert_close(back(flow(START)), START, rtol=0, atol=1e-15)


def test_another_step_stretches_all_parts() -> None:
    flow = Composition([Verlet(HENON, 0.1), SymplecticEuler(HENON, 0.3)])
    torch.testing.assert_close(
        flow.with_step(0.2)(START),
        (SymplecticEuler(HENON, 0.15) @ Verlet(HENON, 0.05))(START),
        rtol=0,
        atol=1e-16,
    )
    assert flow.with_step(0.2).with_step(0.4).shares == flow.shares


def test_multirate_impulses_follow_the_fast_motion() -> None:
    """r-RESPA with @: order 2, symplectic, and no bound on the slow step from the fast frequency."""
    flow = respa(0.05, 16)
    assert flow.symmetric
    assert flow.symplectic
    assert flow.reversible
    assert flow.h == pytest.approx(0.05, abs=1e-15)
    whole = Hamiltonian("p**2/2 + 200*q**2 + q**4/4 - cos(q)")
    stated = Composition(flow.parts, order=2, system=whole)
    report = certify(stated, torch.tensor([[0.4, 1.0]], dtype=DOUBLE), steps=400, backend="torch")
    assert report.symplectic
    assert report.reversible
    assert report.order == pytest.approx(2, abs=0.1)
    assert not report.energy_drifts


def test_kernels_of_different_parts_agree_with_torch() -> None:
    whole = Hamiltonian("p**2/2 + 200*q**2 + q**4/4 - cos(q)")
    flow = Composition(respa(0.05, 4).parts, order=2, system=whole)
    x = torch.tensor([[0.4, 1.0], [-0.2, 0.5], [1.0, 0.0]], dtype=DOUBLE)
    runs = [rollout(flow, x, 60, observe=["energy"], backend=name) for name in ("torch", "numba")]
    torch.testing.assert_close(runs[0].states, runs[1].states, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        runs[0].observations["energy"], whole.energy(runs[1].states), rtol=1e-13, atol=0
    )
    source = flow.kernel_program([]).source(1)
    assert source.count("def step_") == 2 + source.count("def step_twice")


def test_kernel_of_an_implicit_part_between_explicit_ones_agrees_with_torch() -> None:
    flow = Verlet(HENON, 0.1) @ ImplicitMidpoint(HENON, 0.2) @ Verlet(HENON, 0.1)
    wild = torch.tensor([[30.0, 30.0, 0.0, 0.0]], dtype=DOUBLE)
    x = torch.cat((START, wild))
    runs = [rollout(flow, x, 20, observe=["energy"], backend=name) for name in ("torch", "numba")]
    torch.testing.assert_close(runs[0].states[:, :2], runs[1].states[:, :2], rtol=0, atol=1e-12)
    torch.testing.assert_close(runs[0].observations["energy"][:, :2], runs[1].observations["energy"][:, :2])
    for run in runs:
        assert run.status.tolist()[:2] == [0, 0]
        assert int(run.status[2]) >= Status.NOT_CONVERGED
        torch.testing.assert_close(run.final[2], wild[0], rtol=0, atol=0)


def test_compiled_composition_of_bodies_has_the_status_of_its_parts() -> None:
    flow = symmetric_composition(body(SO3, h=0.05), "Yoshida4")
    x = body_states(body(SO3), 4)
    x[2, -3:] *= 20
    x[3, -3:] *= 6
    runs = [
        rollout(flow, x, 30, controls=controls(4), observe=["energy"], backend=b) for b in ("torch", "numba")
    ]
    assert runs[0].status.tolist() == runs[1].status.tolist()
    assert runs[0].failed_at.tolist() == runs[1].failed_at.tolist()
    assert int(runs[0].status[2]) == Status.UNSOLVABLE
    torch.testing.assert_close(runs[0].states, runs[1].states, rtol=0, atol=1e-11)
    torch.testing.assert_close(
        runs[0].observations["energy"], runs[1].observations["energy"], rtol=1e-12, atol=1e-12
    )


def test_controls_reach_the_parts_that_take_them() -> None:
    flow = body(SO3, h=0.05)
    x, u = body_states(flow, 3), controls(3)
    free = RigidBodyIntegrator(SO3, 0.05, flow.inertia, flow.potential)
    torch.testing.assert_close((free @ flow)(x, u), free(flow(x, u)), rtol=0, atol=1e-14)
    torch.testing.assert_close((free @ flow).inverse((free @ flow)(x, u), u), x, rtol=0, atol=1e-13)


def test_gradients_and_batches() -> None:
    flow = symmetric_composition(Verlet(HENON, 0.1), "Suzuki4")
    single = torch.func.vmap(flow)(START)
    torch.testing.assert_close(single, flow(START), rtol=0, atol=1e-16)
    torch.autograd.gradcheck(flow, START.clone().requires_grad_())
    assert flow(START[:0]).shape == (0, 4)
    assert flow(START[0]).shape == (4,)
    lower = symmetric_composition(Verlet(Hamiltonian(HENON.expression, dtype=torch.float32), 0.1), "Suzuki4")
    assert lower(START.float()).dtype == torch.float32
    path = flow.unroll(START, steps=3)
    torch.testing.assert_close(path[-1], flow(flow(flow(START))), rtol=0, atol=1e-15)


def test_copies_and_pickles_step_alike() -> None:
    """Shards of a rollout are sent to other processes so."""
    flow = Composition(respa(0.1, 2).parts, order=2, system=FAST)
    x = torch.tensor([0.4, 1.0], dtype=DOUBLE)
    for other in (copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
        assert torch.equal(other.with_step(0.2)(x), flow.with_step(0.2)(x))
        assert torch.equal(other.energy(x), FAST.energy(x))
    assert copy.deepcopy(flow).float()(x.float()).dtype == torch.float32


def test_forces_are_shared_between_related_steps() -> None:
    calls = []

    class Counted(Hamiltonian):
        def force(self, q: Tensor, t: Tensor | None = None) -> Tensor:
            calls.append(len(q))
            return super().force(q, t)

    flow = symmetric_composition(Verlet(Counted(HENON.expression), 0.1), "KahanLi6")
    rollout(flow, START, 10, backend="torch")
    assert flow.evaluations == 9
    assert len(calls) <= 10 * 9 + 3


class _Plain(FlowMap):
    def __init__(self, size: int, inputs: int = 0) -> None:
        super().__init__()
        self.space, self.h, self.control_size = StateSpace(vector("x", size)), 0.1, inputs

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        return carry if control is None else carry + control.sum(-1, keepdim=True)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"_Plain on .*x: 2.* and _Plain on .*x: 3"):
        _Plain(3) @ _Plain(2)
    with pytest.raises(ValueError, match="same inputs"):
        _Plain(2, 1) @ _Plain(2, 2)
    with pytest.raises(TypeError, match="unsupported operand"):
        _Plain(2) @ 3  # type: ignore[operator]
    with pytest.raises(ValueError, match="at least one"):
        Composition([])
    with pytest.raises(ValueError, match="pass h="):
        Verlet(HENON, 0.1) @ Verlet(HENON, -0.1)
    with pytest.raises(TypeError, match="no compiled kernel"):
        rollout(_Plain(2) @ _Plain(2), torch.zeros(1, 2), 3, backend="numba")
    with pytest.raises(NotImplementedError, match="no inverse"):
        (_Plain(2) @ _Plain(2)).inverse(torch.zeros(1, 2))
