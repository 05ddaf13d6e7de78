"""Groups against pypose, roma, kornia and jaxlie: seconds per call, in one process and one thread.

Each library works in its own storage: matrices here and in ``roma.Rigid``, quaternion and translation
elsewhere. "fwd+bwd" is the value and the gradient; where kornia keeps quaternions, its conversions to and
from matrices are part of exp and log. "log" takes its argument for a member as the peers do, "log, checked"
looks first. "turn exp" and "turn log" convert rotation vectors to matrices and back, to compare with roma.
Answers are compared before anything is timed. Sides run in turns; ratios are medians over the turns, and the
best turn counts where a goal is a time. "fused" is ``integrators.fused``, a group whose operations are
compiled loops; "inductor" is the plain group under ``torch.compile``.

    python benchmarks/lie.py            # peers: pip install -e '.[bench-lie]'
    python benchmarks/lie.py --compile  # with the inductor column, which takes minutes to compile

Exits 1 if a ratio is below its goal. A library that is not installed is skipped with a word.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import lie  # noqa: E402
from integrators import fused  # noqa: E402

warnings.filterwarnings("ignore")  # of the peers

Call = Callable[[], Any]
Table = dict[str, dict[str, Call]]
"""Calls of one size by operation and library."""

REPEATS = {1: (15, 100), 1000: (15, 30), 1_000_000: (7, 1)}
"""Turns, and calls in each, by batch size."""
GOALS = {
    ("exp fwd+bwd", 1_000_000, "pypose"): 3.0,
    ("exp fwd+bwd", 1_000_000, "kornia"): 2.0,
    ("log fwd+bwd", 1_000_000, "pypose"): 3.0,
    ("log fwd+bwd", 1_000_000, "kornia"): 2.0,
    ("exp fwd+bwd", 1000, "pypose"): 1.5,
    ("exp fwd+bwd", 1000, "kornia"): 1.5,
    ("log fwd+bwd", 1000, "pypose"): 1.5,
    ("log fwd+bwd", 1000, "kornia"): 1.5,
}
"""Smallest ratio of a peer's time to that of the plain torch group."""
CALL_LIMIT = 60e-6
"""Longest call of the fused group at batch 1, in seconds."""
OWN = ("torch", "fused", "inductor")
SHORT = ("compose", "inverse", "act")
"""Operations of which the better of our two ways may not be slower than any peer at 1000 and more."""


