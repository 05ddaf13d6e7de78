"""Derivatives of networks on constraints, and what they learn from short motions of pendulums."""

from __future__ import annotations

import torch
from torch import Tensor

from geomlearn.data import Windows
from geomlearn.nn import LearnedMass, RattleNet
from geomlearn.training import fit
from integrators import ConstrainedHamiltonian, FlowMap, Rattle, measure_drift, rollout
from integrators.composition import symmetric_composition

from ._nets import ROD, RODS, cartesian, generator, net, starts, true_chain


def recorded(truth: ConstrainedHamiltonian, x: Tensor, h: float, steps: int) -> Tensor:
    """Motions ``(batch, steps + 1, n)`` by a method of order four at a quarter of the step."""
    fine = symmetric_composition(Rattle(truth, h / 4), "Suzuki4")
    motion = rollout(fine, truth.project(x), 4 * steps, every=4, backend="torch")
    return motion.states.movedim(0, 1)


def trained(flow: FlowMap, states: Tensor, steps: int) -> float:
    """Loss at the end of a fit by Levenberg-Marquardt."""
    windows = Windows(states, None, flow.h, flow.space)
    return fit(flow, windows, optimizer="levenberg-marquardt", steps=steps, progress=False).losses[-1]


def test_gradients_against_central_differences() -> None:
    """Through three substeps: potentials, masses, lengths of substeps and friction."""
    rate = torch.nn.Parameter(torch.tensor(0.4, dtype=torch.float64))
    flow = net(mass=LearnedMass((1.0, 1.5), coordinates=2), friction=rate).velocities()
    states = starts(4)  # with unit masses, momenta are velocities
    target = starts(4, seed=2)

    def loss() -> Tensor:
        return (flow(states) - target).square().mean()

    parameters = dict(flow.named_parameters())
    slopes = torch.autograd.grad(
        loss(), list(parameters.values()), allow_unused=True, materialize_grads=True
    )  # what is added to a potential does not matter
    assert len(parameters) == 3 * 6 + 3 + 1 + 1
    for (name, parameter), slope in zip(parameters.items(), slopes, strict=True):
        direction = torch.randn(parameter.shape, generator=generator(7), dtype=torch.float64)
        values = []
        with torch.no_grad():
            for sign in (1, -2, 1):
                parameter.add_(sign * 1e-5 * direction)
                values.append(loss())
        difference = float(values[0] - values[1]) / 2e-5
        found = float((slope * direction).sum())
        assert abs(found - difference) <= 1e-6 * abs(difference) + 1e-9, name


def test_derivatives_forwards_and_backwards_agree() -> None:
    model, x = net(), starts(1)[0]
    forward, backward = torch.func.jacfwd(model)(x), torch.func.jacrev(model)(x)
    torch.testing.assert_close(forward, backward, rtol=0, atol=1e-13)


def test_pendulum_learned_from_single_steps() -> None:
    truth = ConstrainedHamiltonian("(p1**2 + p2**2)/2 + 9.81*q2", ROD)
    angle, rate = (0.8 * torch.randn(2, 40, generator=generator(5), dtype=torch.float64)).unbind(0)
    s, c = angle.sin(), angle.cos()
    states = recorded(truth, torch.stack((s, -c, c * rate, s * rate), -1), 0.1, 1)
    model = RattleNet(4, ROD, 0.1, 1, (8,), shared=True, learn_steps=False, gain=0.1, generator=generator(1))
    assert trained(model, states[:32], 10) < 2e-4
    run = rollout(model, states[32:, 0], 200, observe={"truth": truth.energy}, backend="torch")
    run.raise_for_status()
    values = run.observations["truth"]
    swing = values[0] + 9.81
    assert float(((values - values[0]).abs() / swing).max()) < 0.1
    assert float(model.constraint(run.states).detach().abs().max()) < 1e-14
    energy = model.energy(run.states).detach()
    for k in range(8):
        assert not measure_drift(run.times.numpy(), energy[:, k].numpy()).significant


def test_ratio_of_masses_of_a_double_pendulum_is_found_from_velocities() -> None:
    truth, h = true_chain(1.0, 1.6), 0.05
    mass = torch.tensor([1.0, 1.0, 1.6, 1.6], dtype=torch.float64)
    z = 0.6 * torch.randn(24, 4, generator=generator(5), dtype=torch.float64)
    states = recorded(truth, cartesian(z, mass), h, 2)
    states = torch.cat((states[..., :4], states[..., 4:] / mass), -1)
    learned = LearnedMass((1.0, 1.0), coordinates=2)
    model = RattleNet(
        8, RODS, h, 1, (8,), shared=True, learn_steps=False, mass=learned, gain=0.1, generator=generator(1)
    )
    flow = model.velocities()
    assert trained(flow, states, 12) < 5e-5
    ratio = learned().detach()
    assert abs(float(ratio[2] / ratio[0]) - 1.6) < 0.1
    torch.testing.assert_close(flow.inverse(flow(states[:, 0])), states[:, 0], rtol=0, atol=1e-12)
    half = flow.with_step(h / 2)
    assert half.flow.h == h / 2
    assert float((half(half(states[:, 0])) - flow(states[:, 0])).detach().abs().max()) < 0.01
