"""Values and derivatives of unit quaternions against 50-digit arithmetic, in epsilons of the dtype."""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import Any

import numpy as np
import pytest
import torch
from mpmath import mp

from lie import UnitQuaternion

from . import reference
from .reference import dot, outer

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def s(x: np.ndarray, order: int = 0) -> np.ndarray:
    """Half the sine of half the angle over half the angle, a function of the squared angle."""
    return reference._series(lambda k: mp.mpf((-1) ** k) / (2 * 4**k * factorial(2 * k + 1)), x, order)


def w(x: np.ndarray, order: int = 0) -> np.ndarray:
    """Cosine of half the angle."""
    return reference._series(lambda k: mp.mpf((-1) ** k) / (4**k * factorial(2 * k)), x, order)


def points(dtype: torch.dtype) -> torch.Tensor:
    return reference.points(dtype)[:, 3:]


def angles(dtype: torch.dtype) -> np.ndarray:
    return np.linalg.norm(points(dtype).double().numpy(), axis=1)


def below(dtype: torch.dtype) -> torch.Tensor:
    """Where the logarithm gives the tangent back, whatever the rounding of the quaternion."""
    return torch.tensor(angles(dtype) < np.pi - 8 * reference.EPS[dtype])


@cache
def truth(dtype: torch.dtype) -> np.ndarray:
    phi = reference.exact(points(dtype))
    x = dot(phi, phi)
    return np.concatenate((s(x)[:, None] * phi, w(x)[:, None]), -1)


