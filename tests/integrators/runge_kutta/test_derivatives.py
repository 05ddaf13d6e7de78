"""Derivatives of implicit steps, transforms, dtypes and shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from integrators import GaussLegendre, Hamiltonian, ImplicitMidpoint, LobattoPair, Tao

from ._systems import DRIVEN, MIXED, MIXED_START, STEERED, STEERED_START

FLOWS = {
    "gauss": lambda system: GaussLegendre(system, 0.2, 2),
    "newton": lambda system: GaussLegendre(system, 0.2, 2, solver="newton"),
    "compensated": lambda system: GaussLegendre(system, 0.2, 1, compensated=True),
    "lobatto": lambda system: LobattoPair(system, 0.2, 3),
    "tao": lambda system: Tao(system, 0.05, order=4),
}


@pytest.mark.parametrize("name", list(FLOWS))
def test_first_and_second_derivatives_in_states_and_parameters(name: str) -> None:
    k = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    flow = FLOWS[name](Hamiltonian("p**2*(1 + q**2)/2 + k*q**4/4", parameters={"k": k}))
    x = torch.tensor([[0.4, -0.2], [0.1, 0.9]], dtype=torch.float64, requires_grad=True)

    def end(x: Tensor, k: Tensor) -> Tensor:
        return torch.func.functional_call(flow, {"system.value_k": k}, (flow(x),))

    assert torch.autograd.gradcheck(end, (x, k))
    assert torch.autograd.gradgradcheck(end, (x, k))


def test_midpoint_against_its_complex_truth() -> None:
    """``z' = i w z``: the midpoint rule multiplies by (1 + i h w / 2) / (1 - i h w / 2)."""
    h, w = 0.3, torch.tensor(1.7, dtype=torch.float64, requires_grad=True)

    def step(w: Tensor) -> Tensor:
        flow = ImplicitMidpoint(Hamiltonian("w*(p**2 + q**2)/2", parameters={"w": 1.0}), h)
        x = torch.tensor([0.6, -0.4], dtype=torch.float64)
        return torch.func.functional_call(flow, {"system.value_w": w}, (x,))

    turn = (1 - 0.5j * h * w) / (1 + 0.5j * h * w)
    exact = torch.view_as_real(turn * (0.6 - 0.4j))
    got = step(w)
    torch.testing.assert_close(got, exact, rtol=0, atol=1e-15)
    for order in (1, 2):
        for i in range(2):
            truth, found = exact[i], got[i]
            for _ in range(order):
                truth, found = (torch.autograd.grad(v, w, create_graph=True)[0] for v in (truth, found))
            torch.testing.assert_close(found, truth, rtol=0, atol=1e-13)


def test_transforms_and_forward_mode_agree() -> None:
    flow = GaussLegendre(MIXED, 0.2, 2)
    expected = torch.stack([torch.autograd.functional.jacobian(flow, x) for x in MIXED_START])
    for mode in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(torch.func.vmap(mode(flow))(MIXED_START), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.func.vmap(flow)(MIXED_START), flow(MIXED_START), rtol=0, atol=1e-15)
    hessian = torch.func.hessian(lambda x: flow(x)[0])(MIXED_START[0])
    truth = torch.autograd.functional.hessian(lambda x: flow(x)[0], MIXED_START[0])
    torch.testing.assert_close(hessian, truth, rtol=0, atol=1e-13)


def test_derivatives_in_inputs_over_a_rollout() -> None:
    flow = GaussLegendre(STEERED, 0.2, 2)
    u = torch.tensor([[[0.3], [0.1]], [[-0.2], [0.5]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: flow.unroll(STEERED_START, u), (u,))


def test_values_do_not_depend_on_recording() -> None:
    flow = LobattoPair(MIXED, 0.2, 3)
    x = MIXED_START.clone().requires_grad_()
    assert bool((flow(x) == flow(MIXED_START)).all())


def test_shapes_and_single_precision() -> None:
    for flow, x in (
        (
            GaussLegendre(Hamiltonian("p**2*(1 + q**2)/2 + q**2/2", dtype=torch.float32), 0.1),
            MIXED_START.float(),
        ),
        (
            LobattoPair(Hamiltonian("p**2*(1 + q**2)/2 + q**2/2", dtype=torch.float32), 0.1, 2),
            MIXED_START.float(),
        ),
    ):
        y = flow(x)
        assert y.dtype == torch.float32
        same = type(flow)(MIXED, 0.1, flow.stages)
        torch.testing.assert_close(y.double(), same(MIXED_START), rtol=0, atol=3e-7)
        assert flow(x[0]).shape == (2,)
        assert flow(x[:0]).shape == (0, 2)
        assert flow(x.expand(3, 2, 2)).shape == (3, 2, 2)
    back = GaussLegendre(DRIVEN, 0.1, 2)
    x = torch.tensor([0.3, 0.2, 0.5], dtype=torch.float64)
    torch.testing.assert_close(back.inverse(back(x)), x, rtol=0, atol=1e-15)
