"""The compiled implicit part of a step, against the same in torch operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from integrators import RigidBodyIntegrator, Status, StepError
from integrators.variational._fused import CompiledTurn, _turn_in_torch, compiled_turn, turn_frame
from integrators.variational._kinetic import KINETIC_TERMS, DiscreteKinetic
from lie import SO3

from ._bodies import FULL_INERTIA, draws, rotations, states, weight

TRACE, CAYLEY = KINETIC_TERMS["trace"], KINETIC_TERMS["cayley"]
H = 0.1
BOTH = pytest.mark.parametrize("kinetic", [TRACE, CAYLEY], ids=["trace", "cayley"])


def compiled(kinetic: DiscreteKinetic, inertia: Tensor) -> CompiledTurn:
    functions = compiled_turn(kinetic, H, inertia, torch.linalg.inv(inertia))
    assert functions is not None
    return functions


def fused(
    kinetic: DiscreteKinetic, rotation: Tensor, pi: Tensor, inertia: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return turn_frame(kinetic, rotation, pi, H, inertia, False, compiled(kinetic, inertia))


def in_torch(
    kinetic: DiscreteKinetic, rotation: Tensor, pi: Tensor, inertia: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return _turn_in_torch(kinetic, rotation, pi, H, inertia, False)


def is_compiled(result: Tensor) -> bool:
    return "_FusedTurnBackward" in type(result.grad_fn).__name__


def inputs(*batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """A frame, a momentum that turns it by about 0.3 rad, and an inertia."""
    omega = torch.nn.functional.normalize(draws(*batch, 3, seed=4), dim=-1)
    values = rotations(*batch), 3 * omega @ FULL_INERTIA, FULL_INERTIA.clone()
    return tuple(value.requires_grad_() for value in values)  # type: ignore[return-value]


def cotangents(*batch: int) -> tuple[Tensor, Tensor]:
    return draws(*batch, 3, 3, seed=5), draws(*batch, 3, seed=6)


@BOTH
@pytest.mark.parametrize("batch", [(), (0,), (3, 7)], ids=str)
def test_value_and_first_derivatives_are_those_of_torch(kinetic, batch):
    given = inputs(*batch)
    found, expected = fused(kinetic, *given), in_torch(kinetic, *given)
    assert is_compiled(found[0])
    assert found[0].shape == (*batch, 3, 3)
    assert found[1].shape == (*batch, 3)
    for a, b in zip(found[:2], expected[:2], strict=True):
        assert torch.allclose(a, b, rtol=1e-14, atol=1e-14)
    assert torch.equal(found[2], expected[2])
    derivatives = (torch.autograd.grad(result[:2], given, cotangents(*batch)) for result in (found, expected))
    for a, b in zip(*derivatives, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-13, atol=1e-13)


@BOTH
def test_the_result_solves_the_step_equation(kinetic):
    rotation, pi, inertia = inputs(20)
    turned, spun, status = fused(kinetic, rotation, pi, inertia)
    z = SO3.cayley_inverse(rotation.mT @ turned) / 2
    assert (status == Status.OK).all()
    assert (kinetic.impulse(z, inertia) - H * pi).abs().max() <= 1e-14
    assert (turned @ spun.unsqueeze(-1) - rotation @ pi.unsqueeze(-1)).abs().max() <= 1e-14


@BOTH
def test_first_and_second_derivatives_against_finite_differences(kinetic):
    def results(rotation: Tensor, pi: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        return fused(kinetic, rotation, pi, 0.5 * (root + root.mT))[:2]

    given = inputs(2)
    assert gradcheck(results, given)
    assert gradgradcheck(results, given)


@BOTH
def test_derivatives_of_a_derivative_count_each_input_once(kinetic):
    root = draws(4, 3, seed=9).requires_grad_()
    frames = rotations(4)

    def first(create_graph: bool) -> Tensor:
        rotation = frames @ SO3.exp(root)
        pi = rotation[..., 0, :] + root
        inertia = FULL_INERTIA + 0.1 * pi.mT @ pi
        turned, spun, _ = fused(kinetic, rotation, pi, inertia)
        value = (turned[..., 0, :] * spun).square().sum()
        return torch.autograd.grad(value, root, create_graph=create_graph)[0]

    assert torch.allclose(first(create_graph=True), first(create_graph=False), rtol=1e-13, atol=1e-14)


def test_a_gradient_through_several_steps_is_the_same_with_and_without_a_graph():
    flow = RigidBodyIntegrator(SO3, H, FULL_INERTIA, potential=weight())
    x = states(flow, 4).requires_grad_()
    plain, recorded = (
        torch.autograd.grad(flow.unroll(x, steps=3).square().cos().sum(), x, create_graph=create_graph)[0]
        for create_graph in (False, True)
    )
    assert torch.allclose(plain, recorded, rtol=1e-13, atol=1e-13)


@BOTH
def test_statuses_of_samples_without_solution_and_not_a_number(kinetic):
    rotation, pi, inertia = (value.detach() for value in inputs(40))
    pi[3] *= 40
    pi[17] = 0.0
    pi[25, 1] = torch.nan
    pi[30] *= 2.9
    rotation[11, 0, 0] = torch.nan
    found, expected = fused(kinetic, rotation, pi, inertia), in_torch(kinetic, rotation, pi, inertia)
    assert found[2].tolist() == expected[2].tolist()
    assert found[2][25] == Status.NON_FINITE
    assert found[2][3] == (Status.UNSOLVABLE if kinetic is TRACE else Status.OK)
    good = expected[2] < Status.NOT_CONVERGED
    for a, b in zip(found[:2], expected[:2], strict=True):
        assert torch.allclose(a[good], b[good], rtol=1e-13, atol=1e-13, equal_nan=True)


def test_an_unsolvable_sample_in_a_batch_is_named():
    flow = RigidBodyIntegrator(SO3, H, FULL_INERTIA)
    x = states(flow, 5)
    x[2, 9:] = 1e3
    with pytest.raises(StepError, match=r"1 of 5 trajectories failed, the first at batch index \(2,\)"):
        flow(x)


def test_the_memory_layout_of_the_inputs_does_not_matter():
    rotation, pi, inertia = inputs(2, 3)
    views = rotation.transpose(0, 1), pi.transpose(0, 1), inertia.mT
    one_frame = rotation[0, 0], pi, inertia
    for given in (views, one_frame):
        found = fused(TRACE, *given)
        expected = in_torch(TRACE, given[0].expand(*given[1].shape[:-1], 3, 3), *given[1:])
        assert is_compiled(found[0])
        derivatives = (
            torch.autograd.grad(f[0].sum() + (f[1] ** 2).sum(), (rotation, pi, inertia))
            for f in (found, expected)
        )
        assert torch.allclose(found[0], expected[0], rtol=1e-14, atol=1e-14)
        for a, b in zip(*derivatives, strict=True):
            assert torch.allclose(a, b, rtol=1e-13, atol=1e-13)


def test_one_of_the_two_results_may_be_unused():
    given = inputs(3)
    for k in range(2):
        found, expected = (
            torch.autograd.grad(
                f(CAYLEY, *given)[k].sin().sum(), given, allow_unused=True, materialize_grads=True
            )
            for f in (fused, in_torch)
        )
        for a, b in zip(found, expected, strict=True):
            assert torch.allclose(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("changed", range(3))
def test_a_change_in_place_before_the_derivative_is_refused(changed):
    given = inputs(3)
    turned, _, _ = fused(TRACE, *given)
    with torch.no_grad():
        given[changed].mul_(1.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        turned.sum().backward()


def test_single_precision_runs_in_torch():
    rotation, pi, inertia = (value.detach().float() for value in inputs(3))
    assert compiled_turn(TRACE, H, inertia, torch.linalg.inv(inertia)) is None
    turned, spun, _ = turn_frame(TRACE, rotation.requires_grad_(), pi, H, inertia, False, None)
    assert turned.dtype == spun.dtype == torch.float32
    assert not is_compiled(turned)
    exact = fused(TRACE, rotation.double(), pi.double(), inertia.double())
    assert (turned - exact[0]).abs().max() <= 1e-6


@BOTH
def test_transforms_run_in_torch(kinetic):
    rotation, pi, inertia = (value.detach() for value in inputs(3))
    functions = compiled(kinetic, inertia)

    def spun(p: Tensor) -> Tensor:
        return turn_frame(kinetic, rotation[0], p, H, inertia, False, functions)[1]

    batched = torch.func.vmap(torch.func.jacrev(spun))(pi)
    forward = torch.func.vmap(torch.func.jacfwd(spun))(pi)
    for k in range(3):
        expected = torch.autograd.functional.jacobian(spun, pi[k])
        assert torch.allclose(batched[k], expected, rtol=1e-13, atol=1e-14)
        assert torch.allclose(forward[k], expected, rtol=1e-13, atol=1e-14)


def test_many_cotangents_at_once():
    given = inputs(3)
    turned, _, _ = fused(TRACE, *given)
    many = draws(4, 3, 3, 3, seed=7)
    found = torch.autograd.grad(turned, given, many, is_grads_batched=True, retain_graph=True)
    for k, cotangent in enumerate(many):
        alone = torch.autograd.grad(turned, given, cotangent, retain_graph=True)
        for a, b in zip(found, alone, strict=True):
            assert torch.allclose(a[k], b, rtol=1e-12, atol=1e-13)
