"""Parameters and comparisons that the suites share."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

with (
    warnings.catch_warnings()
):  # torch 2.13 warns about its own torch.jit.script when forward mode is first used
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")

DTYPES = (torch.float32, torch.float64)
SHAPES = ((), (0,), (3,), (2, 1, 3))
PLACES = ("identity", "tiny", "ordinary")

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
places = pytest.mark.parametrize("place", PLACES)


def jvp(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Compute a function and its derivative along v.

    Args:
        function: The function.
        x: Where.
        v: Direction, of the shape of x.

    Returns:
        Value and derivative.
    """
    value, derivative = torch.func.jvp(function, (x,), (v,))[:2]
    return value, derivative


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Multiply a vector by a matrix.

    Args:
        matrix: Shape (..., n, k).
        vector: Shape (..., k).

    Returns:
        The product, shape (..., n).
    """
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


class Comparison:
    """Comparison of tensors up to rounding.

    Attributes:
        slack: Error accepted, in epsilons of the dtype times the size of the result.
    """

    slack: float = 1000.0

    def assert_close(self, got: Tensor, expected: Tensor) -> None:
        """Compare two tensors of equal shape and dtype, relative to their size or to one."""
        assert got.shape == expected.shape, f"shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
        assert got.dtype == expected.dtype, f"dtype {got.dtype}, expected {expected.dtype}"
        if got.numel() == 0:
            return
        size = max(1.0, float(expected.abs().max()))
        error = float((got - expected).abs().max())
        bound = self.slack * torch.finfo(got.dtype).eps * size
        assert error <= bound, f"error {error:.3g}, accepted {bound:.3g}"

    def assert_compiles(self, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
        """Compile a function without graph breaks; value and gradient equal the eager ones."""
        torch._dynamo.reset()
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        leaf = x.detach().clone().requires_grad_()
        y, expected = compiled(leaf), function(leaf)
        self.assert_close(y.detach(), expected.detach())
        (gradient,) = torch.autograd.grad(y.sin().sum(), leaf)
        (wanted,) = torch.autograd.grad(expected.sin().sum(), leaf)
        self.assert_close(gradient, wanted)
        torch._dynamo.reset()
