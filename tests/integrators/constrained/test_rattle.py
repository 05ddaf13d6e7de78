"""RATTLE: energies, constraints and invariants of long runs, order, symplecticity, failures, derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from integrators import (
    ConstrainedMechanicalSystem,
    Hamiltonian,
    MechanicalSystem,
    Status,
    StepError,
    certify,
    rollout,
)
from integrators._linear import solve
from integrators.composition import symmetric_composition
from integrators.constrained import Rattle, Shake
from integrators.constrained._rattle import RattleCarry

from ..kernels._interpreted import run_program
from ._chains import BALL, BALL_START, GRAVITY, cartesian, chain, exact_end

NO_INPUTS = torch.zeros(0, 1, 1, dtype=torch.float64)
NAMES = ["energy", "spin", "constraint"]  # one compiled program for all rollouts of the ball


def test_spherical_pendulum_over_twenty_thousand_steps() -> None:
    """Figures of independent code for the same start and step."""
    flow = Rattle(BALL, 0.05)
    start = torch.stack((BALL_START, BALL.project(torch.tensor([0.3, 0.5, -1, 0.2, 0.1, 0.4]).double())))
    run = rollout(flow, start, 20_000, 100, observe=NAMES, observe_every=1, backend="numba")
    seen = {name: values[:, 0] for name, values in run.observations.items()}
    assert 0.9e-3 < float((seen["energy"] - seen["energy"][0]).abs().max()) <= 1.02e-3
    assert float((seen["spin"] - seen["spin"][0]).abs().max()) <= 3.5e-14
    assert float(seen["constraint"].abs().max()) <= 6e-16
    slow = rollout(flow, start, 100, backend="torch").final
    torch.testing.assert_close(slow, run.states[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(
        flow.constraint(run.final), run.observations["constraint"][-1], rtol=0, atol=1e-15
    )
    turned = rollout(flow, flow.flip_velocities(run.states[10]), 1000, observe=NAMES, backend="numba").final
    torch.testing.assert_close(flow.flip_velocities(turned), start, rtol=0, atol=1e-11)


def test_chain_of_four_rods() -> None:
    """Energy error over 1000 steps as of independent code; the zeros of the matrices are left out."""
    flow = Rattle(chain(4), 0.005)
    start = cartesian(np.array([1.0, 0.5, 0.2, -0.3]), np.zeros(4)).unsqueeze(0)
    program = flow.kernel_program(["energy", "constraint"])
    states, seen, codes = run_program(program, start, 1000, NO_INPUTS)
    error = float((seen[..., 0] - flow.energy(start)).abs().max())
    assert 6.5e-3 / 2 < error < 6.5e-3 * 2
    assert float(seen[..., 1:].abs().max()) < 2e-13
    assert not codes.any()
    slow = rollout(flow, start, 100, backend="torch").final
    torch.testing.assert_close(slow, states[99], rtol=0, atol=1e-12)


def test_order_two_and_four_against_the_motion_in_angles() -> None:
    system, start = chain(2), cartesian(np.array([2.0, 1.0]), np.zeros(2))
    exact = exact_end([2.0, 1.0], 1.0)
    for raised, expected in ((False, 2), (True, 4)):
        errors = []
        for count in (50, 100):
            flow = Rattle(system, 1 / count)
            x = start
            moved = symmetric_composition(flow, "TripleJump") if raised else flow
            for _ in range(count):
                x = moved(x)
            errors.append(float((x - exact).abs().max()))
            assert float(system.residual(x).abs().max()) < 1e-13
        assert math.log2(errors[0] / errors[1]) == pytest.approx(expected, abs=0.15), errors


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_step_is_symplectic_on_the_constraint_manifold(n: int) -> None:
    system = chain(n)
    x = cartesian(np.linspace(2.0, 0.5, n), np.linspace(1.0, -1.0, n)).unsqueeze(0)
    derivative, before, after = Rattle(system, 0.05).phase_derivative(x)
    assert derivative.shape == (1, 2 * n, 2 * n)
    assert float((derivative.mT @ after @ derivative - before).abs().max()) <= 1e-12
    damped = Rattle(system, 0.05, friction=0.7)
    derivative, before, after = damped.phase_derivative(x)
    shrunk = derivative.mT @ after @ derivative - math.exp(-0.7 * 0.05) * before
    assert float(shrunk.abs().max()) <= 1e-12
    assert not damped.symplectic


class Projected(Rattle):
    """Symplectic Euler without constraints, then a projection: on the manifold, but not symplectic."""

    def try_advance(self, carry, control, constants):
        p = carry.p + self.h * carry.force
        q = carry.q + self.h * self.system.velocity(p)
        for _ in range(4):
            slope = self.system.constraint_jacobian(q)
            reaction = self.system.velocity(slope)
            pull = solve(slope @ reaction.mT, self.system.constraint(q))
            q = q - (reaction * pull.unsqueeze(-1)).sum(-2)
        status = torch.zeros(q.shape[:-1], dtype=torch.int8)
        return RattleCarry(q, self._tangent(q, p), self.system.force(q)), status


def test_projecting_a_free_step_is_not_symplectic() -> None:
    x = cartesian(np.array([2.0, 1.0]), np.array([1.0, -1.0])).unsqueeze(0)
    flow = Projected(chain(2), 0.05)
    assert float(flow.constraint(flow(x)).abs().max()) < 1e-14
    derivative, before, after = flow.phase_derivative(x)
    assert float((derivative.mT @ after @ derivative - before).abs().max()) > 1e-5


def test_certificate() -> None:
    certificate = certify(Rattle(BALL, 0.1), BALL_START[None], steps=64, backend="torch")
    assert certificate.symplectic
    assert certificate.volume_preserving
    assert certificate.reversible
    assert certificate.invertible
    assert certificate.solved
    assert certificate.on_constraints
    assert certificate.order == pytest.approx(2, abs=0.2)
    assert not certify(
        Rattle(BALL, 0.1, friction=0.1), BALL_START[None], steps=64, backend="torch"
    ).symplectic


def test_composition_of_higher_order_is_symplectic_too() -> None:
    flow = symmetric_composition(Rattle(chain(2), 0.02), "Suzuki4")
    x = cartesian(np.array([1.0, 0.4]), np.array([0.3, -0.5]))
    certificate = certify(flow, x[None], steps=32, backend="torch")
    assert certificate.symplectic_defect is not None
    assert certificate.symplectic_defect <= 1e-12
    assert certificate.reversible
    assert certificate.order == pytest.approx(4, abs=0.3)
    with pytest.raises(ValueError, match="do not satisfy the constraints"):
        flow(x + 1e-3)


def test_shake_has_the_same_positions() -> None:
    shake, rattle = Shake(BALL, 0.05), Rattle(BALL, 0.05)
    ends = [rollout(flow, BALL_START, 100, backend="torch").final for flow in (shake, rattle)]
    torch.testing.assert_close(ends[0][:3], ends[1][:3], rtol=0, atol=1e-14)
    torch.testing.assert_close(BALL.project(ends[0]), ends[1], rtol=0, atol=1e-14)
    assert 0.01 < float((ends[0] - ends[1]).abs().max()) < 0.1
    assert not shake.symplectic


def test_a_step_beyond_the_constraints_is_reported() -> None:
    """A pendulum at 0.3 rad and 10 rad/s cannot move 1.5 rad along its tangent."""
    s, c = math.sin(0.3), math.cos(0.3)
    fast = torch.tensor([s, 0, -c, 10 * c, 0, 10 * s], dtype=torch.float64)
    flow = Rattle(BALL, 0.15)
    x = torch.stack((BALL_START, fast))
    with pytest.raises(StepError, match=r"1 of 2 trajectories failed, the first at batch index \(1,\)"):
        flow(x)
    for backend in ("torch", "numba"):
        run = rollout(flow, x, 20, observe=NAMES, backend=backend)
        assert run.failed_at.tolist() == [-1, 1]
        assert int(run.status[1]) == Status.NOT_CONVERGED
        torch.testing.assert_close(run.final[1], fast)
    Rattle(BALL, 0.05)(fast)


def learned(generator_seed: int = 0) -> MechanicalSystem:
    generator = torch.Generator().manual_seed(generator_seed)
    network = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return MechanicalSystem(3, network, mass=2.0)


def test_derivatives_of_a_learned_potential_against_differences() -> None:
    system = ConstrainedMechanicalSystem(learned(), lambda q: (q * q).sum(-1, keepdim=True) - 1)
    flow = Rattle(system, 0.1)
    weight = next(iter(system.parameters())).detach()
    name = next(name for name, _ in flow.named_parameters())

    def end(w: torch.Tensor) -> torch.Tensor:
        x = BALL_START
        for _ in range(3):
            x = torch.func.functional_call(flow, {name: w}, (x,))
        return x

    torch.autograd.gradcheck(end, (weight.clone().requires_grad_(),), rtol=1e-8, atol=1e-8)
    states = torch.stack((BALL_START, end(weight)))
    backward = torch.vmap(torch.func.jacrev(flow))(states)
    forward = torch.vmap(torch.func.jacfwd(flow))(states)
    torch.testing.assert_close(backward, forward, rtol=0, atol=1e-12)
    direction = torch.tensor([0.0, 0.2, 0.6, 0.1, -0.3, 0.2], dtype=torch.float64)
    near = [system.project(BALL_START + s * 1e-5 * direction) for s in (1, -1)]
    difference = (flow(near[0]) - flow(near[1])) / 2e-5
    tangent = (near[0] - near[1]) / 2e-5
    torch.testing.assert_close(backward[0] @ tangent, difference, rtol=0, atol=1e-8)


def test_friction_inputs_and_a_network_in_the_kernel() -> None:
    system = ConstrainedMechanicalSystem(learned(1), {"length": "q1**2 + q2**2 + q3**2 - 1"})
    gain = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
    flow = Rattle(system, 0.05, friction=0.2, input_gain=gain)
    start = BALL_START.expand(2, -1)
    controls = torch.randn(100, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    end = rollout(flow, start, 100, controls=controls, backend="torch").final
    states, _, _ = run_program(flow.kernel_program([]), start, 100, controls)
    torch.testing.assert_close(end, states[-1], rtol=0, atol=1e-12)
    assert float(system.residual(end).abs().max()) < 1e-15
    assert float((end[0] - end[1]).abs().max()) > 1e-3


def test_damped_driven_pendulum_against_dop853() -> None:
    system, gain = chain(1), torch.tensor([[1.0], [0.0]], dtype=torch.float64)

    def field(_: float, z: np.ndarray) -> list[float]:
        return [z[1], -GRAVITY * math.sin(z[0]) - 0.3 * z[1] + 2.0 * math.cos(z[0])]

    end = solve_ivp(field, (0, 1), [1.0, 0.5], method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    exact = cartesian(end[:1], end[1:])
    errors = []
    for count in (40, 80):
        x = cartesian(np.array([1.0]), np.array([0.5]))
        flow = Rattle(system, 1 / count, friction=0.3, input_gain=gain)
        for _ in range(count):
            x = flow(x, torch.tensor([2.0], dtype=torch.float64))
        errors.append(float((x - exact).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("shape", [(6,), (0, 6), (2, 3, 6)])
def test_shapes_and_single_precision(shape: tuple[int, ...]) -> None:
    free = MechanicalSystem(3, lambda q: q[..., 2], dtype=torch.float32)
    system = ConstrainedMechanicalSystem(free, ["q1**2 + q2**2 + q3**2 - 1"])
    x = system.project(BALL_START.float()).expand(shape)
    y = Rattle(system, 0.1)(x)
    assert y.shape == shape
    assert y.dtype == torch.float32
    if y.numel():
        assert float(system.residual(y).abs().max()) < 1e-6


def test_refusals() -> None:
    off = BALL_START + 1e-3
    flow = Rattle(BALL, 0.1)
    with pytest.raises(ValueError, match=r"do not satisfy the constraints g1 .* system.project"):
        flow(off)
    with pytest.raises(ValueError, match=r"system.project"):
        rollout(flow, off, 3)
    flow(BALL.project(off))
    flow(torch.cat((BALL_START[:3], 1e-17 * torch.ones(3, dtype=torch.float64))))
    with pytest.raises(TypeError, match="expects a ConstrainedSystem"):
        Rattle(Hamiltonian("p**2/2 + q**2"), 0.1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="friction: expected one finite number"):
        Rattle(BALL, 0.1, friction=math.nan)
    with pytest.raises(ValueError, match=r"input_gain: expected shape \(3, inputs\)"):
        Rattle(BALL, 0.1, input_gain=torch.zeros(2, 1))
    with pytest.raises(ValueError, match="expected a symmetric map"):
        symmetric_composition(Shake(BALL, 0.1), "Suzuki4")
    functional = ConstrainedMechanicalSystem(learned(), lambda q: (q * q).sum(-1, keepdim=True) - 1)
    with pytest.raises(TypeError, match="has no kernel code"):
        Rattle(functional, 0.1).kernel_program([])
    with pytest.raises(ValueError, match="unknown symbol q4"):
        ConstrainedMechanicalSystem(learned(), ["q4**2 - 1"])
    with pytest.raises(ValueError, match=r"expected shape \(2, m\)"):
        ConstrainedMechanicalSystem(learned(), lambda q: (q * q).sum(-1))
    with pytest.raises(ValueError, match="constant M"):
        ConstrainedMechanicalSystem(Hamiltonian("p1**2*(1 + q1**2)/2 + p2**2/2"), ["q1 - q2"])
