"""Forces, potentials and invariants decorated with numba.njit: torch, kernels, the cache, and refusals."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from integrators import (
    BlanesMoanS10,
    GaussLegendre,
    MechanicalSystem,
    ModuleHamiltonian,
    Status,
    Verlet,
    rollout,
)
from integrators.systems._numba_source import read_source
from integrators.systems._numba_text import kernel_function, torch_function

from ..kernels._interpreted import run_program

DOUBLE = torch.float64
GRAVITY = np.float64(9.81)
WEIGHTS = (1.0, -0.5, 0.25)
UNKNOWN = np.ones(3)


@numba.njit
def bend(x, stiffness=-2.0):
    """A helper with a default and a docstring."""
    return stiffness * math.sin(x)


@numba.njit
def force(q, t, a, w):
    x, y = q
    total = 0.0
    for k in range(len(WEIGHTS)):
        total += WEIGHTS[k] * np.cos((k + 1) * x)
    side = -math.exp(-y * y) * y if y > 0.3 or y < -5.0 else np.where(y > 0, -y, math.tanh(-y))
    return bend(x) - 0.1 * GRAVITY * x + 0.1 * total, side - y + a * math.cos(w * t)


@numba.njit
def saddle(q):
    return 0.5 * (q[0] ** 2 + q[1] ** 2) + q[0] ** 2 * q[1] - q[1] ** 3 / 3


@numba.njit
def saddle_force(q):
    return -q[0] - 2 * q[0] * q[1], -q[1] - q[0] ** 2 + q[1] ** 2


@numba.njit
def moments(z):
    return z[0] * z[3] - z[1] * z[2], max(z[0], z[1])


@numba.njit
def stepwise(q):
    if q[0] > 0:
        return (-1.0,)
    return (1.0,)


@numba.njit
def sunk(q):
    return (0.1 - math.sqrt(q[0]),)


@numba.njit
def sunk_potential(q):
    return 2 * q[0] ** 1.5 / 3 - 0.1 * q[0]


wall = numba.njit(lambda q: (-(q[0] ** 3),))


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def driven() -> MechanicalSystem:
    return MechanicalSystem(2, force=force, mass=[1.0, 2.0], parameters={"a": 0.3, "w": 1.7})


def test_torch_computes_what_numba_computes() -> None:
    system = driven()
    q, t = points(50, 2), points(50, 1, seed=1)
    found = system.force(q, t)
    for k in range(50):
        expected = force.py_func((float(q[k, 0]), float(q[k, 1])), float(t[k, 0]), 0.3, 1.7)
        torch.testing.assert_close(found[k], torch.tensor(expected, dtype=DOUBLE), rtol=1e-14, atol=1e-14)
    assert system.force(q[:0], t[:0]).shape == (0, 2)
    assert system.force(q.reshape(5, 10, 2), t.reshape(5, 10, 1)).shape == (5, 10, 2)
    torch.testing.assert_close(torch.vmap(system.force)(q, t), found, rtol=0, atol=0)
    x = torch.cat((q, q, t), -1)
    torch.testing.assert_close(system.field(x)[:, 2:], torch.cat((found, torch.ones(50, 1)), -1))


def test_forces_and_parameters_are_differentiable() -> None:
    stiffness = nn.Parameter(torch.tensor(1.3, dtype=DOUBLE))
    system = MechanicalSystem(2, force=force, parameters={"a": stiffness, "w": 1.0})
    flow = Verlet(system, 0.1)
    x = torch.cat((points(3, 4), torch.zeros(3, 1)), -1).requires_grad_()

    def end(x: Tensor, a: Tensor) -> Tensor:
        return torch.func.functional_call(flow, {"system.value_a": a}, (x,))

    assert torch.autograd.gradcheck(end, (x, stiffness))


def test_potential_and_force_are_held_to_each_other() -> None:
    system = MechanicalSystem(2, potential=saddle, force=saddle_force, invariants={"moments": moments})
    assert system.observables == {"energy": 1, "moments": 2}
    x = points(6, 4)
    energy = 0.5 * (x[:, 2:] ** 2).sum(-1) + 0.5 * (x[:, :2] ** 2).sum(-1)
    energy = energy + x[:, 0] ** 2 * x[:, 1] - x[:, 1] ** 3 / 3
    torch.testing.assert_close(system.energy(x), energy, rtol=1e-14, atol=1e-14)
    slope = torch.func.grad(lambda q: -system.energy(torch.cat((q, x[:, 2:]), -1)).sum())(x[:, :2])
    torch.testing.assert_close(system.force(x[:, :2]), slope, rtol=1e-13, atol=1e-14)
    without = MechanicalSystem(2, potential=saddle)
    torch.testing.assert_close(without.force(x[:, :2]), slope, rtol=1e-13, atol=1e-14)
    momentum = torch.stack((x[:, 0] * x[:, 3] - x[:, 1] * x[:, 2], x[:, :2].max(-1).values), -1)
    torch.testing.assert_close(system.invariant("moments", x), momentum, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"force: expected -dV/dq = .* at q = .* or leave the potential out"):
        MechanicalSystem(2, potential=lambda q: (q**2).sum(-1), force=saddle_force)


def test_driven_trajectory_follows_dop853() -> None:
    flow = BlanesMoanS10(driven(), 0.02)
    start = torch.tensor([0.4, 0.5, 0.1, -0.2, 0.0], dtype=DOUBLE)

    def slope(t: float, z: np.ndarray) -> list[float]:
        push = force.py_func((z[0], z[1]), t, 0.3, 1.7)
        return [z[2], z[3] / 2.0, push[0], push[1]]

    # up to where y first reaches 0.3, where this force jumps
    exact = solve_ivp(slope, (0, 0.4), start[:4].numpy(), method="DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    run = rollout(flow, start, 20, backend="torch")
    assert float(run.states[:, 1].min()) > 0.3
    torch.testing.assert_close(run.final[:4], torch.from_numpy(exact), rtol=0, atol=1e-11)


@pytest.mark.parametrize("lanes", [1, 3])
def test_generated_code_follows_torch(lanes: int) -> None:
    saddles = MechanicalSystem(2, potential=saddle, force=saddle_force, invariants={"moments": moments})
    cubic = MechanicalSystem(1, force=wall, mass=2.0)
    cases: tuple[tuple[MechanicalSystem, int, list[str]], ...] = (
        (saddles, 4, ["energy", "moments"]),
        (driven(), 5, []),
        (cubic, 2, []),
    )
    for system, size, names in cases:
        flow = Verlet(system, 0.05) if names else GaussLegendre(system, 0.05)
        x = 0.2 * points(lanes, size)
        states, observed, codes = run_program(flow.kernel_program(names), x, 100, torch.zeros(0, 1, 0))
        expected = rollout(flow, x, 100, observe=names, backend="torch")
        assert codes.tolist() == [0] * lanes
        torch.testing.assert_close(states, expected.states[1:], rtol=0, atol=1e-12)
        if names:
            values = torch.cat(
                (expected.observations["energy"][..., None], expected.observations["moments"]), -1
            )
            torch.testing.assert_close(observed, values[1:], rtol=0, atol=1e-12)


def test_the_text_depends_on_the_function_alone() -> None:
    first, second = (
        driven(),
        MechanicalSystem(2, force=force, mass=[3.0, 1.0], parameters={"a": 1.0, "w": 2.0}),
    )
    sources = [Verlet(s, 0.1).kernel_program([]).source(32) for s in (first, second, copy.deepcopy(first))]
    assert sources[0] == sources[1] == sources[2]
    assert "9.81" in sources[0]
    assert "sine(x)" in sources[0]
    assert "math.sin(" not in sources[0].split("def inline_bend")[1].split("def run_block")[0]


def test_a_branch_runs_for_one_state_and_is_refused_for_a_batch() -> None:
    system = MechanicalSystem(1, force=stepwise)
    torch.testing.assert_close(system.force(points(1)).abs(), torch.ones(1, dtype=DOUBLE))
    message = "stepwise branches on values.*write 'a if condition else b' or numpy.where.*backend='numba'"
    with pytest.raises(TypeError, match=message):
        system.force(points(3, 1))
    with pytest.raises(TypeError, match=message):
        torch.vmap(system.force)(points(3, 1))
    program = Verlet(system, 0.1).kernel_program([])
    x = torch.tensor([[0.05, 0.0], [-0.2, 0.0]], dtype=DOUBLE)
    states, _, _ = run_program(program, x, 1, torch.zeros(0, 1, 0))
    torch.testing.assert_close(
        states[0, :, 0], x[:, 0] + 0.005 * torch.tensor([-1.0, 1.0], dtype=DOUBLE), rtol=0, atol=1e-15
    )


def test_numbers_that_are_not_finite_stop_their_trajectory_and_name_it() -> None:
    flow = Verlet(MechanicalSystem(1, force=sunk), 0.1)
    x = torch.tensor([[0.01, 0.0], [0.01, -0.5]], dtype=DOUBLE)
    run = rollout(flow, x, 5, backend="torch")
    assert run.status.tolist() == [0, Status.NON_FINITE]
    assert run.failed_at.tolist() == [-1, 1]
    with pytest.raises(
        ArithmeticError, match=r"batch index \(1,\): a state, force or control became NaN.*step 1"
    ):
        run.raise_for_status()


FUNCTIONS = [
    ("q[0] + math.acos(q[1]) + math.atan2(q[0], q[1]) + np.hypot(q[0], 2)", True),
    ("math.log1p(q[1]) + np.sqrt(q[1]) ** 3 + pow(q[1], 0.3) + math.pi + np.power(q[1], 2)", True),
    ("max(q[0], 0.1, q[1]) - min(q) + abs(q[0]) + np.abs(-q[1]) + math.fabs(q[0])", True),
    (
        "np.maximum(q[0], 0.2) + np.minimum(q[1], 0.1) + np.sign(q[0]) + np.arctan(q[1]) + math.floor(q[0])",
        True,
    ),
    ("float(q[0]) + math.cosh(q[1]) * math.sqrt(2) / math.exp(-0.5) + (2 if len(q) == 2 else 3)", True),
    (
        "(0.1 if q[0] > 0 else -0.3) + (q[1] if 0 < q[0] < 0.5 or not q[1] < 0.7 else 1) * 2 - len(q) / 3",
        True,
    ),
    ("np.linalg.norm(q)", False),
    ("np.random.rand()", False),
    ("sum(q)", False),
    ("UNKNOWN[0] * q[0]", False),
    ("points(1)", False),
    ("nowhere * q[0]", False),
    ("[x for x in q][0]", False),
    ("(lambda x: x)(q[0])", False),
]


@pytest.mark.parametrize(("expression", "known"), FUNCTIONS)
def test_functions_that_are_known_agree_and_others_are_refused(expression, known, tmp_path: Path) -> None:
    path = tmp_path / "user.py"
    path.write_text(f"import math\n\ndef function(q):\n    return {expression}\n")
    user: dict[str, Any] = {"np": np, "UNKNOWN": UNKNOWN, "points": points}
    exec(compile(path.read_text(), str(path), "exec"), user)
    function: Any = numba.njit(user["function"])
    if not known:
        with pytest.raises(TypeError, match=r"potential: function"):
            MechanicalSystem(2, potential=function)
        return
    q = torch.tensor([[0.3, 0.6], [-0.2, 0.8], [0.7, 0.05]], dtype=DOUBLE)
    found = torch_function(read_source(function, "potential"))(tuple(q.unbind(-1)))
    expected = [function.py_func(tuple(row)) for row in q.tolist()]
    torch.testing.assert_close(found.to(DOUBLE), torch.tensor(expected, dtype=DOUBLE), rtol=1e-14, atol=1e-14)
    scope: dict[str, Any] = {
        "math": math,
        "np": np,
        "sine": math.sin,
        "cosine": math.cos,
        "exponential": math.exp,
    }
    texts: dict[str, str] = {}
    name = kernel_function(read_source(function, "potential"), texts)
    exec(texts[name], scope)
    torch.testing.assert_close(
        [scope[name](tuple(row)) for row in q.tolist()], expected, rtol=1e-14, atol=1e-14
    )


def test_forces_that_cannot_be_taken_are_refused() -> None:
    stiffness = 2.0

    @numba.njit
    def captured(q):
        return (-stiffness * q[0],)

    @numba.njit
    def itself(q):
        return itself(q)

    two = [numba.njit(lambda q: (-q[0],)), numba.njit(lambda q: (q[0],))]
    hidden = numba.njit(eval("lambda q: (-q[0],)"))
    cases: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: MechanicalSystem(1, force=lambda q: -q), "decorated with numba.njit, got <function"),
        (lambda: MechanicalSystem(1, force=nn.Tanh()), "decorated with numba.njit, got Tanh"),
        (lambda: MechanicalSystem(1, force=captured), "captures stiffness.*parameters="),
        (lambda: MechanicalSystem(1, force=itself), "captures itself"),
        (lambda: MechanicalSystem(1, force=hidden), "source cannot be read|cannot tell"),
    )
    for make, message in cases:
        with pytest.raises(TypeError, match=message):
            make()
    assert float(MechanicalSystem(1, force=two[0]).force(torch.ones(1, dtype=DOUBLE))) == -1
    assert float(MechanicalSystem(1, force=two[1]).force(torch.ones(1, dtype=DOUBLE))) == 1
    others: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: MechanicalSystem(3, force=saddle_force), "expected a tuple of 3 numbers, got a tuple of 2"),
        (lambda: MechanicalSystem(2, force=saddle), "expected a tuple of 2 numbers, got a number"),
        (lambda: MechanicalSystem(2, potential=saddle_force), "returns a number"),
        (lambda: MechanicalSystem(2, force=force), r'parameters=\{"a": value\}'),
        (lambda: MechanicalSystem(2, force=saddle_force, parameters={"k": 1.0}), "k is an argument of none"),
        (
            lambda: ModuleHamiltonian(
                lambda x: x.sum(-1), 1, invariants={"I": numba.njit(lambda z, t: z[0] * t)}
            ),
            "of the state alone",
        ),
    )
    for make, message in others:
        with pytest.raises(ValueError, match=message):
            make()
    alone = MechanicalSystem(2, force=saddle_force)
    assert "energy" not in alone.observables
    with pytest.raises(NotImplementedError, match="give potential="):
        alone.energy(points(4))
    with pytest.raises(TypeError, match="give force= too"):
        rollout(Verlet(MechanicalSystem(2, potential=saddle), 0.1), points(4), 1, backend="numba")


SECOND_PROCESS = """
import json, sys
import torch
from integrators import MechanicalSystem, Verlet, rollout
from integrators.kernels import load_kernel
from user_force import pull

