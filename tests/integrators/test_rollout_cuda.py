"""Rollouts on CUDA: in numba's simulator against torch, compiled to PTX, and on a GPU if there is one."""

from __future__ import annotations

import re

import pytest
import torch

from integrators import SRKN6, Hamiltonian, rollout

from ._cuda import run

pytest.importorskip("numba_cuda", reason="this machine has no numba-cuda; install the extra cuda")

FLOWS = """
import numpy as np
import torch
from torch import nn

import integrators as gi
from lie import SO3

HENON = gi.Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
PENDULUM = gi.zoo.double_pendulum().system
torch.manual_seed(0)
NETWORK = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).double()
X = torch.tensor([[0.0, 0.1, 0.39, 0.05], [0.3, -0.2, 0.1, 0.2]], dtype=torch.float64)
FLOWS = {
    "splitting": gi.BlanesMoanS6(HENON, 0.05),
    "compensated": gi.Verlet(HENON, 0.05, compensated=True),
    "implicit": gi.GaussLegendre(PENDULUM, 0.05),
    "composed": gi.Verlet(HENON, 0.02) @ gi.ImplicitMidpoint(HENON, 0.04) @ gi.Verlet(HENON, 0.02),
    "learned": gi.Verlet(gi.MechanicalSystem(2, NETWORK), 0.05),
}
"""

SIMULATED = """
for name, flow in FLOWS.items():
    runs = [gi.rollout(flow, X, 20, 5, observe=["energy"], backend=b) for b in ("cuda", "torch")]
    assert [run.backend for run in runs] == ["cuda", "torch"]
    assert (runs[0].states - runs[1].states).abs().max() <= 1e-13, name
    assert (runs[0].observations["energy"] - runs[1].observations["energy"]).abs().max() <= 1e-13, name

single = gi.BlanesMoanS6(gi.zoo.henon_heiles().system.float(), 0.05)
there = gi.rollout(single, X.float(), 20, backend="cuda")
assert there.states.dtype == torch.float32
assert (there.final - gi.rollout(FLOWS["splitting"], X, 20, backend="torch").final).abs().max() <= 1e-6

eye = torch.eye(3, dtype=torch.float64)
body = gi.RigidBodyIntegrator(SO3, 0.05, torch.diag(torch.tensor([1.0, 2.0, 2.5])).double(), input_gain=eye)
state = body.space.pack(R=eye, omega=torch.tensor([[0.3, -0.2, 0.5], [90.0, 1.0, 2.0]]).double())
torques = torch.full((20, 1, 3), 0.1, dtype=torch.float64)
runs = [gi.rollout(body, state, 20, 5, controls=torques, backend=b) for b in ("cuda", "torch")]
assert (runs[0].states - runs[1].states).abs().max() <= 1e-13
assert runs[0].status.tolist() == runs[1].status.tolist() and runs[0].status[1] >= 2
assert runs[0].failed_at.tolist() == runs[1].failed_at.tolist()

wild = X.clone()
wild[1, 0] = 1e200
runs = [gi.rollout(FLOWS["splitting"], wild, 20, 5, backend=b) for b in ("cuda", "torch")]
assert runs[0].status.tolist() == runs[1].status.tolist() == [0, 4]
assert torch.equal(runs[0].failed_at, runs[1].failed_at)
assert (runs[0].states[:, 0] - runs[1].states[:, 0]).abs().max() <= 1e-13
"""

PTX = """
import sys
from types import SimpleNamespace

import numba.cuda.dispatcher
from numba import cuda, float32, float64, int8, int64

numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))

for name, flow in FLOWS.items():
    for dtype, number in ((torch.float32, float32), (torch.float64, float64)):
        program = flow.kernel_program(["energy"])
        if program.dtype(dtype) != dtype:
            continue
        module = gi.kernels.load_cuda_kernel(program, dtype)
        rows, block = number[:, ::1], number[:, :, ::1]
        counts = (int64,) * 3
        arguments = (rows, number[::1], block, *counts, block, int64, block, int8[::1], int64[::1])
        text, _ = cuda.compile_ptx(module.run_serial.py_func, arguments, cc=(9, 0))
        print(f"== {name} {dtype}")
        print(text)
"""


def test_simulated_rollouts_equal_those_in_torch() -> None:
    done = run(FLOWS + SIMULATED, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr


def test_ptx_of_single_precision_computes_in_single_precision() -> None:
    """A device is not needed; the call that asks for one is answered by the test."""
    done = run(FLOWS + PTX)
    if re.search(r"No such file: lib(nvvm|nvrtc)", done.stderr):
        pytest.skip(f"NVIDIA's compiler is not installed: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    texts = dict(re.findall(r"^== (.*)$\n((?:(?!^== ).*\n)*)", done.stdout, flags=re.MULTILINE))
    assert len(texts) >= 6
    for name, text in texts.items():
        assert ".visible .entry" in text, name
        number = "f32" if "float32" in name else "f64"
        assert len(re.findall(rf"(?:fma\.rn|mul|add)[.a-z]*\.{number}", text)) > 5, name
        assert number == "f64" or ".f64" not in text, name


def test_the_reason_is_given_where_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    flow = SRKN6(Hamiltonian("p**2/2 + q**2/2"), 0.1)
    with pytest.raises(TypeError, match=r"backend: 'cuda' is not possible, since numba finds no CUDA device"):
        rollout(flow, torch.ones(2, dtype=torch.float64), 10, backend="cuda")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_gives_the_trajectories_of_the_cpu() -> None:
    system = Hamiltonian("(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3")
    x = torch.tensor([0.0, 0.1, 0.39, 0.05], dtype=torch.float64) * torch.linspace(0.5, 1, 1000)[:, None]
    flow = SRKN6(system, 0.05)
    there, here = (rollout(flow, start, 1000, 100, observe="energy") for start in (x.cuda(), x))
    assert (there.backend, here.backend) == ("cuda", "numba")
    assert there.states.is_cuda
    assert float((there.states.cpu() - here.states).abs().max()) <= 1e-10
    assert float((there.observations["energy"].cpu() - here.observations["energy"]).abs().max()) <= 1e-13
