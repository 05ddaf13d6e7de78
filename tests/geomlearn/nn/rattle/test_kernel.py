"""The compiled loop: the same states as torch, one loop over alike substeps, failures by trajectory."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from geomlearn.nn import MLP, LearnedMass, RattleNet
from integrators import Status, measure_drift, rollout
from tests.integrators.kernels._interpreted import run_program

from ._nets import ROD, RODS, H, fast_pendulum, flat, generator, net, starts

NO_INPUTS = torch.zeros(0, 1, 1, dtype=torch.float64)
NAMES = ["energy", "constraint"]


def mixed() -> RattleNet:
    widths = [5, 5, 3, 3]
    own = [MLP((4, w, 1), "softplus", generator=generator(k)) for k, w in enumerate(widths)]
    return RattleNet(8, RODS, H, 4, potentials=own, fractions=(0.3, 0.2, 0.4, 0.1), learn_steps=False)


CASES: dict[str, tuple[Any, int]] = {
    "own potentials": (net, 1),
    "one potential": (lambda: net(shared=True), 1),
    "two kinds": (mixed, 2),
    "learned masses and friction": (
        lambda: net(mass=LearnedMass((1.0, 1.7), 2), friction=torch.nn.Parameter(torch.tensor(0.3).double())),
        1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel_text_against_torch(name: str) -> None:
    make, loops = CASES[name]
    model = make()
    x = model.project(starts(3)).detach()
    program = model.kernel_program(NAMES)
    step = program.builder.function("step", "A, P")
    assert len(re.findall("for stage in range", step)) == loops
    states, seen, codes = run_program(program, x, 20, NO_INPUTS)
    run = rollout(model, x, 20, observe=NAMES, observe_every=1, backend="torch")
    torch.testing.assert_close(states[-1], run.final, rtol=0, atol=1e-13)
    for k, values in enumerate(seen.unbind(0)):
        torch.testing.assert_close(values[:, 0], run.observations["energy"][k + 1], rtol=0, atol=1e-13)
        assert float(values[:, 1:].abs().max()) < 1e-14
    assert not codes.any()


def test_numbers_are_read_when_a_rollout_begins() -> None:
    model = net()
    before = model.kernel_program([]).source(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    assert model.kernel_program([]).source(1) == before


def test_failures_stop_their_trajectories_alone() -> None:
    model = RattleNet(4, ROD, 0.15, 2, potentials=[flat(), flat()], fractions=(0.01, 0.99))
    x = torch.stack((model.project(fast_pendulum() * 0.5), fast_pendulum())).detach()
    run = rollout(model, x, 20, observe=["constraint"], backend="torch")
    assert run.failed_at.tolist() == [-1, 1]
    assert run.status.tolist() == [Status.OK, Status.NOT_CONVERGED]
    torch.testing.assert_close(run.final[1], fast_pendulum())
    assert float(run.observations["constraint"].abs().max()) < 1e-14
    states, _, codes = run_program(model.kernel_program([]), x, 20, NO_INPUTS)
    assert codes.tolist() == [Status.OK, Status.NOT_CONVERGED]
    torch.testing.assert_close(states[-1], run.final, rtol=0, atol=1e-12)


def test_functions_as_constraints_have_no_kernel() -> None:
    model = RattleNet(4, lambda q: (q * q).sum(-1, keepdim=True) - 1, 0.1, hidden=(3,), generator=generator())
    x = model.project(torch.tensor([0.6, -0.9, 0.2, 0.1], dtype=torch.float64))
    same = RattleNet(4, ROD, 0.1, hidden=(3,), generator=generator())
    torch.testing.assert_close(model(x), same(x), rtol=0, atol=1e-15)
    with pytest.raises(TypeError, match="a function in torch has no kernel code"):
        model.kernel_program([])


@pytest.mark.slow
def test_compiled_against_torch_and_a_quarter_of_a_million_substeps() -> None:
    model = net(hidden=(6,), generator=generator(4)).with_step(0.4 * H)
    x = model.project(starts(1)).detach()
    runs = [rollout(model, x, 50, backend=name) for name in ("torch", "numba")]
    torch.testing.assert_close(runs[0].final, runs[1].final, rtol=0, atol=1e-12)
    run = rollout(model, x, 80_000, every=80, backend="numba")
    run.raise_for_status()
    assert float(model.constraint(run.states).detach().abs().max()) < 1e-13
    energy = model.energy(run.states[:, 0]).detach().numpy()
    assert not measure_drift(run.times.numpy(), energy).significant
