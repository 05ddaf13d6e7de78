"""Rollouts of systems against C, JAX, torch, torchdiffeq and heyoka, in one process and one thread.

"C" is ``lanes.c`` beside this file: the same methods by hand for blocks of trajectories, compiled here by gcc
with ``-O3 -march=native -fno-math-errno``; "C, fast math" adds ``-ffast-math``, which gives up the order of
sums. Answers are compared before anything is timed. Sides run in turns; a ratio is the median over the turns
of the peer's time over ours, so above 1 we are faster. Compilation is left out on every side.

    python benchmarks/integrators.py            # peers: pip install -e '.[bench,bench-integrators]'
    python benchmarks/integrators.py --only c   # one group of comparisons

Exits 1 if a ratio is below its goal. What is not installed is skipped with a word.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

# This script is called like the package that it measures, which Python would find here first.
HERE = Path(__file__).resolve().parent
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != HERE]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from integrators import (  # noqa: E402
    FlowMap,
    GaussLegendre,
    Hamiltonian,
    MechanicalSystem,
    RigidBodySplitting,
    rollout,
    splitting,
)

warnings.filterwarnings("ignore")  # of the peers

Call = Callable[[], Any]
TURNS = 9
GOALS = {
    "C: Kepler": 0.8,
    "C: Henon-Heiles": 0.8,
    "C: FPUT, 32 masses": 0.8,
    "C: double pendulum": 0.8,
    "C: rigid body": 0.7,
    "JAX: lax.scan, batch 1024": 3.0,
    "torch: eager steps, batch 1024": 50.0,
    "torchdiffeq: fine, batch 1024": 300.0,
    "torch: MLP potential, batch 1": 50.0,
    "torch: MLP potential, batch 4096": 2.5,
}
"""Smallest ratio of a peer's time to ours."""
FIRST_STEP_LIMIT = 1.0
"""Longest time of a process from after ``import torch`` to its first step of a kernel on disk, in seconds."""

HENON_HEILES = "(p1**2 + p2**2)/2 + (q1**2 + q2**2)/2 + q1**2*q2 - q2**3/3"
KEPLER = "(p1**2 + p2**2)/2 - 1/sqrt(q1**2 + q2**2)"
DOUBLE_PENDULUM = "(p1**2 - 2*cos(q1-q2)*p1*p2 + 2*p2**2)/(2*(2 - cos(q1-q2)**2)) - 2*cos(q1) - cos(q2)"


@dataclass(frozen=True)
class Case:
    """A system of ``lanes.c``.

    Attributes:
        function: Name in C.
        flow: Our map.
        x: States ``(batch, n)``.
        steps: Number of steps that are timed.
    """

    function: str
    flow: FlowMap
    x: Tensor
    steps: int


def fput(masses: int = 32) -> Hamiltonian:
    q = ["0", *[f"q{i}" for i in range(1, masses + 1)], "0"]
    bonds = [f"({q[i + 1]} - {q[i]})" for i in range(masses + 1)]
    kinetic = " + ".join(f"p{i}**2/2" for i in range(1, masses + 1))
    return Hamiltonian(kinetic + " + " + " + ".join(f"{d}**2/2 + b*{d}**4/4" for d in bonds), {"b": 0.3})