def rounded(values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(values.astype(float), dtype=torch.float64).to(dtype)


def exp_error(dtype: torch.dtype) -> float:
    got = UnitQuaternion.exp(points(dtype))
    return float(reference.error(got, truth(dtype)).max()) / reference.EPS[dtype]


def log_error(dtype: torch.dtype, sign: float) -> float:
    """Relative error; at an angle of pi up to rounding, of the nearer answer."""
    phi = points(dtype)
    expected = reference.principal(reference.exact(phi))
    got = UnitQuaternion.log(sign * rounded(truth(dtype), dtype))
    difference = reference.error(got, expected)
    either = ~below(dtype).numpy()
    difference[either] = np.minimum(difference, reference.error(-got, expected))[either]
    return float((difference / np.maximum(angles(dtype), 1e-300)).max()) / reference.EPS[dtype]


def exp_derivative_errors(dtype: torch.dtype) -> tuple[float, float]:
    """Errors of gradient and Hessian of <weight, exp(phi)>, each relative to its largest entry."""
    phi = points(dtype)
    weight = torch.randn(len(phi), 4, generator=torch.Generator().manual_seed(2), dtype=dtype)
    p, v = reference.exact(phi), reference.exact(weight[:, :3])
    last = reference.exact(weight[:, 3])
    x, along = dot(p, p), dot(v, p)
    s0, s1, s2, w1, w2 = s(x), s(x, 1), s(x, 2), w(x, 1), w(x, 2)
    gradient = s0[:, None] * v + 2 * (s1 * along + last * w1)[:, None] * p
    hessian = 2 * s1[:, None, None] * (outer(v, p) + outer(p, v))
    hessian = hessian + 4 * (s2 * along + last * w2)[:, None, None] * outer(p, p)
    hessian = hessian + 2 * (s1 * along + last * w1)[:, None, None] * reference.eye(p)

    def function(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return (weight * UnitQuaternion.exp(x)).sum()

    errors = []
    for order, expected in ((torch.func.grad, gradient), (torch.func.hessian, hessian)):
        got = torch.vmap(order(function))(phi, weight)
        size = np.abs(expected).astype(float).reshape(len(expected), -1).max(1)
        errors.append(float((reference.error(got, expected) / size).max()) / reference.EPS[dtype])
    return errors[0], errors[1]


def log_derivative_error(dtype: torch.dtype, sign: float) -> float:
    """Error of d log(q) [hat(delta) q] against the inverse left Jacobian, entries of size 1."""
    phi = points(dtype)[below(dtype)]
    q = sign * rounded(truth(dtype), dtype)[below(dtype)]
    delta = torch.eye(3, dtype=dtype)[:, None].expand(3, len(q), 3)
    velocity = UnitQuaternion.compose(UnitQuaternion.hat(delta), q)

    def slope(tangent: torch.Tensor) -> torch.Tensor:
        derivative: torch.Tensor = torch.func.jvp(UnitQuaternion.log, (q,), (tangent,))[1]
        return derivative

    got = torch.stack([slope(row) for row in velocity], -1)
    xi = np.concatenate((0 * reference.exact(phi), reference.exact(phi)), -1)
    expected = reference.left_jacobian_inverse_se3(xi)[:, :3, :3]
    return float(reference.error(got, expected).max()) / reference.EPS[dtype]


def there_and_back_errors(dtype: torch.dtype) -> tuple[float, float]:
    """Gradient of c log(exp(phi)) against c, relative; its Hessian against 0."""
    phi = points(dtype)[below(dtype)]
    c = torch.tensor([-0.6, 0.64, 0.48], dtype=dtype)

    def function(x: torch.Tensor) -> torch.Tensor:
        return (c * UnitQuaternion.log(UnitQuaternion.exp(x))).sum()

    gradient = torch.vmap(torch.func.grad(function))(phi)
    hessian = torch.vmap(torch.func.hessian(function))(phi)
    eps = reference.EPS[dtype]
    return float((gradient - c).abs().max() / c.abs().max()) / eps, float(hessian.abs().max()) / eps


def cayley_errors(dtype: torch.dtype) -> tuple[float, float]:
    """Entry error of cayley, and relative error of its inverse on the rounded result."""
    u = points(dtype)
    half = reference.exact(u) / 2
    length = np.array([mp.sqrt(1 + value) for value in dot(half, half)], dtype=object)[:, None]
    expected = np.concatenate((half, 0 * length + 1), -1) / length
    forth = float(reference.error(UnitQuaternion.cayley(u), expected).max())
    back = UnitQuaternion.cayley_inverse(rounded(expected, dtype))
    relative = reference.error(back, reference.exact(u)) / np.maximum(angles(dtype), 1e-300)
    return forth / reference.EPS[dtype], float(relative.max()) / reference.EPS[dtype]


def distance_error(dtype: torch.dtype) -> float:
    """Error of the angle between the quaternions as given, in radians."""
    b = rounded(truth(dtype), dtype)
    a = UnitQuaternion.random(len(b), generator=torch.Generator().manual_seed(3), dtype=dtype)
    b = UnitQuaternion.compose(a, b)

    def angle(p: Any, q: Any) -> Any:
        v = p[3] * q[:3] - q[3] * p[:3] - np.cross(p[:3], q[:3])
        return 2 * mp.atan2(mp.sqrt(v @ v), abs(p @ q))

    expected = np.array([angle(p, q) for p, q in zip(reference.exact(a), reference.exact(b))], dtype=object)
    return float(reference.error(UnitQuaternion.distance(a, -b), expected).max()) / reference.EPS[dtype]


@dtypes
def test_exp(dtype: torch.dtype) -> None:
    assert exp_error(dtype) <= 2


@dtypes
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_log(dtype: torch.dtype, sign: float) -> None:
    assert log_error(dtype, sign) <= 4


@dtypes
def test_derivatives_of_exp(dtype: torch.dtype) -> None:
    gradient, hessian = exp_derivative_errors(dtype)
    assert gradient <= 16
    assert hessian <= 32


@dtypes
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_derivative_of_log(dtype: torch.dtype, sign: float) -> None:
    assert log_derivative_error(dtype, sign) <= 16


@dtypes
def test_derivatives_of_log_after_exp(dtype: torch.dtype) -> None:
    gradient, hessian = there_and_back_errors(dtype)
    assert gradient <= 16
    assert hessian <= 64


@dtypes
def test_cayley(dtype: torch.dtype) -> None:
    forth, back = cayley_errors(dtype)
    assert forth <= 2
    assert back <= 4


@dtypes
def test_distance(dtype: torch.dtype) -> None:
    assert distance_error(dtype) <= 4
