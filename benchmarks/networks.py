"""Rollouts of networks: compiled, in eager torch and by torch.compile, in one process and one thread.

Each network advances states by its own step. In eager torch the step runs in a Python loop in inference
mode, without the checks of inputs. ``torch.compile`` compiles the same step; for one trajectory also with the
C++ wrapper of inductor, and several steps at once where that compiles soon enough. The fastest of these
counts. Answers are compared before anything is timed. Sides run in turns; a ratio is the median over the
turns of the peer's time over ours, so above 1 we are faster. Times are those of the processor in this
process, which other processes on the machine hardly change. Compilation is left out on every side. At last
the gyroceptron beside what it stands for where the system is known: a step of Strang splitting of the two
coupled oscillators.

    python benchmarks/networks.py                        # torch.compile needs a C++ compiler
    python benchmarks/networks.py --only ridge-gyroceptron strang
    python benchmarks/networks.py --check                # answers alone

Exits 1 if a ratio is below its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from geomlearn.nn import MLP, Gyroceptron, HenonNet, RattleNet, SympNet  # noqa: E402
from integrators import (  # noqa: E402
    FlowMap,
    Hamiltonian,
    KickFlow,
    LinearFlow,
    ProjectedField,
    RungeKutta4,
    StateSpace,
    rollout,
    vector,
    zoo,
)

warnings.filterwarnings("ignore")  # of torch.compile

BATCHES = (1, 4096)
GOALS = {1: 100.0, 4096: 2.0}
"""Smallest ratio of the faster peer's time to ours."""
TURNS = 5
SECONDS = 0.15
"""Length of a timed call, about."""
TOGETHER = 8
"""Steps that torch.compile is given at once, where the graph of a step is short enough."""
COMPILE_LIMIT = 120.0
"""Seconds for which the compilation of several steps is worth a wait, estimated from that of one."""
Step = Callable[[Tensor], Tensor]


def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def oscillator_states(count: int) -> Tensor:
    """States of two oscillators in the box of the published data."""
    return 3 * torch.rand(count, 4, generator=source(), dtype=torch.float64) - 1.5


def ridge_gyroceptron() -> tuple[FlowMap, Callable[[int], Tensor]]:
    return Gyroceptron(4, 0.01, (1, 0), angle=0.05, h=0.05, generator=source()), oscillator_states


def henon_gyroceptron() -> tuple[FlowMap, Callable[[int], Tensor]]:
    options = {"near_identity": "henon", "near_identity_size": (8, 6), "psi": "henon", "psi_size": (10, 8)}
    flow = Gyroceptron(4, 0.01, (1, 0), angle=2.4, generator=source(), **options)  # type: ignore[arg-type]
    return flow, oscillator_states


def henon_net() -> tuple[FlowMap, Callable[[int], Tensor]]:
    return HenonNet(4, layers=10, units=8, h=0.05, epsilon=1.0, generator=source()), oscillator_states


def sympnet() -> tuple[FlowMap, Callable[[int], Tensor]]:
    return SympNet(4, kind="G", layers=8, units=30, h=0.1, generator=source()), oscillator_states