flow = Verlet(MechanicalSystem(2, force=pull, parameters={"k": 2.0}), 0.05)
x = torch.tensor([[0.4, 0.1, 0.0, 0.3], [1.0, -0.2, 0.1, 0.0]], dtype=torch.float64)
ends = [rollout(flow, x, 100, backend=b).final for b in sys.argv[1:]]
kernel = load_kernel(flow.kernel_program([]), 32)
stats = kernel.run_serial.stats
counts = [sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]
print(json.dumps([*counts, [end.tolist() for end in ends]]))
"""
USER_FORCE = """
import math

import numba

STIFF = 3.0


@numba.njit
def spring(x, k):
    return -k * math.sin(x)


@numba.njit
def pull(q, k):
    return spring(q[0], k) - q[1], spring(q[1], STIFF) - q[0]
"""


@pytest.mark.slow
def test_compiled_rollouts_equal_torch_and_failures_freeze_alike() -> None:
    flow = Verlet(MechanicalSystem(1, potential=sunk_potential, force=sunk), 0.1)
    x = torch.tensor([[0.01, 0.0], [0.01, -0.5], [0.02, 0.001]], dtype=DOUBLE)
    runs = [rollout(flow, x, 100, observe="energy", backend=backend) for backend in ("numba", "torch")]
    assert runs[0].failed_at.tolist() == runs[1].failed_at.tolist() == [-1, 1, -1]
    assert runs[0].status.tolist() == runs[1].status.tolist() == [0, Status.NON_FINITE, 0]
    torch.testing.assert_close(runs[0].final, runs[1].final, rtol=0, atol=1e-12)
    energies = [run.observations["energy"] for run in runs]
    torch.testing.assert_close(energies[0], energies[1], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_second_process_takes_the_compiled_force_from_the_disk(tmp_path: Path) -> None:
    (tmp_path / "user_force.py").write_text(USER_FORCE)

    def run(*backends: str):
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "GEOMLEARN_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", SECOND_PROCESS, *backends],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    hits, misses, (compiled, expected) = run("numba", "torch")
    assert (hits, misses) == (0, 1)
    torch.testing.assert_close(torch.tensor(compiled), torch.tensor(expected), rtol=0, atol=1e-12)
    assert run("numba") == [1, 0, [compiled]]


@numba.njit
def counted(q, n=2, scale=3):
    total = 0
    for i in range(n):
        total += (i + 1) * q[0] * 2
    return total / scale + (1 if total > 4 else q[0]) + math.sqrt(5) + max(1, q[0]), 7


def test_whole_numbers_that_meet_others_are_written_as_floats() -> None:
    texts: dict[str, str] = {}
    name = kernel_function(read_source(counted, "force"), texts)
    assert texts[name].split("\n", 1) == [
        f"def {name}(q, n=2, scale=3.0):",
        "    total = 0.0\n"
        "    for i in range(n):\n"
        "        total += float(i + 1) * q[0] * 2.0\n"
        "    return (total / scale + (1.0 if total > 4.0 else q[0]) + math.sqrt(5.0) + max(1.0, q[0]), 7.0)",
    ]
