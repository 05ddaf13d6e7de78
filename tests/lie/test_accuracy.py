"""Values and derivatives of SO(3) and SE(3) against 50-digit arithmetic, in epsilons of the dtype.

22 angles from 0 to pi about 32 axes, with translations of size 1: a translation as small as the angle would
hide the errors of the coefficients.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from lie import SE3, SO3, quaternion

from . import reference

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@cache
def truth(name: str, dtype: torch.dtype) -> np.ndarray:
    function = {
        "exp": reference.exp_se3,
        "left_jacobian": reference.left_jacobian_se3,
        "left_jacobian_inverse": reference.left_jacobian_inverse_se3,
    }[name]
    return function(reference.exact(reference.points(dtype)))


def rounded(values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(values.astype(float), dtype=torch.float64).to(dtype)


def weights(dtype: torch.dtype, n: int) -> torch.Tensor:
    """A fixed matrix of size 1 per point."""
    count = len(reference.points(dtype))
    return torch.randn(count, n, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)


def angles(dtype: torch.dtype) -> np.ndarray:
    """True angles of the points."""
    return np.linalg.norm(reference.points(dtype)[:, 3:].double().numpy(), axis=1)


def exp_error(dtype: torch.dtype) -> float:
    xi = reference.points(dtype)
    motion = reference.error(SE3.exp(xi), truth("exp", dtype)).max()
    turn = reference.error(SO3.exp(xi[:, 3:]), truth("exp", dtype)[:, :3, :3]).max()
    return float(max(motion, turn)) / reference.EPS[dtype]


def log_error(dtype: torch.dtype, source: str) -> float:
    """Relative error of the rotation vector; at an angle of pi up to rounding, of the nearer answer."""
    eps = reference.EPS[dtype]
    phi = reference.points(dtype)[:, 3:]
    expected = reference.principal(reference.exact(phi))
    rotation = rounded(truth("exp", dtype)[:, :3, :3], dtype)
    got = {
        "matrix": lambda: SO3.log(rotation),
        "quaternion": lambda: quaternion.log(quaternion.exp(phi)),
        "motion": lambda: SE3.log(SE3.from_parts(rotation, torch.ones_like(phi)))[:, 3:],
    }[source]()
    difference = reference.error(got, expected)
    either = np.abs(angles(dtype) - np.pi) < 8 * eps
    difference[either] = np.minimum(difference, reference.error(-got, expected))[either]
    return float((difference / np.maximum(angles(dtype), 1e-300)).max() / eps)


def log_translation_error(dtype: torch.dtype) -> float:
    """Error of rho in log(exp(rho, phi)) from the rounded motion, below half turns."""
    below = angles(dtype) < np.pi - 8 * reference.EPS[dtype]
    motion = rounded(truth("exp", dtype), dtype)
    rho = reference.exact(reference.points(dtype)[:, :3])
    return float(reference.error(SE3.log(motion)[:, :3], rho)[below].max()) / reference.EPS[dtype]


def jacobian_error(dtype: torch.dtype, name: str) -> float:
    """Largest entry error over 1 + |rho| = 2."""
    xi = reference.points(dtype)
    motion = reference.error(getattr(SE3, name)(xi), truth(name, dtype)).max() / 2
    turn = reference.error(getattr(SO3, name)(xi[:, 3:]), truth(name, dtype)[:, :3, :3]).max()
    return float(max(motion, turn)) / reference.EPS[dtype]


def exp_derivative_errors(dtype: torch.dtype, group: str) -> tuple[float, float]:
    """Errors of gradient and Hessian of <W, exp(xi)>, each relative to its largest entry."""
    xi, weight = reference.points(dtype), weights(dtype, 4)
    if group == "SO3":
        xi, weight = xi[::3], weight[::3]
        weight[:, :, 3] = 0
    gradient, hessian = reference.gradient_and_hessian(reference.exact(xi), reference.exact(weight))
    if group == "SO3":
        gradient, hessian = gradient[:, 3:], hessian[:, 3:, 3:]

        def function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return (w[:3, :3] * SO3.exp(x)).sum()

        xi = xi[:, 3:]
    else:

        def function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return (w * SE3.exp(x)).sum()

    errors = []
    for derivative, expected in ((torch.func.grad, gradient), (torch.func.hessian, hessian)):
        got = torch.vmap(derivative(function))(xi, weight)
        size = np.abs(expected).astype(float).reshape(len(expected), -1).max(1)
        errors.append(float((reference.error(got, expected) / size).max()) / reference.EPS[dtype])
    return errors[0], errors[1]


def log_derivative_errors(dtype: torch.dtype, group: str) -> tuple[float, float]:
    """Gradient of w log(exp(xi)) against w, relative; its Hessian against 0; below half turns."""
    eps = reference.EPS[dtype]
    xi = reference.points(dtype)[torch.tensor(angles(dtype) < np.pi - 8 * eps)]
    w = torch.tensor([0.36, -0.48, 0.8, -0.6, 0.64, 0.48], dtype=dtype)
    if group == "SO3":
        xi, w = xi[:, 3:], w[3:]
    chosen = SO3 if group == "SO3" else SE3

    def function(x: torch.Tensor) -> torch.Tensor:
        return (w * chosen.log(chosen.exp(x))).sum()

    gradient = torch.vmap(torch.func.grad(function))(xi)
    hessian = torch.vmap(torch.func.hessian(function))(xi)
    return float((gradient - w).abs().max() / w.abs().max()) / eps, float(hessian.abs().max()) / eps


@dtypes
def test_exp(dtype: torch.dtype) -> None:
    assert exp_error(dtype) <= 4


@dtypes
@pytest.mark.parametrize("source", ["matrix", "quaternion", "motion"])
def test_log_of_rotations(dtype: torch.dtype, source: str) -> None:
    assert log_error(dtype, source) <= 4


@dtypes
def test_log_of_motions(dtype: torch.dtype) -> None:
    assert log_translation_error(dtype) <= 8


@dtypes
@pytest.mark.parametrize("name", ["left_jacobian", "left_jacobian_inverse"])
def test_jacobians(dtype: torch.dtype, name: str) -> None:
    assert jacobian_error(dtype, name) <= 2


@dtypes
@pytest.mark.parametrize("group", ["SO3", "SE3"])
def test_derivatives_of_exp(dtype: torch.dtype, group: str) -> None:
    gradient, hessian = exp_derivative_errors(dtype, group)
    assert gradient <= 16
    assert hessian <= 32


@dtypes
@pytest.mark.parametrize("group", ["SO3", "SE3"])
def test_derivatives_of_log(dtype: torch.dtype, group: str) -> None:
    gradient, hessian = log_derivative_errors(dtype, group)
    assert gradient <= 16
    assert hessian <= 64


@dtypes
def test_quaternions_of_rotation_vectors(dtype: torch.dtype) -> None:
    phi = reference.points(dtype)[:, 3:]
    got = quaternion.to_matrix(quaternion.exp(phi))
    assert reference.error(got, truth("exp", dtype)[:, :3, :3]).max() <= 4 * reference.EPS[dtype]
    there_and_back = SO3.from_quaternion(SO3.to_quaternion(SO3.exp(phi)))
    assert reference.error(there_and_back, truth("exp", dtype)[:, :3, :3]).max() <= 6 * reference.EPS[dtype]