@cache
def installed(name: str) -> ModuleType | None:
    """A peer, or None and a word."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"skipped: {name} is not installed (pip install -e '.[bench-lie]')")
        return None


class Inputs:
    """One batch of poses, points and cotangents."""

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator, dtype=torch.float64).to(dtype)

        self.xi, self.eta, self.points = draw(6), draw(6), draw(3)
        self.matrix_weight, self.tangent_weight = draw(4, 4), draw(6)
        self.g, self.h = lie.SE3.exp(self.xi), lie.SE3.exp(self.eta)
        self.rotation = self.g[:, :3, :3].contiguous()


def gradient(function: Callable[[Tensor], Tensor], x: Tensor, weight: Tensor) -> Call:
    """Value and gradient of a function of a leaf."""
    leaf = x.detach().clone().requires_grad_()

    def call() -> Tensor:
        leaf.grad = None
        function(leaf).backward(weight)
        return leaf.grad  # type: ignore[return-value]

    return call


def without_gradient(function: Call) -> Call:
    def call() -> Any:
        with torch.no_grad():
            return function()

    return call


def own_calls(group: lie.LieGroup, turns: lie.LieGroup, x: Inputs) -> dict[str, Call]:
    """Ours: the same code for the plain and the fused groups."""
    return {
        "exp fwd+bwd": gradient(group.exp, x.xi, x.matrix_weight),
        "log fwd+bwd": gradient(lambda g: group.log(g, check=False), x.g, x.tangent_weight),
        "exp": without_gradient(lambda: group.exp(x.xi)),
        "log": without_gradient(lambda: group.log(x.g, check=False)),
        "log, checked": without_gradient(lambda: group.log(x.g)),
        "compose": without_gradient(lambda: group.compose(x.g, x.h)),
        "inverse": without_gradient(lambda: group.inverse(x.g)),
        "act": without_gradient(lambda: group.act(x.g, x.points)),
        "turn exp": without_gradient(lambda: turns.exp(x.points)),
        "turn log": without_gradient(lambda: turns.log(x.rotation, check=False)),
    }


def inductor_calls(x: Inputs) -> dict[str, Call]:
    """The plain group as ``torch.compile`` makes it, each function compiled for these shapes."""
    group = lie.SE3

    def built(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        torch._dynamo.reset()
        return torch.compile(function, fullgraph=True, dynamic=False)

    exp, log = built(group.exp), built(lambda g: group.log(g, check=False))
    return {
        "exp fwd+bwd": gradient(exp, x.xi, x.matrix_weight),
        "log fwd+bwd": gradient(log, x.g, x.tangent_weight),
    }


def pypose_calls(pp: Any, x: Inputs) -> dict[str, Call]:
    g, h = pp.se3(x.xi).Exp(), pp.se3(x.eta).Exp()
    weight = torch.cat((x.matrix_weight[:, 0], x.matrix_weight[:, 1, :3]), -1)

    def exp_gradient() -> Call:
        leaf = pp.se3(x.xi.clone()).requires_grad_()

        def call() -> Any:
            leaf.grad = None
            leaf.Exp().tensor().backward(weight)
            return leaf.grad

        return call

    def log_gradient() -> Call:
        leaf = g.detach().clone().requires_grad_()

        def call() -> Any:
            leaf.grad = None
            leaf.Log().tensor().backward(x.tangent_weight)
            return leaf.grad

        return call

    return {
        "exp fwd+bwd": exp_gradient(),
        "log fwd+bwd": log_gradient(),
        "exp": without_gradient(lambda: pp.se3(x.xi).Exp()),
        "log": without_gradient(g.Log),
        "compose": without_gradient(lambda: g @ h),
        "inverse": without_gradient(g.Inv),
        "act": without_gradient(lambda: g.Act(x.points)),
    }


def kornia_calls(kornia: Any, x: Inputs) -> dict[str, Call]:
    se3 = importlib.import_module("kornia.geometry.liegroup").Se3
    with torch.no_grad():
        g, h = se3.exp(x.xi), se3.exp(x.eta)
    return {
        "exp fwd+bwd": gradient(lambda v: se3.exp(v).matrix(), x.xi, x.matrix_weight),
        "log fwd+bwd": gradient(lambda m: se3.from_matrix(m).log(), x.g, x.tangent_weight),
        "exp": without_gradient(lambda: se3.exp(x.xi)),
        "log": without_gradient(g.log),
        "compose": without_gradient(lambda: g * h),
        "inverse": without_gradient(g.inverse),
        "act": without_gradient(lambda: g * x.points),
    }


def roma_calls(roma: Any, x: Inputs, quaternions: bool) -> dict[str, Call]:
    """Rigid motions of roma, which has no exponential of motions."""

    def rigid(g: Tensor) -> Any:
        rotation, translation = g[:, :3, :3].contiguous(), g[:, :3, 3].contiguous()
        if quaternions:
            return roma.RigidUnitQuat(lie.SO3.to_quaternion(rotation), translation)
        return roma.Rigid(rotation, translation)

    with torch.no_grad():
        g, h = rigid(x.g), rigid(x.h)
    calls = {
        "compose": without_gradient(lambda: g @ h),
        "inverse": without_gradient(g.inverse),
        "act": without_gradient(lambda: g.apply(x.points)),
    }
    if not quaternions:
        calls["turn exp"] = without_gradient(lambda: roma.rotvec_to_rotmat(x.points))
        calls["turn log"] = without_gradient(lambda: roma.rotmat_to_rotvec(x.rotation))
    return calls


def jaxlie_calls(jaxlie: Any, x: Inputs) -> dict[str, Call]:
    """Compiled by XLA, on its own arrays; every call waits for the result."""
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")
    if x.xi.dtype == torch.float64:
        jax.config.update("jax_enable_x64", True)
    arrays = {k: jnp.asarray(v.numpy()) for k, v in vars(x).items()}
    batch, motion = jax.vmap, jaxlie.SE3
    poses = batch(lambda v: motion.exp(v).wxyz_xyz)
    g, h = poses(arrays["xi"]), poses(arrays["eta"])

    def compiled(function: Callable[..., Any], *values: Any) -> Call:
        built = jax.jit(function)
        return lambda: jax.block_until_ready(built(*values))

    def matrices(v: Any) -> Any:
        return (batch(lambda e: motion.exp(e).as_matrix())(v) * arrays["matrix_weight"]).sum()

    def tangents(v: Any) -> Any:
        return (batch(lambda e: motion(e).log())(v) * arrays["tangent_weight"]).sum()

    return {
        "exp fwd+bwd": compiled(jax.value_and_grad(matrices), arrays["xi"]),
        "log fwd+bwd": compiled(jax.value_and_grad(tangents), g),
        "exp": compiled(poses, arrays["xi"]),
        "log": compiled(batch(lambda e: motion(e).log()), g),
        "compose": compiled(batch(lambda a, b: (motion(a) @ motion(b)).wxyz_xyz), g, h),
        "inverse": compiled(batch(lambda a: motion(a).inverse().wxyz_xyz), g),
        "act": compiled(batch(lambda a, p: motion(a).apply(p)), g, arrays["points"]),
    }


def as_tensor(library: str, answer: Any) -> Tensor:
    """An answer in any storage as matrices, tangents or points."""
    if hasattr(answer, "ltype"):  # pypose
        return answer.matrix() if answer.shape[-1] == 7 else answer.tensor()
    if hasattr(answer, "to_homogeneous"):  # roma
        return answer.to_homogeneous()
    if isinstance(answer, tuple):  # jaxlie: value and gradient
        answer = answer[1]
    if library == "jaxlie":
        array = torch.from_numpy(answer.__array__().copy())
        if array.shape[-1] != 7:
            return array
        w, xyz, t = array.split((1, 3, 3), -1)
        return lie.SE3.from_quaternion(torch.cat((xyz, w), -1), t)
    return answer if isinstance(answer, Tensor) else answer.matrix()


def agree(calls: Table) -> None:
    """Every library must give the same answers before it is timed.

    Gradients of log with respect to an element mean something else in each storage; so does that of exp for
    pypose, which is not asked for a matrix.
    """
    for operation, ours in calls["torch"].items():
        expected = ours().detach().clone()
        for library in calls.keys() - {"torch"}:
            call = calls[library].get(operation)
            own_sense = operation == "log fwd+bwd" or (library, operation) == ("pypose", "exp fwd+bwd")
            if call is None or own_sense:
                continue
            difference = (as_tensor(library, call()).detach().reshape(expected.shape) - expected).abs()
            error = float(difference.max() / expected.abs().max())
            if not error < 1e-4:
                raise RuntimeError(f"{library} gives another {operation}: relative difference {error:.3g}")


def measure(calls: dict[str, Call], turns: int, number: int) -> dict[str, list[float]]:
    """Seconds per call of each library, in turns."""
    for call in calls.values():
        call()
        call()
    times: dict[str, list[float]] = {library: [] for library in calls}
    for _ in range(turns):
        for library, call in calls.items():
            start = time.perf_counter()
            for _ in range(number):
                call()
            times[library].append((time.perf_counter() - start) / number)
    return times


def ratio(peer: list[float], own: list[float]) -> float:
    """Median over the turns of the peer's time over ours."""
    return statistics.median(p / o for p, o in zip(peer, own, strict=True))