def around(start: list[float], count: int, spread: float = 1e-3) -> Tensor:
    """States next to one."""
    noise = torch.randn(count, len(start), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.tensor(start, dtype=torch.float64) + spread * noise


def cases() -> dict[str, Case]:
    verlet = splitting.VerletDriftFirst
    string = [4 * math.sqrt(2 / 33) * math.sin(math.pi * j / 33) for j in range(1, 33)] + [0.0] * 32
    body = torch.cat((torch.eye(3).flatten(), torch.tensor([0.45, 0.1, 0.89 * 1.5]))).double()
    return {
        "Kepler": Case("kepler", verlet(Hamiltonian(KEPLER), 0.01), around([0.4, 0, 0, 2], 4096), 30_000),
        "Henon-Heiles": Case(
            "henon_heiles",
            verlet(Hamiltonian(HENON_HEILES), 0.05),
            around([0, 0.1, 0.39, 0.05], 4096),
            80_000,
        ),
        "FPUT, 32 masses": Case("fput", verlet(fput(), 0.2), around(string, 1024), 24_000),
        "double pendulum": Case(
            "double_pendulum",
            GaussLegendre(Hamiltonian(DOUBLE_PENDULUM), 0.01),
            around([1, 0.5, 0, 0], 1024),
            300,
        ),
        "rigid body": Case(
            "rigid_body",
            RigidBodySplitting((2.0, 1.0, 2 / 3), 0.05),
            body.expand(1024, 12).contiguous(),
            2000,
        ),
    }


@cache
def installed(name: str, extra: str = "bench-integrators") -> ModuleType | None:
    """A peer, or None and a word."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"skipped: {name} is not installed (pip install -e '.[{extra}]')")
        return None


def kernel(flow: FlowMap, x: Tensor, steps: int) -> Callable[[], Tensor]:
    """Our rollout; only its end is kept."""
    return lambda: rollout(flow, x, steps, every=steps, backend="numba", parallel=False, progress=False).final


def measure(calls: dict[str, Call], turns: int = TURNS) -> dict[str, list[float]]:
    """Seconds of each call, in turns."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(peer: list[float], own: list[float]) -> float:
    """Median over the turns of the peer's time over ours."""
    return statistics.median(p / o for p, o in zip(peer, own, strict=True))


def largest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def agree(name: str, a: Tensor, b: Tensor, tolerance: float) -> None:
    """Answers must be equal before they are timed."""
    if not largest(a, b) < tolerance:
        raise RuntimeError(f"{name}: the answers differ by {largest(a, b):.3g}")


class Report:
    """Prints and keeps the ratios."""

    def __init__(self) -> None:
        self.saved: dict[str, float] = {}
        self.missed: list[str] = []

    def add(self, name: str, value: float, note: str = "") -> None:
        """Take note of a ratio and compare it with its goal."""
        self.saved[name] = round(value, 3)
        goal = GOALS.get(name)
        mark = "" if goal is None else f"  goal {goal:g}" + ("" if value >= goal else ", MISSED")
        print(f"{name:44s}{value:10.2f}{mark}{'  ' + note if note else ''}", flush=True)
        if goal is not None and value < goal:
            self.missed.append(f"{name}: {value:.2f}, goal {goal:g}")


def compiled_c(folder: str, *options: str) -> ctypes.CDLL | None:
    gcc = shutil.which("gcc")
    if gcc is None:
        print("skipped: there is no gcc")
        return None
    library = Path(folder) / f"lanes{len(options)}.so"
    source = str(HERE / "lanes.c")
    command = [
        gcc,
        "-O3",
        "-march=native",
        "-fno-math-errno",
        *options,
        "-shared",
        "-fPIC",
        source,
        "-o",
        str(library),
        "-lm",
    ]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def c_call(library: ctypes.CDLL, case: Case, steps: int) -> Callable[[], Tensor]:
    function = getattr(library, case.function)

    def call() -> Tensor:
        x = case.x.clone()
        count, h = ctypes.c_long(len(x)), ctypes.c_double(case.flow.h)
        function(ctypes.c_void_p(x.data_ptr()), count, ctypes.c_long(steps), h)
        return x

    return call


def against_c(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain, fast = compiled_c(folder), compiled_c(folder, "-ffast-math")
        if plain is None or fast is None:
            return
        for name, case in cases().items():
            for library in (plain, fast):
                agree(name, kernel(case.flow, case.x, 100)(), c_call(library, case, 100)(), 1e-10)
            own = kernel(case.flow, case.x, case.steps)
            c, fast_c = (c_call(library, case, case.steps) for library in (plain, fast))
            times = measure({"own": own, "C": c, "fast": fast_c})
            million = 1e-6 * case.steps * len(case.x) / min(times["own"])
            report.add(f"C: {name}", ratio(times["C"], times["own"]), f"{million:.0f} million steps/s")
            report.add(f"C, fast math: {name}", ratio(times["fast"], times["own"]))


def henon(count: int) -> tuple[FlowMap, Tensor]:
    return splitting.VerletDriftFirst(Hamiltonian(HENON_HEILES), 0.05), around([0, 0.1, 0.39, 0.05], count)


def against_jax(report: Report) -> None:
    jax = installed("jax")
    if jax is None:
        return
    jax.config.update("jax_enable_x64", True)
    jnp, steps = importlib.import_module("jax.numpy"), 40_000
    flow, x = henon(1024)
    h = flow.h

    def step(z: Any, _: Any) -> Any:
        q1, q2, p1, p2 = z
        q1, q2 = q1 + 0.5 * h * p1, q2 + 0.5 * h * p2
        p1, p2 = p1 - h * (q1 + 2 * q1 * q2), p2 - h * (q2 + q1 * q1 - q2 * q2)
        return (q1 + 0.5 * h * p1, q2 + 0.5 * h * p2, p1, p2), None

    def scan(z: Any) -> Any:
        return jnp.stack(jax.lax.scan(step, tuple(z), length=steps)[0])

    def loop(z: Any) -> Any:
        return jnp.stack(jax.lax.fori_loop(0, steps, lambda _, y: step(y, None)[0], tuple(z)))

    start, own = jnp.asarray(x.numpy()), kernel(flow, x, steps)

    def call(function: Callable[..., Any]) -> Call:
        built = jax.jit(jax.vmap(function))
        return lambda: jax.block_until_ready(built(start))

    calls = {"scan": call(scan), "fori_loop": call(loop)}
    for peer in calls.values():
        agree("JAX", own(), torch.from_numpy(np.array(peer())), 1e-6)
    times = measure({"own": own, **calls})
    for name in calls:
        report.add(f"JAX: lax.{name}, batch 1024", ratio(times[name], times["own"]))


def against_torch(report: Report) -> None:
    flow, x = henon(1024)
    steps = 200

    def eager() -> Tensor:
        with torch.no_grad():
            y = x
            for _ in range(steps):
                y = flow(y)
        return y

    own = kernel(flow, x, 500 * steps)
    agree("torch", kernel(flow, x, steps)(), eager(), 1e-12)
    times = measure({"own": own, "torch": eager}, turns=5)
    report.add("torch: eager steps, batch 1024", 500 * ratio(times["torch"], times["own"]))


def against_torchdiffeq(report: Report) -> None:
    """At two accuracies: ours with a step, theirs with the method that is fastest at no larger an error."""
    torchdiffeq = installed("torchdiffeq", "bench")
    if torchdiffeq is None:
        return
    end, x = 50.0, henon(1024)[1]
    system = Hamiltonian(HENON_HEILES)
    exact = kernel(splitting.KahanLi8(system, 0.02), x, 2500)()
    times_asked = torch.tensor([0.0, end], dtype=torch.float64)

    def field(_: Tensor, z: Tensor) -> Tensor:
        q1, q2, p1, p2 = z.unbind(-1)
        return torch.stack((p1, p2, -q1 - 2 * q1 * q2, -q2 - q1 * q1 + q2 * q2), -1)

    def solve(**options: Any) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with torch.no_grad():
                return torchdiffeq.odeint(field, x, times_asked, **options)[-1]

        return call

    theirs = [solve(method="rk4", options={"step_size": end / n}) for n in (80, 125, 200, 500, 1000, 1500)]
    theirs += [
        solve(method=method, rtol=tolerance, atol=tolerance)
        for method in ("dopri5", "dopri8")
        for tolerance in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    ]
    tried = [(time_of(call), largest(call(), exact), call) for call in theirs]
    for name, flow in (
        ("crude", splitting.VerletDriftFirst(system, 0.05)),
        ("fine", splitting.SRKN6(system, 0.2)),
    ):
        steps = round(end / flow.h)
        error = largest(kernel(flow, x, steps)(), exact)
        _, their_error, peer = min(
            (entry for entry in tried if entry[1] <= error), key=lambda entry: entry[0]
        )
        times = measure({"own": kernel(flow, x, 100 * steps), "torchdiffeq": peer}, turns=5)
        value = 100 * ratio(times["torchdiffeq"], times["own"])
        report.add(f"torchdiffeq: {name}, batch 1024", value, f"errors {error:.0e} / {their_error:.0e}")


def time_of(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def learned(count: int) -> tuple[FlowMap, Tensor, Callable[[int], Tensor]]:
    """Verlet on a perceptron's potential, and the same in torch with nothing but what it needs."""
    layers = [torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh()]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for layer in layers[::2]:
            layer.reset_parameters()  # type: ignore[operator]
        potential = torch.nn.Sequential(*layers, torch.nn.Linear(64, 1)).double()
    flow = splitting.Verlet(MechanicalSystem(2, potential=potential), 0.05)
    x, h = around([0.3, 0.1, 0.2, -0.1], count, 0.1), 0.05

    def force(q: Tensor) -> Tensor:
        q = q.detach().requires_grad_()
        return -torch.autograd.grad(potential(q).sum(), q)[0]

    def steps(number: int) -> Tensor:
        q, p = x[:, :2], x[:, 2:]
        f = force(q)
        for _ in range(number):
            p = p + 0.5 * h * f
            q = q + h * p
            f = force(q)
            p = p + 0.5 * h * f
        return torch.cat((q, p), -1)

    return flow, x, steps


def against_autograd(report: Report) -> None:
    for count, number, repeated in ((1, 200, 50), (4096, 5, 4)):
        flow, x, steps = learned(count)
        agree("MLP", kernel(flow, x, number)(), steps(number), 1e-10)
        own = kernel(flow, x, repeated * number)
        times = measure({"own": own, "torch": partial(steps, number)}, turns=5)
        value = repeated * ratio(times["torch"], times["own"])
        microseconds = 1e6 * min(times["own"]) / (repeated * number * count)
        report.add(f"torch: MLP potential, batch {count}", value, f"{microseconds:.2f} us per step")


def against_heyoka(report: Report) -> None:
    """A Taylor method to rounding against ours of order 8, both at the accuracy that they reach."""
    hy = installed("heyoka")
    if hy is None:
        return
    end, count = 100.0, 1024
    q1, q2, p1, p2 = hy.make_vars("q1", "q2", "p1", "p2")
    system = [(q1, p1), (q2, p2), (p1, -q1 - 2 * q1 * q2), (p2, -q2 - q1 * q1 + q2 * q2)]
    x = henon(count)[1]
    width = hy.recommended_simd_size()
    solver = hy.taylor_adaptive_batch(system, np.zeros((4, width)))
    blocks = [np.ascontiguousarray(block.T) for block in np.split(x.numpy(), count // width)]

    def peer() -> Tensor:
        out = []
        for block in blocks:
            solver.set_time(0.0)
            solver.state[:] = block
            solver.propagate_until(end)
            out.append(solver.state.T.copy())
        return torch.from_numpy(np.concatenate(out))

    system_own = Hamiltonian(HENON_HEILES)
    exact = kernel(splitting.SofroniouSpaletta10(system_own, 0.02, compensated=True), x, 5000)()
    energy = system_own.energy(x)

    def drift(y: Tensor) -> float:
        return float((system_own.energy(y) / energy - 1).abs().max())

    theirs = peer()
    for h in (0.1, 0.2):
        flow = splitting.KahanLi8(system_own, h, compensated=True)
        own = kernel(flow, x, round(end / h))
        times = measure({"own": own, "heyoka": peer}, turns=5)
        value = ratio(times["heyoka"], times["own"])
        note = (
            f"errors {largest(own(), exact):.0e} / {largest(theirs, exact):.0e}, energy {drift(own()):.0e} /"
            f" {drift(theirs):.0e}" + ("" if value >= 1 else "; heyoka is faster")
        )
        report.add(f"heyoka: Kahan-Li 8, h = {h}", value, note)


FIRST_STEP = """
import time, torch
start = time.perf_counter()
from integrators import Hamiltonian, Verlet, rollout
imported = time.perf_counter()
flow = Verlet(Hamiltonian("p**2/2 - cos(q)"), 0.1)
rollout(flow, torch.tensor([1.0, 0.0], dtype=torch.float64), 1, backend="numba")
print(time.perf_counter() - start, imported - start)
"""


def first_steps(report: Report) -> None:
    """A process that finds its kernel on disk."""
    folder = Path(importlib.import_module("integrators").__file__ or "").parents[1]
    with tempfile.TemporaryDirectory() as store:
        environment = {**os.environ, "GEOMLEARN_CACHE": store, "PYTHONPATH": str(folder)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", FIRST_STEP]

        def process() -> tuple[float, float]:
            found = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.split()
            return float(found[0]), float(found[1])

        seconds = [process() for _ in range(4)]
    total, imported = min(seconds[1:])
    report.saved["seconds to the first step, second process"] = round(total, 3)
    late = total > FIRST_STEP_LIMIT
    print(
        f"{'second process, seconds to its first step':44s}{total:10.2f}  goal {FIRST_STEP_LIMIT:g}"
        f"{', MISSED' if late else ''}  of which import {imported:.2f}; first process {seconds[0][0]:.1f}",
        flush=True,
    )
    if late:
        report.missed.append(f"second process: {total:.2f} s, goal {FIRST_STEP_LIMIT:g} s")


def own_choices(report: Report) -> None:
    """What compensated sums and float32 cost or bring."""
    x = around([0, 0.1, 0.39, 0.05], 4096)
    system, single = Hamiltonian(HENON_HEILES), Hamiltonian(HENON_HEILES, dtype=torch.float32)
    for name in ("Verlet", "SRKN6", "KahanLi8"):
        method, steps = getattr(splitting, name), 20_000
        plain = kernel(method(system, 0.05), x, steps)
        careful = kernel(method(system, 0.05, compensated=True), x, steps)
        short = kernel(method(single, 0.05), x.float(), steps)
        times = measure({"plain": plain, "careful": careful, "short": short}, turns=5)
        million = 1e-6 * steps * len(x) / min(times["plain"])
        note = f"{million:.0f} million plain steps/s"
        report.add(f"compensated over plain sums: {name}", ratio(times["careful"], times["plain"]), note)
        report.add(f"float64 over float32: {name}", ratio(times["plain"], times["short"]))


GROUPS: dict[str, Callable[[Report], None]] = {
    "c": against_c,
    "jax": against_jax,
    "torch": against_torch,
    "torchdiffeq": against_torchdiffeq,
    "mlp": against_autograd,
    "heyoka": against_heyoka,
    "first": first_steps,
    "own": own_choices,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--save", type=Path, help="write the ratios to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread; time of the peer over ours\n")
    report = Report()
    for name in arguments.only:
        GROUPS[name](report)
    if arguments.save:
        arguments.save.write_text(json.dumps(report.saved, indent=2, sort_keys=True) + "\n")
    print()
    for line in report.missed:
        print(f"below its goal: {line}")
    print("all goals met" if not report.missed else f"{len(report.missed)} goals missed")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
