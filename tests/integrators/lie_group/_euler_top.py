"""The free rigid body in closed form: Jacobi's elliptic functions and one quadrature over a period."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import ellipj, ellipk
from torch import Tensor

MOMENTS = (2.0, 1.0, 2 / 3)
MOMENTUM = (math.cos(1.1), 0.0, math.sin(1.1))
START = torch.cat(
    (
        torch.eye(3, dtype=torch.float64).flatten(),
        torch.tensor([p / i for p, i in zip(MOMENTUM, MOMENTS, strict=True)], dtype=torch.float64),
    )
)


def _speed() -> tuple[float, float, float]:
    """Amplitude of the second momentum, rate and parameter of the elliptic functions."""
    i1, i2, i3 = MOMENTS
    a, _, c = MOMENTUM
    first, second, third = 1 / i3 - 1 / i2, 1 / i1 - 1 / i3, 1 / i2 - 1 / i1
    b = -a * math.sqrt(-second / first)
    rate = c * math.sqrt(-first * second)
    return b, rate, -third * a * b / (c * rate)


def momentum(t: float) -> np.ndarray:
    """Body momentum: ``(a cn, b sn, c dn)``."""
    b, rate, m = _speed()
    sn, cn, dn, _ = ellipj(rate * t, m)
    return np.array([MOMENTUM[0] * cn, b * sn, MOMENTUM[2] * dn])


def _precession_rate(t: float) -> float:
    p1, p2, _ = momentum(t)
    return (p1**2 / MOMENTS[0] + p2**2 / MOMENTS[1]) / (p1**2 + p2**2)


def _precession(t: float) -> float:
    """Angle about the spatial momentum, of length one: periods by the trapezoidal rule, the rest by Gauss."""
    _, rate, m = _speed()
    period = 4 * ellipk(m) / rate
    whole = math.floor(t / period)
    average = np.mean([_precession_rate(period * k / 200) for k in range(200)])
    rest = quad(_precession_rate, whole * period, t, epsabs=1e-13, epsrel=1e-13, limit=200)[0]
    return whole * period * average + rest


def _about(axis: int, angle: float) -> np.ndarray:
    j, k = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[j, j] = out[k, k] = math.cos(angle)
    out[j, k], out[k, j] = -math.sin(angle), math.sin(angle)
    return out


def _attitude(t: float) -> np.ndarray:
    """Body to a frame whose third axis is the momentum, by Euler angles."""
    p = momentum(t)
    nutation, spin = math.acos(p[2]), math.atan2(p[0], p[1])
    return _about(2, _precession(t)) @ _about(0, nutation) @ _about(2, spin)


def exact(t: float) -> Tensor:
    """State ``(R, omega)`` at a time from ``START``."""
    rotation = _attitude(0.0).T @ _attitude(t)
    return torch.as_tensor(np.concatenate((rotation.ravel(), momentum(t) / np.array(MOMENTS))))
