"""Compiled rollouts of learned models against torch.

The generated code of many models is executed by Python itself; two models are compiled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geomlearn.nn import (
    DirectFlow,
    LearnedDamping,
    LearnedMatrix,
    LieFVIN,
    LogCholeskyInertia,
    NeuralDamping,
    NeuralGain,
    NeuralPotential,
)
from integrators import FlowMap, Rollout, Status, rollout
from integrators.kernels import cache_folder, load_kernel
from lie import SE3, SO3, LieGroup

from ...integrators.kernels._interpreted import run_program
from ._models import generator, quiet, randn, shaken, states

OBSERVED = ["energy", "kinetic_energy", "potential_energy", "momentum", "orthogonality"]


def model_of(
    group: LieGroup,
    features: str,
    activation: str,
    gain: str,
    damping: str,
    kinetic: str = "trace",
    hidden: tuple[int, ...] = (3, 4),
) -> LieFVIN:
    rows = 3 if group is SO3 else 6
    potential = NeuralPotential(
        group, hidden, features, linear=features == "matrix", activation=activation, generator=generator(1)
    )
    gains: dict[str, Any] = {
        "none": lambda: None,
        "constant": lambda: LearnedMatrix(randn(rows, 2)),
        "neural": lambda: NeuralGain(group, 2, (3,), activation, generator=generator(2)),
    }
    dampings: dict[str, Any] = {
        "none": lambda: None,
        "constant": lambda: LearnedDamping(0.3 * randn(rows, rows)),
        "neural": lambda: NeuralDamping(group, (2,), activation, generator=generator(3)),
    }
    model = quiet(
        group,
        0.02,
        inertia=LogCholeskyInertia(torch.diag(torch.tensor([1.0, 2.0, 2.8], dtype=torch.float64))),
        potential=potential,
        input_gain=gains[gain](),
        dissipation=dampings[damping](),
        kinetic=kinetic,
    )
    return shaken(model, scale=0.1)


def controls_of(flow: FlowMap, steps: int, count: int) -> Tensor:
    return (
        randn(steps, count, flow.control_size, seed=5) if flow.control_size else torch.zeros(0, 1, 1).double()
    )


@pytest.mark.parametrize(
    ("group", "features", "activation", "gain", "damping", "kinetic", "hidden"),
    [
        (SO3, "matrix", "tanh", "constant", "none", "trace", (3, 4)),
        (SO3, "matrix", "sin", "neural", "neural", "cayley", (3,)),
        (SO3, "quaternion", "silu", "none", "constant", "trace", (3, 4)),
        (SO3, "quaternion", "softplus", "neural", "none", "cayley", ()),
        (SE3, "matrix", "softplus", "none", "neural", "trace", (11,)),
        (SE3, "matrix", "silu", "constant", "constant", "cayley", ()),
        (SE3, "quaternion", "sin", "constant", "neural", "trace", (3, 2)),
        (SE3, "quaternion", "tanh", "neural", "none", "trace", (3,)),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_generated_code_follows_torch(
    group: LieGroup,
    features: str,
    activation: str,
    gain: str,
    damping: str,
    kinetic: str,
    hidden: tuple[int, ...],
) -> None:
    model = model_of(group, features, activation, gain, damping, kinetic, hidden)
    x, steps = states(model, 2, speed=0.7), 100
    u = controls_of(model, steps, 2)
    found, observed, codes = run_program(model.kernel_program(OBSERVED), x, steps, u)
    with torch.no_grad():
        expected = model.unroll(x, u if gain != "none" else None, steps=steps)
        quantities = [getattr(model, name)(expected) for name in OBSERVED]
    assert not codes.any()
    assert (found - expected).abs().max() <= 1e-12
    columns = torch.cat([q if q.ndim == 3 else q.unsqueeze(-1) for q in quantities], dim=-1)
    assert (observed - columns).abs().max() <= 1e-12


def test_generated_code_of_the_baseline_follows_torch() -> None:
    model = shaken(DirectFlow(SE3, 0.02, (5, 4), controls=2, generator=generator()), scale=0.02)
    x, u = states(model, 2), randn(100, 2, 2)
    found, _, codes = run_program(model.kernel_program([]), x, 100, u)
    assert not codes.any()
    assert (found - model.unroll(x, u).detach()).abs().max() <= 1e-12
    with pytest.raises(ValueError, match="DirectFlow has no observables"):
        model.kernel_program(["energy"])


def compiled_model() -> LieFVIN:
    """The model of the tests that compile; they share one kernel."""
    return model_of(SO3, "quaternion", "tanh", "constant", "none", hidden=(3,))


def run(model: LieFVIN, backend: str, x: Tensor, steps: int = 100) -> Rollout:
    u = randn(steps, len(x), 2, seed=5)
    return rollout(model, x, steps, controls=u, observe=OBSERVED, backend=backend)


def largest_difference(a: Rollout, b: Rollout) -> float:
    gaps = [a.states - b.states, a.final - b.final]
    gaps += [a.observations[name] - b.observations[name] for name in OBSERVED]
    return max(float(gap.abs().max()) for gap in gaps)


def test_compiled_rollout_and_observers_equal_torch_and_failures_freeze_alike() -> None:
    model = compiled_model()
    x = states(model, 4)
    omega = model.space.slices["omega"]
    x[2, omega] *= 1.2 / (model.h * torch.linalg.vector_norm(x[2, omega]))
    pair = [run(model, backend, x) for backend in ("numba", "torch")]
    assert [r.backend for r in pair] == ["numba", "torch"]
    assert largest_difference(*pair) <= 1e-12
    failed = pair[1].failed_at.tolist()
    assert pair[0].failed_at.tolist() == failed
    assert failed[2] > 1
    assert failed[:2] + failed[3:] == [-1, -1, -1]
    for r in pair:
        assert r.status.tolist() == [Status.OK, Status.OK, Status.UNSOLVABLE, Status.OK]
        last = r.states[failed[2] - 1, 2]
        assert not torch.equal(last, x[2])
        assert torch.equal(r.states[failed[2] :, 2], last.expand(101 - failed[2], 12))


@pytest.mark.slow
def test_compiled_rollout_of_one_moving_body_equals_torch() -> None:
    model = model_of(SE3, "matrix", "silu", "neural", "none", "cayley", hidden=(3,))
    x = states(model)
    u = randn(100, 2, seed=5)
    found, expected = (
        rollout(model, x, 100, controls=u, observe=OBSERVED, backend=backend)
        for backend in ("numba", "torch")
    )
    assert (found.backend, found.ok, expected.ok) == ("numba", True, True)
    assert largest_difference(found, expected) <= 1e-12


def test_retrained_model_runs_in_the_same_kernel_with_its_new_weights() -> None:
    model = compiled_model()
    x = states(model, 4)
    kernel, before = load_kernel(model.kernel_program(OBSERVED), 32), run(model, "numba", x)
    compilations = len(kernel.run_serial.signatures)
    shaken(model, scale=0.05, seed=11)
    after = run(model, "numba", x)
    assert load_kernel(model.kernel_program(OBSERVED), 32) is kernel
    assert len(kernel.run_serial.signatures) == compilations
    assert (after.states - before.states).abs().max() > 1e-3
    assert largest_difference(after, run(model, "torch", x)) <= 1e-12


SECOND_PROCESS = """
import json, torch
from geomlearn.nn import DirectFlow
from integrators import rollout
from integrators.kernels import load_kernel
from lie import SO3

