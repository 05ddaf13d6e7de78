"""Largest errors of exp, log and their first two derivatives, beside those of the usual libraries.

22 angles from 0 to pi about 32 axes, translations of size 1, against 50-digit arithmetic. Every library maps
a plain tangent tensor to its own element and that to a plain tensor, and is differentiated through the whole:

- exp: the matrix, and gradient and Hessian of <W, exp(xi)>, relative to their largest entries;
- log: log(exp(xi)) relative to the angle (for the rotation; to 1 for the translation), and gradient and
  Hessian of w . log(exp(xi)), which are w and 0, below half turns.

Errors are in epsilons of the dtype. "nan" is not a number somewhere, "none" no derivative of that order.

    python benchmarks/lie_accuracy.py                              # peers: pip install -e '.[bench-lie]'
    python benchmarks/lie_accuracy.py --write docs/accuracy_table.md
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The scripts here are called like packages, which Python would find first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import lie  # noqa: E402
from tests.lie import reference  # noqa: E402

warnings.filterwarnings("ignore")  # of the peers

Map = Callable[[Any], Any]


class Library(NamedTuple):
    """A library's maps on tangents (..., 6) or (..., 3).

    Attributes:
        exp: Tangent to matrix.
        round_trip: Tangent to the logarithm of its exponential.
        jax: Whether the arrays are jax's.
    """

    exp: Map
    round_trip: Map
    jax: bool = False


def own(group: lie.MatrixLieGroup) -> Library:
    return Library(group.exp, lambda x: group.log(group.exp(x), check=False))


def quaternions() -> Library:
    group = lie.UnitQuaternion
    return Library(
        lambda x: lie.quaternion.to_matrix(group.exp(x)), lambda x: group.log(group.exp(x), check=False)
    )


def from_pypose(pp: Any, motion: bool) -> Library:
    algebra = pp.se3 if motion else pp.so3
    return Library(lambda x: algebra(x).Exp().matrix(), lambda x: algebra(x).Exp().Log().tensor())


def from_kornia(motion: bool) -> Library:
    module = importlib.import_module("kornia.geometry.liegroup")
    group = module.Se3 if motion else module.So3
    return Library(lambda x: group.exp(x).matrix(), lambda x: group.exp(x).log())


def from_roma(roma: Any) -> Library:
    forward, back = roma.rotvec_to_rotmat, roma.rotmat_to_rotvec
    return Library(forward, lambda x: back(forward(x)))


def from_jaxlie(jaxlie: Any, motion: bool) -> Library:
    group = jaxlie.SE3 if motion else jaxlie.SO3
    return Library(lambda x: group.exp(x).as_matrix(), lambda x: group.exp(x).log(), jax=True)


def installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"skipped: {name} is not installed (pip install -e '.[bench-lie]')", file=sys.stderr)
        return None


def libraries(motion: bool) -> dict[str, Library]:
    """The libraries by name, for SE(3) or SO(3)."""
    found = {"geomlearn": own(lie.SE3 if motion else lie.SO3)}
    if not motion:
        found["geomlearn, quaternions"] = quaternions()
    if pp := installed("pypose"):
        found["pypose"] = from_pypose(pp, motion)
    if installed("kornia"):
        found["kornia"] = from_kornia(motion)
    if (roma := installed("roma")) and not motion:
        found["roma"] = from_roma(roma)
    if jaxlie := installed("jaxlie"):
        importlib.import_module("jax").config.update("jax_enable_x64", True)
        found["jaxlie"] = from_jaxlie(jaxlie, motion)
    return found


def orders(library: Library, function: Callable[[Any, Any], Any], x: Tensor, weight: Tensor) -> list[Any]:
    """Gradient (points, d) and Hessian (points, d, d) of a function of a tangent; None where refused."""
    if library.jax:
        jax, jnp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
        arrays = jnp.asarray(x.numpy()), jnp.asarray(weight.numpy())
        derivatives = (jax.grad(function), jax.hessian(function))
        return [torch.from_numpy(np.array(jax.vmap(d)(*arrays))) for d in derivatives]
    leaf = x.clone().requires_grad_()
    total = function(leaf, weight)
    (gradient,) = torch.autograd.grad(total, leaf, create_graph=True)
    try:
        rows = [
            torch.autograd.grad(gradient[:, i].sum(), leaf, retain_graph=True)[0] for i in range(x.shape[1])
        ]
    except RuntimeError:
        return [gradient.detach(), None]
    return [gradient.detach(), torch.stack(rows, -2)]


def values(library: Library, function: Map, x: Tensor) -> Tensor:
    """A function of tangents, batched."""
    if library.jax:
        jax, jnp = importlib.import_module("jax"), importlib.import_module("jax.numpy")
        return torch.from_numpy(np.array(jax.vmap(function)(jnp.asarray(x.numpy()))))
    with torch.no_grad():
        return torch.as_tensor(function(x)).detach()


def largest(error: np.ndarray, eps: float) -> str:
    """Text of the largest error in epsilons."""
    worst = float(np.max(error)) / eps
    if not np.isfinite(worst):
        return "nan"
    return f"{worst:.1f}" if worst < 100 else re.sub(r"e\+0?", "e", f"{worst:.0e}")


def absolute(got: Tensor, truth: np.ndarray) -> np.ndarray:
    """Largest absolute difference of each point; infinite where it is not a number."""
    finite = torch.isfinite(got).reshape(len(got), -1).all(1).numpy()
    error = reference.error(torch.nan_to_num(got), truth)
    return np.where(finite, error, np.inf)


class Truth(NamedTuple):
    """Exact answers at the points of one dtype."""

    xi: Tensor
    matrix: np.ndarray
    principal: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    weight: Tensor
    below: np.ndarray


def truth(dtype: torch.dtype, motion: bool) -> Truth:
    xi = reference.points(dtype)
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(len(xi), 4, 4, generator=generator, dtype=torch.float64).to(dtype)
    weight[:, 3] = 0
    if not motion:
        weight[:, :, 3] = 0
    exact = reference.exact(xi)
    gradient, hessian = reference.gradient_and_hessian(exact, reference.exact(weight))
    matrix, principal = reference.exp_se3(exact), reference.principal(exact[:, 3:])
    angle = np.linalg.norm(xi[:, 3:].double().numpy(), axis=1)
    below = angle < np.pi - 8 * reference.EPS[dtype]
    if motion:
        return Truth(
            xi, matrix, np.concatenate((exact[:, :3], principal), 1), gradient, hessian, weight, below
        )
    return Truth(
        xi[:, 3:], matrix[:, :3, :3], principal, gradient[:, 3:], hessian[:, 3:, 3:], weight[:, :3, :3], below
    )


def row(library: Library, t: Truth, dtype: torch.dtype) -> list[str]:
    """Errors of exp, its gradient and Hessian, and of log after exp, its gradient and Hessian."""
    eps = reference.EPS[dtype]
    d = t.xi.shape[1]
    cells = [largest(absolute(values(library, library.exp, t.xi), t.matrix), eps)]
    derivatives = orders(library, lambda x, w: (w * library.exp(x)).sum(), t.xi, t.weight)
    for got, exact in zip(derivatives, (t.gradient, t.hessian), strict=True):
        size = np.abs(exact).astype(float).reshape(len(exact), -1).max(1)
        cells.append("none" if got is None else largest(absolute(got, exact) / size, eps))
    logarithm = values(library, library.round_trip, t.xi)
    angle = np.maximum(np.linalg.norm(t.xi[:, -3:].double().numpy(), axis=1), 1e-300)
    turn = np.minimum(
        absolute(logarithm[:, -3:], t.principal[:, -3:]),
        np.where(t.below, np.inf, absolute(-logarithm[:, -3:], t.principal[:, -3:])),
    )
    error = turn / angle
    if d == 6:
        shift = np.where(t.below, absolute(logarithm[:, :3], t.principal[:, :3]), 0)
        error = np.maximum(error, shift)
    cells.append(largest(error, eps))
    w = torch.tensor([0.36, -0.48, 0.8, -0.6, 0.64, 0.48][-d:], dtype=dtype)
    x = t.xi[torch.from_numpy(t.below)]
    expected = (np.tile(w.double().numpy(), (len(x), 1)), np.zeros((len(x), d, d)))
    derivatives = orders(library, lambda x, w: (w * library.round_trip(x)).sum(), x, w.expand(len(x), d))
    for got, exact in zip(derivatives, expected, strict=True):
        if got is None:
            cells.append("none")
            continue
        finite = torch.isfinite(got).all().item()
        worst = float((got.double() - torch.from_numpy(exact)).abs().max()) if finite else np.inf
        cells.append(largest(np.array([worst]), eps))
    return cells


HEAD = ("exp", "gradient", "Hessian", "log", "gradient", "Hessian")


def table() -> str:
    """The table in Markdown."""
    lines = []
    for motion in (False, True):
        lines += [f"{'SE(3)' if motion else 'SO(3)'}, largest error in eps, float64 / float32:", ""]
        lines += ["| | " + " | ".join(HEAD) + " |", "|---" * (len(HEAD) + 1) + "|"]
        exact = [(dtype, truth(dtype, motion)) for dtype in (torch.float64, torch.float32)]
        for name, library in libraries(motion).items():
            columns = zip(*[row(library, t, dtype) for dtype, t in exact], strict=True)
            lines.append(f"| {name} | " + " | ".join(" / ".join(pair) for pair in columns) + " |")
        lines.append("")
    names = ("torch", "pypose", "kornia", "roma", "jaxlie", "jax")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names if installed(name))
    lines.append(
        f"Made by `python benchmarks/lie_accuracy.py --write docs/accuracy_table.md` with {versions}."
    )
    return "\n".join(lines) + "\n"


def main() -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--write", type=Path, help="write the table to this file")
    arguments = parser.parse_args()
    text = table()
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
