"""Group functions of one element, as Python, as typed text, compiled for the CPU and for CUDA."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from integrators.kernels import device_functions
from integrators.kernels._flatten import arguments, function_text
from lie import SE3, SO3, LieGroup, UnitQuaternion, device

from ..lie import reference
from ._cuda import run

Function = Callable[..., Any]
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
SCALARS = {torch.float32: np.float32, torch.float64: np.float64}
FUNCTIONS = {name: f for name, f in sorted(vars(device).items()) if inspect.isfunction(f)}
GROUPS: dict[str, LieGroup] = {"so3": SO3, "se3": SE3, "quaternion": UnitQuaternion}
COMPILED = ("se3_exp", "se3_log", "se3_log_vjp", "so3_to_quaternion", "quaternion_exp_vjp")


def pullback(function: Callable[[Tensor], Tensor], x: Tensor, cotangent: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(function(x), x, cotangent)
    return found


def in_torch(name: str, given: dict[str, Tensor]) -> Tensor:
    """What the function of the group makes of the arguments."""
    prefix, operation = name.split("_", 1)
    group = GROUPS[prefix]
    a = list(given.values())
    match operation:
        case "exp_vjp":
            return pullback(group.exp, *a)
        case "log_vjp":
            return pullback(lambda g: group.log(g, check=False), a[0], a[2])
        case "log" | "cayley_inverse" | "to_quaternion":
            result: Tensor = getattr(group, operation)(*a, check=False)
            return result
        case _:
            value: Tensor = getattr(group, operation)(*a)
            return value


def element(prefix: str, phi: Tensor, rho: Tensor, dtype: torch.dtype) -> Tensor:
    xi = torch.cat((rho, phi), -1) if prefix == "se3" else phi
    return GROUPS[prefix].exp(xi.double()).to(dtype)


def inputs(name: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Arguments at the angles of the tests of the groups, every few axes, translations of size 1."""
    points = reference.points(dtype)[::3]
    prefix = name.split("_", 1)[0]
    rho, phi = points[:, :3], points[:, 3:]
    if "cayley" in name:
        phi = 0.9 * phi
    xi = torch.cat((rho, phi), -1)
    g, h = element(prefix, phi, rho, dtype), element(prefix, phi.flip(0), rho.flip(1), dtype)
    tangent = xi if prefix == "se3" else phi
    log = GROUPS[prefix].log(g.double(), check=False).to(dtype)
    slope = torch.randn(g.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    if prefix == "se3":
        slope[:, 3] = 0
    vjp = name.endswith("log_vjp")
    made = {
        "phi": log if vjp else phi, "xi": log if vjp else tangent, "u": tangent, "p": rho, "t": rho,
        "R": element("so3", phi, rho, dtype), "g": g, "a": g, "b": h,
        "q": element("quaternion", phi, rho, dtype),
        "phi_bar": rho, "xi_bar": xi.flip(-1), "R_bar": slope, "g_bar": slope, "q_bar": slope,
    }  # fmt: skip
    return {argument: made[argument] for argument in arguments(FUNCTIONS[name])}


def flat(x: Tensor, size: int) -> Tensor:
    """Entries row by row, without the last row of a rigid motion."""
    return x.flatten(1)[:, :size]


def error(name: str, dtype: torch.dtype, evaluate: Callable[[list[np.ndarray]], np.ndarray]) -> float:
    """Largest error in epsilons, relative to the size of the result; either of two at a half turn."""
    given = inputs(name, dtype)
    sizes = arguments(FUNCTIONS[name])
    got = torch.tensor(evaluate([flat(x, sizes[a]).numpy() for a, x in given.items()]), dtype=torch.float64)
    truth = in_torch(name, {a: x.double() for a, x in given.items()}).flatten(1)[:, : got.shape[1]]
    if name in ("so3_log_vjp", "se3_log_vjp"):  # elsewhere they depend on the choice among equal pivots
        got, truth = (along(name, given, slope) for slope in (got, truth))
    size = truth.abs().amax(-1) if name.endswith("log") and "se3" not in name else 1 + truth.abs().amax(-1)
    difference = (got - truth).abs().amax(-1)
    if name.endswith(("_log", "_log_vjp")):
        halfway = reference.points(dtype)[::3, 3:].double().norm(dim=-1) > math.pi - 1e-6
        difference = torch.where(halfway, torch.minimum(difference, (got + truth).abs().amax(-1)), difference)
        if "vjp" in name or "se3" in name:  # the map jumps there
            difference = difference[~halfway]
            size = size[~halfway]
    return float((difference / size.clamp_min(1e-300)).max()) / reference.EPS[dtype]


def along(name: str, given: dict[str, Tensor], slope: Tensor) -> Tensor:
    """Products of cotangents of matrices with the directions of the group."""
    g = next(iter(given.values())).double()
    tangents = (
        GROUPS[name[:3]].hat(torch.eye(3 if "so3" in name else 6, dtype=torch.float64)) @ g.unsqueeze(1)
    ).flatten(2)
    return (tangents[..., : slope.shape[-1]] @ slope.unsqueeze(-1)).squeeze(-1)


def each(function: Function, dtype: torch.dtype | None = None) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Apply a function of tuples to rows of arrays, as Python floats or numpy scalars."""

    def evaluate(columns: list[np.ndarray]) -> np.ndarray:
        rows = [[tuple(row) for row in (c if dtype else c.tolist())] for c in columns]
        with np.errstate(all="ignore"):
            return np.array([function(*row) for row in zip(*rows, strict=True)])

    return evaluate


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_python(name: str) -> None:
    assert error(name, torch.float64, each(FUNCTIONS[name])) <= 4


@dtypes
@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_typed_text(name: str, dtype: torch.dtype) -> None:
    """In float32 no literal turns a result into one of float64."""
    names: dict[str, Any] = {"np": np, "math": SimpleNamespace()}
    for elementary in ("sin", "cos", "sqrt", "atan2"):
        setattr(names["math"], elementary, rounded(getattr(math, elementary), dtype))
    exec(function_text(FUNCTIONS[name], name, dtype), names)

    def checked(*values: Any) -> Any:
        result = names[name](*values)
        assert dtype == torch.float64 or {type(entry) for entry in result} == {np.float32}
        return result

    assert error(name, dtype, each(checked, dtype)) <= 4


def rounded(function: Function, dtype: torch.dtype) -> Function:
    return lambda *x: SCALARS[dtype](function(*x))


def compiled(name: str, dtype: torch.dtype) -> Callable[[list[np.ndarray]], np.ndarray]:
    """A kernel that calls the compiled function."""
    sizes = list(arguments(FUNCTIONS[name]).values())
    count = len(FUNCTIONS[name](*[(0.1,) * k for k in sizes]))
    values = ", ".join(
        "(" + ", ".join(f"x{k}[i, {j}]" for j in range(size)) + ")" for k, size in enumerate(sizes)
    )
    names: dict[str, Any] = {"f": device_functions(dtype)}
    head = ", ".join(f"x{k}" for k in range(len(sizes)))
    exec(
        f"def loop({head}, out):\n    for i in range(len(out)):\n        r = f.{name}({values})\n"
        + "".join(f"        out[i, {k}] = r[{k}]\n" for k in range(count)),
        names,
    )
    loop = numba.njit(names["loop"])

    def evaluate(columns: list[np.ndarray]) -> np.ndarray:
        out = np.empty((len(columns[0]), count), SCALARS[dtype])
        loop(*[np.ascontiguousarray(column) for column in columns], out)
        return out

    return evaluate


@dtypes
@pytest.mark.parametrize(
    "name", [name if name in COMPILED else pytest.param(name, marks=pytest.mark.slow) for name in FUNCTIONS]
)
def test_compiled(name: str, dtype: torch.dtype) -> None:
    assert error(name, dtype, compiled(name, dtype)) <= 4


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"dtype must be torch.float32 or torch.float64, got torch.float16"):
        device_functions(torch.float16)


KERNEL = """
import numpy as np
import torch
from numba import cuda
from integrators.kernels import device_functions
from lie import SE3, quaternion

f = device_functions(torch.float32)


@cuda.jit
def move(xi, points, logs, moved):
    i = cuda.grid(1)
    if i < xi.shape[0]:
        x = (xi[i, 0], xi[i, 1], xi[i, 2], xi[i, 3], xi[i, 4], xi[i, 5])
        g = f.se3_exp(x)
        inverse = f.se3_inverse(f.se3_compose(g, g))
        log = f.se3_log(inverse)
        back = f.se3_log_vjp(inverse, log, f.se3_exp_vjp(x, g))
        for k in range(6):
            logs[i, k] = log[k]
        p = f.se3_act(g, (points[i, 0], points[i, 1], points[i, 2]))
        p = f.quaternion_act(f.quaternion_exp((x[3], x[4], x[5])), p)
        for k in range(3):
            moved[i, k] = p[k] + np.float32(0.0) * back[k]
"""

SIMULATED = """
xi = 0.3 * torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
points = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
logs, moved = np.zeros((6, 6), np.float32), np.zeros((6, 3), np.float32)
move[1, 8](xi.numpy(), points.numpy(), logs, moved)
assert np.abs(logs + 2 * xi.numpy()).max() <= 2e-6
g = SE3.exp(xi)
expected = quaternion.rotate(quaternion.exp(xi[:, 3:]), SE3.act(g, points))
assert np.abs(moved - expected.numpy()).max() <= 2e-6
"""


def test_in_a_simulated_cuda_kernel() -> None:
    pytest.importorskip("numba.cuda", reason="this numba has no CUDA target; install the extra cuda")
    done = run(KERNEL + SIMULATED, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stderr


PTX = """
import sys
from types import SimpleNamespace
from numba import cuda, float32, types
import numba.cuda.dispatcher
numba.cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(8, 0))
def nothing(x):
    x[0] = 0
try:
    cuda.compile_ptx(nothing, (float32[:],), cc=(8, 0))
except Exception as error:
    sys.exit(f"no compiler: {type(error).__name__} {error}")
"""

COMPILE = """
text, _ = cuda.compile_ptx(move.py_func, (float32[:, :],) * 4, cc=(8, 0))
print(text)
"""


def test_ptx_of_single_precision_has_no_double_precision() -> None:
    """A device is not needed; the call that asks for one is answered by the test."""
    pytest.importorskip("numba.cuda", reason="this numba has no CUDA target; install the extra cuda")
    done = run(PTX + KERNEL + COMPILE)
    if "no compiler" in done.stderr:
        pytest.skip(f"CUDA's compiler library NVVM is not installed: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"fma\.rn\.f32", done.stdout)) > 100
    assert not re.findall(r".*\.f64.*", done.stdout)
    assert "call" not in done.stdout