flow = DirectFlow(SO3, 0.02, (4,), generator=torch.Generator().manual_seed(0))
x = flow.space.pack(R=SO3.identity(2, dtype=torch.float64), omega=torch.ones(2, 3, dtype=torch.float64))
final = rollout(flow, x, 3, backend="numba").final
kernel = load_kernel(flow.kernel_program([]), 32)
hits = sum(kernel.run_serial.stats.cache_hits.values())
misses = sum(kernel.run_serial.stats.cache_misses.values())
print(json.dumps({"hits": hits, "misses": misses, "final": final.tolist()}))
"""


@pytest.mark.slow
def test_second_process_takes_the_compiled_kernel_from_the_disk() -> None:
    flow = DirectFlow(SO3, 0.02, (4,), generator=generator())
    x = flow.space.pack(R=SO3.identity(2, dtype=torch.float64), omega=torch.ones(2, 3, dtype=torch.float64))
    first = rollout(flow, x, 3, backend="numba")
    assert torch.allclose(first.final, rollout(flow, x, 3, backend="torch").final, rtol=0, atol=1e-13)
    name = load_kernel(flow.kernel_program([]), 32).__name__
    files = compiled_files(name)
    assert files
    found = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    second = json.loads(found.stdout)
    assert (second["hits"], second["misses"]) == (1, 0)
    assert compiled_files(name) == files
    assert second["final"] == first.final.tolist()


def compiled_files(name: str) -> dict[Path, int]:
    """Compiled code of a module in the cache and when it was written."""
    return {path: path.stat().st_mtime_ns for path in cache_folder().rglob(f"{name}.*.nb[ic]")}
