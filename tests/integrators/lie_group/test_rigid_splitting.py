"""The splitting of a rigid body: closed forms, tops by DOP853, structure, kernels and learned potentials."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from geomlearn.nn import NeuralPotential
from integrators import LinearPotential, RigidBodyIntegrator, RigidBodySplitting, certify, rollout
from integrators.kernels import KernelProgram
from lie import SE3, SO3

from ._euler_top import MOMENTS, START, exact

OBSERVED = ["energy", "momentum", "momentum_norm", "orthogonality"]
TOP = LinearPotential.gravity(1.0, (0.0, 0.1, 0.5), (0.0, 0.0, -2.0))


def thrown(rotating: torch.Tensor) -> torch.Tensor:
    """States on SE(3) from those on SO(3)."""
    extra = torch.tensor([0.1, -0.2, 0.3, 1.0, 0.5, -0.4], dtype=torch.float64).expand(
        *rotating.shape[:-1], 6
    )
    return torch.cat((extra[..., :3], rotating[..., :9], extra[..., 3:], rotating[..., 9:]), -1)


def spread(batch: int) -> torch.Tensor:
    """States around ``START`` that turn differently."""
    noise = torch.randn(batch, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.cat((START[:9].expand(batch, 9), START[9:] + 0.3 * noise), -1)


@pytest.mark.parametrize(
    ("scheme", "h", "energy_error", "state_error"),
    [
        ("Strang", 0.05, 2.1e-4, 6.1e-2),
        ("Strang", 0.005, 2.1e-6, 6.2e-4),
        ("Suzuki4", 0.1, 2.6e-8, 5.3e-5),
        ("Suzuki4", 0.02, 4.2e-11, 8.5e-8),
        ("Yoshida4", 0.05, 3.3e-7, 3.9e-4),
    ],
)
def test_free_body_reaches_the_measured_errors(scheme, h, energy_error, state_error) -> None:
    """Largest energy error and error of ``(R, Pi)`` after 1000 time units, measured with independent code."""
    steps = round(1000 / h)
    flow = RigidBodySplitting(MOMENTS, h, scheme)
    start = START.expand(2, 12)  # more than one lane, for the kernel of the other tests
    run = rollout(flow, start, steps, every=steps, observe=OBSERVED, observe_every=1, backend="numba")
    seen = {name: values[:, 0] for name, values in run.observations.items()}
    error = float((seen["energy"] / seen["energy"][0] - 1).abs().max())
    assert energy_error / 2 <= error <= 2 * energy_error
    weight = torch.tensor([1.0] * 9 + list(MOMENTS), dtype=torch.float64)
    state = float(((run.final[0] - exact(1000.0)) * weight).abs().max())
    assert state_error / 2 <= state <= 2 * state_error
    assert float((seen["momentum"] - seen["momentum"][0]).abs().max()) <= 1e-12
    assert float((seen["momentum_norm"] - 1).abs().max()) <= 1e-12
    assert float(seen["orthogonality"].max()) <= 1e-12


def test_closed_form_obeys_the_equations_of_motion() -> None:
    moments = np.array(MOMENTS)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        w = y[9:]
        hat = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
        return np.concatenate(((y[:9].reshape(3, 3) @ hat).ravel(), np.cross(moments * w, w) / moments))

    solved = solve_ivp(slope, (0, 20), START.numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(exact(20.0).numpy(), solved, rtol=0, atol=2e-12)


def test_heavy_top_orders_against_dop853() -> None:
    moments, arm = np.array(MOMENTS), np.array([0.0, 0.2, 1.0])

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        R, w = y[:9].reshape(3, 3), y[9:]
        hat = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
        return np.concatenate(((R @ hat).ravel(), (np.cross(moments * w, w) + np.cross(R[2], arm)) / moments))

    time = 3.0
    truth = solve_ivp(slope, (0, time), START.numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    for scheme, order, count in (
        ("Strang", 2, 60),
        ("Suzuki4", 4, 16),
        ("KahanLi6", 6, 12),
        ("KahanLi8", 8, 10),
    ):
        errors = []
        for steps in (count, 2 * count):
            flow = RigidBodySplitting(MOMENTS, time / steps, scheme, TOP)
            assert flow.order == order
            errors.append(float((flow.unroll(START, steps=steps)[-1] - torch.tensor(truth)).abs().max()))
        assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.4), (scheme, errors)


def test_structure_of_a_step() -> None:
    for flow, x in (
        (RigidBodySplitting(MOMENTS, 0.1, "Suzuki4"), spread(3)),
        (RigidBodySplitting(MOMENTS, 0.1, "Strang", TOP), spread(3)),
        (RigidBodySplitting(MOMENTS, 0.05, "Yoshida4", TOP, mass=1.3), thrown(spread(2))),
    ):
        certificate = certify(flow, x, steps=64, backend="torch")
        assert certificate.symplectic_defect is not None
        assert certificate.symplectic_defect <= 1e-13
        assert certificate.reversibility is not None
        assert certificate.reversibility <= 1e-14
        assert certificate.inverse is not None
        assert certificate.inverse <= 1e-14
        assert not certificate.energy_drifts
        assert max(certificate.group_error.values()) <= 1e-13
        assert all(m.drift <= 1e-11 for m in certificate.momentum if m.conserved)


def test_agrees_with_the_variational_integrator_as_the_step_shrinks() -> None:
    x = thrown(START)
    inertia = torch.diag(torch.tensor(MOMENTS, dtype=torch.float64))
    gaps = []
    for steps in (100, 200):
        splitting = RigidBodySplitting(MOMENTS, 1 / steps, potential=TOP, mass=1.3)
        variational = RigidBodyIntegrator(SE3, 1 / steps, inertia, TOP, mass=1.3)
        gaps.append(splitting.unroll(x, steps=steps)[-1] - variational.unroll(x, steps=steps)[-1])
    sizes = [float(gap.abs().max()) for gap in gaps]
    assert sizes[0] <= 1e-4
    assert math.log2(sizes[0] / sizes[1]) == pytest.approx(2, abs=0.1)


def test_learned_potentials_and_kernels_agree_with_torch() -> None:
    generator = torch.Generator().manual_seed(2)
    learned = NeuralPotential(SO3, hidden=(4,), generator=generator).double()
    moving = NeuralPotential(SE3, hidden=(4,), generator=generator).double()
    x = spread(3)
    for flow, start, names in (
        (RigidBodySplitting(MOMENTS, 0.05), x, OBSERVED),
        (RigidBodySplitting(MOMENTS, 0.05, "Suzuki4", moving, mass=1.3), thrown(x), ["energy"]),
    ):
        torched, compiled = (
            rollout(flow, start, 100, observe=names, observe_every=1, backend=backend)
            for backend in ("torch", "numba")
        )
        torch.testing.assert_close(torched.states, compiled.states, rtol=0, atol=1e-12)
        for name, values in torched.observations.items():
            torch.testing.assert_close(values, compiled.observations[name], rtol=0, atol=1e-12)
    assert isinstance(RigidBodySplitting(MOMENTS, 0.1, potential=learned).kernel_program([]), KernelProgram)


def test_gradients_transforms_and_single_precision() -> None:
    flow = RigidBodySplitting(MOMENTS, 0.1, "Suzuki4", TOP)
    x = spread(2).requires_grad_()
    assert torch.autograd.gradcheck(flow, (x,))
    detached = x.detach()
    torch.testing.assert_close(torch.vmap(flow)(detached), flow(detached))
    assert flow(detached[:0]).shape == (0, 12)
    assert torch.vmap(torch.func.jacrev(flow))(detached).shape == (2, 12, 12)
    single = RigidBodySplitting(torch.tensor(MOMENTS), 0.1)
    assert single(detached.float()).dtype == torch.float32


def test_what_it_cannot_treat_is_refused() -> None:
    skewed = torch.diag(torch.tensor(MOMENTS)).double() + 0.1
    with pytest.raises(ValueError, match="RigidBodyIntegrator"):
        RigidBodySplitting(skewed, 0.1)
    with pytest.raises(ValueError, match="scheme: expected one of"):
        RigidBodySplitting(MOMENTS, 0.1, "Verlet")
    with pytest.raises(ValueError, match="positive principal moments"):
        RigidBodySplitting((1.0, 2.0, -1.0), 0.1)
    with pytest.raises(ValueError, match="h: expected"):
        RigidBodySplitting(MOMENTS, 0.0)
    with pytest.raises(ValueError, match="control: expected None"):
        RigidBodySplitting(MOMENTS, 0.1)(START, torch.zeros(1, dtype=torch.float64))
