"""SO(3) and SE(3) in 50-digit arithmetic, by power series at every angle.

Arrays are numpy object arrays of mpmath numbers, batch dimension first. Inputs are exact values of floats.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
import torch
from mpmath import mp

mp.dps = 50
TERMS = 48
EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
ANGLES = (
    0.0, 1e-12, 1e-9, 2e-8, 1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2, 0.05, 0.1, 0.5, 0.99, 1.01, 2.0, 3.0,
    np.pi - 1e-3, np.pi - 1e-6, np.pi - 1e-8, np.pi,
)  # fmt: skip


def axes() -> np.ndarray:
    """The 6 signed coordinate axes, 12 axes with two components, and 14 drawn at random: (32, 3)."""
    eye = np.eye(3)
    pairs = [eye[i] + s * eye[j] for i in range(3) for j in range(3) if i != j for s in (1.0, -1.0)]
    drawn = np.random.default_rng(0).standard_normal((14, 3))
    every = np.concatenate((eye, -eye, pairs, drawn))
    return every / np.linalg.norm(every, axis=1, keepdims=True)


def points(dtype: torch.dtype) -> torch.Tensor:
    """Tangents (rho, phi) of every angle about every axis, |rho| = 1, (angles * axes, 6)."""
    phi = (np.array(ANGLES)[:, None, None] * axes()).reshape(-1, 3)
    rho = np.random.default_rng(1).standard_normal(phi.shape)
    rho /= np.linalg.norm(rho, axis=1, keepdims=True)
    return torch.tensor(np.concatenate((rho, phi), 1), dtype=dtype)


def exact(tensor: torch.Tensor) -> np.ndarray:
    """The floats as mpmath numbers."""
    return np.vectorize(mp.mpf, otypes=[object])(tensor.detach().double().numpy())


def error(got: torch.Tensor, truth: np.ndarray) -> np.ndarray:
    """Largest absolute difference of each batch element."""
    difference = np.abs(exact(got) - truth).astype(float)
    return difference.reshape(len(difference), -1).max(1)


def _series(coefficient: Any, x: np.ndarray, order: int) -> np.ndarray:
    """Sum of coefficient(k) x^k, differentiated ``order`` times."""
    total = 0 * x
    for k in range(TERMS, order - 1, -1):
        total = total * x + coefficient(k) * mp.mpf(factorial(k) // factorial(k - order))
    return total


def a(x: np.ndarray, order: int = 0) -> np.ndarray:
    return _series(lambda k: mp.mpf((-1) ** k) / factorial(2 * k + 1), x, order)


def b(x: np.ndarray, order: int = 0) -> np.ndarray:
    return _series(lambda k: mp.mpf((-1) ** k) / factorial(2 * k + 2), x, order)


def c(x: np.ndarray, order: int = 0) -> np.ndarray:
    return _series(lambda k: mp.mpf((-1) ** k) / factorial(2 * k + 3), x, order)


def d(x: np.ndarray, order: int = 0) -> np.ndarray:
    """Radius 4 pi^2: at pi^2 the terms fall by 4 each."""
    return _series(lambda k: abs(mp.bernoulli(2 * k + 2)) / factorial(2 * k + 2), x, order)


def dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u * v).sum(-1)


def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    (u0, u1, u2), (v0, v1, v2) = np.moveaxis(u, -1, 0), np.moveaxis(v, -1, 0)
    return np.stack((u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0), -1)


def outer(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., :, None] * v[..., None, :]


def hat(v: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(v, -1, 0)
    zero = 0 * x
    return np.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(*v.shape[:-1], 3, 3)


def eye(like: np.ndarray) -> np.ndarray:
    return np.eye(3, dtype=int).astype(object) + 0 * like[..., :1, None]


def exp_se3(xi: np.ndarray) -> np.ndarray:
    rho, phi = xi[:, :3], xi[:, 3:]
    x = dot(phi, phi)
    sine, cosine, cubic = (f(x)[:, None] for f in (a, b, c))
    square = outer(phi, phi) - x[:, None, None] * eye(phi)
    rotation = eye(phi) + sine[..., None] * hat(phi) + cosine[..., None] * square
    once = cross(phi, rho)
    translation = rho + cosine * once + cubic * cross(phi, once)
    bottom = np.array([0, 0, 0, 1], dtype=object) + 0 * x[:, None, None]
    return np.concatenate((np.concatenate((rotation, translation[..., None]), -1), bottom), -2)


def _with_derivative(phi: np.ndarray, rho: np.ndarray, first: Any, second: Any) -> np.ndarray:
    """[[F, dF(rho)], [0, F]] for F = I + first hat(phi) + second hat(phi)^2, functions of |phi|^2."""
    x, slope = dot(phi, phi), 2 * dot(phi, rho)
    f0, f1, s0, s1 = (f(x, k)[:, None, None] for f in (first, second) for k in (0, 1))
    slope = slope[:, None, None]
    square = hat(phi) @ hat(phi)
    mixed = hat(phi) @ hat(rho) + hat(rho) @ hat(phi)
    value = eye(phi) + f0 * hat(phi) + s0 * square
    derivative = f0 * hat(rho) + slope * f1 * hat(phi) + s0 * mixed + slope * s1 * square
    top = np.concatenate((value, derivative), -1)
    return np.concatenate((top, np.concatenate((0 * value, value), -1)), -2)


def left_jacobian_se3(xi: np.ndarray) -> np.ndarray:
    return _with_derivative(xi[:, 3:], xi[:, :3], b, c)


def left_jacobian_inverse_se3(xi: np.ndarray) -> np.ndarray:
    return _with_derivative(xi[:, 3:], xi[:, :3], lambda x, k: 0 * x - (mp.mpf(1) / 2 if k == 0 else 0), d)


def principal(phi: np.ndarray) -> np.ndarray:
    """The rotation vector of length at most pi of the same rotation, for lengths below 2 pi."""
    norm = [mp.sqrt(value) for value in dot(phi, phi)]
    factor = np.array([1 - 2 * mp.pi / n if n > mp.pi else mp.mpf(1) for n in norm], dtype=object)
    return factor[:, None] * phi


def gradient_and_hessian(xi: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of <weight, exp(xi)>, a sum of A, B and C times quadratic polynomials of phi."""
    rho, phi = xi[:, :3], xi[:, 3:]
    w3, wt = weight[:, :3, :3], weight[:, :3, 3]
    x = dot(phi, phi)
    identity = eye(phi)
    skew = np.stack((w3[:, 2, 1] - w3[:, 1, 2], w3[:, 0, 2] - w3[:, 2, 0], w3[:, 1, 0] - w3[:, 0, 1]), -1)
    transposed = np.swapaxes(w3, -1, -2)
    m = w3 + transposed - 2 * np.trace(w3, axis1=1, axis2=2)[:, None, None] * identity
    n = outer(wt, rho) + outer(rho, wt) - 2 * dot(wt, rho)[:, None, None] * identity
    zero = 0 * m
    gradient, hessian = 0 * phi, 0 * m
    for function, linear, quadratic in ((a, skew, zero), (b, cross(rho, wt), m), (c, 0 * phi, n)):
        g0, g1, g2 = (function(x, k) for k in range(3))
        along = (quadratic @ phi[..., None])[..., 0]
        value = dot(linear, phi) + dot(along, phi) / 2
        slope = linear + along
        gradient = gradient + g0[:, None] * slope + 2 * (g1 * value)[:, None] * phi
        hessian = hessian + g0[:, None, None] * quadratic
        hessian = hessian + 2 * g1[:, None, None] * (outer(slope, phi) + outer(phi, slope))
        hessian = hessian + value[:, None, None] * (
            4 * g2[:, None, None] * outer(phi, phi) + 2 * g1[:, None, None] * identity
        )
    b0, b1, c0, c1 = (f(x, k)[:, None] for f in (b, c) for k in (0, 1))
    turned = cross(wt, phi)
    folded = dot(wt, phi)[:, None] * phi - x[:, None] * wt
    gradient_rho = wt + b0 * turned + c0 * folded
    mixed = outer(2 * b1 * turned + 2 * c1 * folded - 2 * c0 * wt, phi) + b0[..., None] * hat(wt)
    mixed = mixed + c0[..., None] * (outer(phi, wt) + dot(wt, phi)[:, None, None] * identity)
    full = np.concatenate((np.concatenate((0 * mixed, mixed), -1),) * 2, -2)
    full[:, 3:, :3] = np.swapaxes(mixed, -1, -2)
    full[:, 3:, 3:] = hessian
    return np.concatenate((gradient_rho, gradient), -1), full