def libraries(x: Inputs, inductor: bool) -> Table:
    """Calls of our groups and of the installed peers."""
    calls = {"torch": own_calls(lie.SE3, lie.SO3, x), "fused": own_calls(fused(lie.SE3), fused(lie.SO3), x)}
    if inductor:
        calls["inductor"] = inductor_calls(x)
    if pp := installed("pypose"):
        calls["pypose"] = pypose_calls(pp, x)
    if kornia := installed("kornia"):
        calls["kornia"] = kornia_calls(kornia, x)
    if roma := installed("roma"):
        calls["roma matrix"] = roma_calls(roma, x, quaternions=False)
        calls["roma quaternion"] = roma_calls(roma, x, quaternions=True)
    if jaxlie := installed("jaxlie"):
        calls["jaxlie"] = jaxlie_calls(jaxlie, x)
    return calls


def judge(operation: str, count: int, times: dict[str, list[float]]) -> list[str]:
    """What is below its goal."""
    missed = []
    for (name, size, peer), goal in GOALS.items():
        if name == operation and size == count and peer in times:
            reached = ratio(times[peer], times["torch"])
            if reached < goal:
                missed.append(f"{operation} at {count}: {reached:.2f} of {peer}, goal {goal}")
    if count == 1 and operation in ("exp fwd+bwd", "log fwd+bwd"):
        seconds = min(times["fused"])
        if seconds > CALL_LIMIT:
            missed.append(f"fused {operation} at 1: {1e6 * seconds:.0f} us, goal {1e6 * CALL_LIMIT:.0f}")
    if count >= 1000 and operation in SHORT:
        best = min(("torch", "fused"), key=lambda own: statistics.median(times[own]))
        for peer in times.keys() - set(OWN):
            reached = ratio(times[peer], times[best])
            if reached < 1:
                missed.append(f"{operation} at {count}: {reached:.2f} of {peer}, goal 1")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(REPEATS), choices=list(REPEATS))
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--save", type=Path, help="write the ratios to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {arguments.dtype}, one thread; microseconds per call\n")
    missed, saved = [], {}
    for count in arguments.sizes:
        x = Inputs(count, getattr(torch, arguments.dtype))
        calls = libraries(x, arguments.compile)
        agree(calls)
        print(f"batch {count:7d}  {'':12s}" + "".join(f"{name:>17s}" for name in calls))
        for operation in calls["torch"]:
            table = {library: own[operation] for library, own in calls.items() if operation in own}
            times = measure(table, *REPEATS[count])
            middle = {library: f"{1e6 * statistics.median(column):.1f}" for library, column in times.items()}
            cells = "".join(f"{middle.get(library, ''):>17s}" for library in calls)
            print(f"{'':15s}  {operation:12s}{cells}", flush=True)
            for own in (name for name in OWN if name in times):
                for peer in times.keys() - set(OWN):
                    name = f"{operation}, batch {count}: {peer} / {own}"
                    saved[name] = round(ratio(times[peer], times[own]), 2)
            missed += judge(operation, count, times)
        print()
    if arguments.save:
        arguments.save.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")
    for line in missed:
        print(f"below its goal: {line}")
    print("all goals met" if not missed else f"{len(missed)} goals missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