def rattle_net() -> tuple[FlowMap, Callable[[int], Tensor]]:
    """A double pendulum in Cartesian coordinates."""
    rods = {"first": "q1**2 + q2**2 - 1", "second": "(q3 - q1)**2 + (q4 - q2)**2 - 1"}
    net = RattleNet(8, rods, h=0.05, generator=source())

    def states(count: int) -> Tensor:
        hanging = torch.tensor([0.6, -0.8, 0.6, -1.8, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
        noise = torch.randn(count, 8, generator=source(), dtype=torch.float64)
        return net.project(hanging + 0.1 * noise)

    return net, states


def projected_field() -> tuple[FlowMap, Callable[[int], Tensor]]:
    """Accelerations of a double pendulum in Cartesian coordinates, projected by the mass."""
    rods = {"first": "q1**2 + q2**2 - 1", "second": "(q3 - q1)**2 + (q4 - q2)**2 - 1"}
    net = MLP((8, 64, 64, 4), generator=source())
    return RungeKutta4(ProjectedField(net, rods, size=8, level="zero"), 0.05), rattle_net()[1]


NETWORKS: dict[str, Callable[[], tuple[FlowMap, Callable[[int], Tensor]]]] = {
    "ridge-gyroceptron": ridge_gyroceptron,
    "henon-gyroceptron": henon_gyroceptron,
    "henon-net": henon_net,
    "sympnet": sympnet,
    "rattle-net": rattle_net,
    "projected-field": projected_field,
}


def plain_step(flow: FlowMap, steps: int = 1) -> Step:
    """Steps with nothing but what they need."""
    with torch.no_grad():
        constants = flow.constants()

    def step(x: Tensor) -> Tensor:
        carry = flow.start(x, constants)
        for _ in range(steps):
            carry = flow.advance(carry, None, constants)
        return flow.finish(carry, constants)

    return step


def repeated(step: Step, x: Tensor, times: int) -> Callable[[], Tensor]:
    def call() -> Tensor:
        y = x
        with torch.inference_mode():
            for _ in range(times):
                y = step(y)
        return y

    return call


def own(flow: FlowMap, x: Tensor, steps: int) -> Callable[[], Tensor]:
    """Our rollout; only its end is kept."""
    return lambda: rollout(flow, x, steps, every=steps, backend="numba", parallel=False, progress=False).final


def duration(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def how_many(make: Callable[[int], Callable[[], Any]]) -> int:
    """Number of steps that take about the time of a timed call."""
    steps = 1
    while True:
        call = make(steps)
        call()
        taken = duration(call)
        if taken > SECONDS / 4:
            return max(1, round(steps * SECONDS / taken))
        steps *= 4 if taken > SECONDS / 40 else 20


def compiled_steps(flow: FlowMap, x: Tensor) -> dict[str, tuple[Step, int]]:
    """What torch.compile makes of the step, with the number of steps in it; nothing without a compiler."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        print("skipped: torch.compile, there is no C++ compiler")
        return {}
    if any(getattr(part, "implicit", False) for part in flow.modules()):
        print("skipped: torch.compile, which cuts the graph at every iteration of an implicit step")
        return {}
    found: dict[str, tuple[Step, int]] = {}
    kinds: list[tuple[str, int, dict[str, Any]]] = [("compile", 1, {})]
    if len(x) == 1:  # where the calls cost, not the work
        kinds += [("compile, C++ wrapper", 1, {"cpp_wrapper": True}), ("compile, 8 steps", TOGETHER, {})]
    torch._dynamo.reset()
    while kinds:
        name, steps, options = kinds.pop(0)
        start = sum(os.times()[:4])  # the compiler's processes too
        step: Step = torch.compile(plain_step(flow, steps), options=options, dynamic=False)
        try:
            with torch.inference_mode():
                step(x)
        except Exception as error:
            print(f"  {name}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
            continue
        found[name] = (step, steps)
        if name == "compile" and TOGETHER * (sum(os.times()[:4]) - start) > COMPILE_LIMIT:
            kinds = kinds[:1]  # the last graph would take too long
    return found


def agree(name: str, a: Tensor, b: Tensor) -> None:
    """Answers must be equal before they are timed."""
    error = float((a - b).abs().max() / (1 + b.abs().max()))
    if not error < 1e-9:
        raise RuntimeError(f"{name}: the answers differ by {error:.3g}")


def measure(calls: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, list[float]]:
    """Seconds per step of each call, in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, (call, steps) in calls.items():
            times[name].append(duration(call) / steps)
    return times


def ratio(peer: list[float], mine: list[float]) -> float:
    """Median over the turns of the peer's time over ours."""
    return statistics.median(p / o for p, o in zip(peer, mine, strict=True))


class Report:
    """Prints and keeps what was measured."""

    def __init__(self) -> None:
        self.saved: dict[str, float] = {}
        self.missed: list[str] = []

    def add(self, name: str, batch: int, times: dict[str, list[float]]) -> None:
        """Take note of the times of a network, and compare the smaller ratio with its goal."""
        microseconds = 1e6 * min(times["own"]) / batch
        ratios = {peer: ratio(column, times["own"]) for peer, column in times.items() if peer != "own"}
        lowest, goal = min(ratios.values()), GOALS[batch]
        key = f"{name}, batch {batch}"
        self.saved |= {f"{key}: {peer}": round(value, 2) for peer, value in ratios.items()}
        self.saved[f"{key}: microseconds"] = round(microseconds, 4)
        print(f"{key:34s}{microseconds:10.3f} us  goal {goal:g}{'' if lowest >= goal else ', MISSED'}")
        for peer, value in ratios.items():
            print(f"    {peer:30s}{1e6 * min(times[peer]) / batch:10.3f} us{value:10.2f}", flush=True)
        if lowest < goal:
            self.missed.append(f"{key}: {lowest:.2f}, goal {goal:g}")


def against_torch(name: str, report: Report, check: bool) -> None:
    flow, states = NETWORKS[name]()
    for batch in BATCHES:
        x = states(batch)
        peers = {"eager": (plain_step(flow), 1), **({} if check else compiled_steps(flow, x))}
        few = own(flow, x, TOGETHER)()
        for peer, (step, steps) in peers.items():
            agree(f"{name}, {peer}", repeated(step, x, TOGETHER // steps)(), few)
        if check:
            print(f"{name}, batch {batch}: answers agree")
            continue
        steps = how_many(lambda n, x=x: own(flow, x, n))  # type: ignore[misc]
        calls: dict[str, tuple[Callable[[], Any], int]] = {"own": (own(flow, x, steps), steps)}
        for peer, (step, inside) in peers.items():
            times = how_many(lambda n, x=x, step=step: repeated(step, x, n))  # type: ignore[misc]
            calls[peer] = (repeated(step, x, times), times * inside)
        report.add(name, batch, measure(calls))


def strang_of_oscillators(h: float = 0.05, epsilon: float = 0.01) -> FlowMap:
    """The fast rotation and the drift of the slow oscillator exactly, kicks by the rest."""
    slow = "p1**2/2 + p2**2/2 + eps*(q2**2/2 + q1*q2*sin(2*q1 + 2*q2))"
    kick = KickFlow(Hamiltonian(slow, {"eps": epsilon}), h / 2)
    matrix = [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, epsilon], [-1.0, 0.0, 0.0, 0.0], [0.0] * 4]
    return kick @ LinearFlow(StateSpace(vector("q", 2), vector("p", 2)), matrix, h) @ kick


def against_strang(report: Report, check: bool) -> None:
    """What a step of the known system costs where no network is needed."""
    flow, known = ridge_gyroceptron()[0], strang_of_oscillators()
    x = oscillator_states(8)
    exact = own(RungeKutta4(zoo.coupled_oscillators().system, 0.0125), x, 8000)()
    error = float((own(known, x, 2000)() - exact).abs().max())
    print(f"Strang splitting of the oscillators, error after 2000 steps of 0.05: {error:.1e}")
    if error > 1e-3:
        raise RuntimeError(f"strang: the splitting is wrong by {error:.3g}")
    if check:
        return
    for batch in BATCHES:
        x = oscillator_states(batch)
        calls = {}
        for name, one in (("gyroceptron", flow), ("strang", known)):
            steps = how_many(lambda n, one=one, x=x: own(one, x, n))  # type: ignore[misc]
            calls[name] = (own(one, x, steps), steps)
        times = measure(calls)
        value = ratio(times["gyroceptron"], times["strang"])
        each = 1e6 * min(times["strang"]) / batch
        report.saved[f"gyroceptron over Strang splitting, batch {batch}"] = round(value, 2)
        report.saved[f"Strang splitting, batch {batch}: microseconds"] = round(each, 4)
        print(
            f"Strang splitting, batch {batch}: {each:.4f} us; the ridge gyroceptron {value:.0f} times as long"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    groups = [*NETWORKS, "strang"]
    parser.add_argument("--only", nargs="+", choices=groups, default=groups)
    parser.add_argument("--check", action="store_true", help="compare the answers and time nothing")
    parser.add_argument("--save", type=Path, help="write the ratios to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, one thread; time per step and trajectory, time of the peer over ours\n"
    )
    report = Report()
    for name in arguments.only:
        if name == "strang":
            against_strang(report, arguments.check)
        else:
            against_torch(name, report, arguments.check)
        if arguments.save:
            saved = json.loads(arguments.save.read_text()) if arguments.save.exists() else {}
            arguments.save.write_text(json.dumps(saved | report.saved, indent=2, sort_keys=True) + "\n")
    print()
    for line in report.missed:
        print(f"below its goal: {line}")
    if not arguments.check:
        print("all goals met" if not report.missed else f"{len(report.missed)} goals missed")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
