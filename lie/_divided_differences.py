"""Scalar functions with their first and second divided differences, right where arguments coincide.

    f[a, b] = (f(a) - f(b)) / (a - b)             f[a, a] = f'(a)
    f[a, b, c] = (f[a, b] - f[b, c]) / (a - c)    f[a, a, a] = f''(a) / 2

They are symmetric in their arguments. These functions are evaluated, never differentiated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import torch
from torch import Tensor

_TERMS = 22
_NEAR = 0.25  # spread below which the Taylor series is used; above, the quotient loses one digit at most


class Scalar(ABC):
    """A function of one variable, with divided differences."""

    @abstractmethod
    def value(self, a: Tensor) -> Tensor:
        """Compute f(a)."""

    @abstractmethod
    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute f[a, b], arguments broadcast."""

    @abstractmethod
    def second(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute f[a, b, c], arguments broadcast."""


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.maximum(high, c), torch.maximum(low, torch.minimum(high, c)), torch.minimum(low, c)


def _quotient(f: Scalar, high: Tensor, middle: Tensor, low: Tensor) -> Tensor:
    gap = high - low
    return (f.first(high, middle) - f.first(middle, low)) / torch.where(gap == 0, 1, gap)


def _taylor(coefficients: Sequence[float], x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Sum f_k h_k(x, y, z) for x + y + z = 0, h_k the complete homogeneous symmetric polynomials.

    With f(u) = ... + f_0 u^2 + f_1 u^3 + ... this is f[x, y, z].

    Args:
        coefficients: The numbers f_0, f_1, ...
        x: First argument.
        y: Second argument.
        z: Third argument.

    Returns:
        The sum.
    """
    e2, e3 = x * y + y * z + z * x, x * y * z
    older, old, new = torch.zeros_like(e2), torch.ones_like(e2), torch.zeros_like(e2)  # h_-1, h_0, h_1
    total = coefficients[0] * old
    terms = _TERMS if e2.dtype == torch.float64 else _TERMS // 2
    for coefficient in coefficients[2:terms]:
        older, old, new = old, new, torch.addcmul(e3 * older, e2, old, value=-1)
        total = torch.add(total, new, alpha=coefficient)
    return total


class Exponential(Scalar):
    """Exp."""

    def value(self, a: Tensor) -> Tensor:
        """Compute exp(a)."""
        return a.exp()

    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute exp of the larger argument times (1 - exp(-gap)) / gap."""
        gap = (a - b).abs()
        same = gap == 0
        return torch.maximum(a, b).exp() * torch.where(
            same, 1, -torch.expm1(-gap) / torch.where(same, 1, gap)
        )

    def second(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute by the series about the centre for a spread below 1, else from the first differences."""
        high, middle, low = _sorted(a, b, c)
        near = high - low < 1
        centre = (a + b + c) / 3
        parts = (torch.where(near, part - centre, 0) for part in (high, middle, low))
        series = centre.exp() * _taylor([1 / factorial(k + 2) for k in range(_TERMS)], *parts)
        return torch.where(near, series, _quotient(self, high, middle, low))


class _Homogeneous(Scalar):
    """A function of positive numbers whose Taylor series at m scales with m; the sum is for m = 1."""

    degree: float
    coefficients: Sequence[float]  # f^(k+2)(1) / (k+2)!
    near: float = _NEAR

    def second(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute by the series about the centre where the arguments are close, else by first differences."""
        high, middle, low = _sorted(a, b, c)
        centre = (a + b + c) / 3
        near = high - low < self.near * centre
        parts = (torch.where(near, (part - centre) / centre, 0) for part in (high, middle, low))
        series = centre ** (self.degree - 2) * _taylor(self.coefficients, *parts)
        return torch.where(near, series, _quotient(self, high, middle, low))


class Logarithm(_Homogeneous):
    """Log."""

    degree = 0.0
    coefficients = tuple((-1) ** (k + 1) / (k + 2) for k in range(_TERMS))

    def value(self, a: Tensor) -> Tensor:
        """Compute log(a)."""
        return a.log()

    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute log(1 + x) / (x low), x = (high - low) / low."""
        low = torch.minimum(a, b)
        x = (a - b).abs() / low
        same = x == 0
        return torch.where(same, 1, torch.log1p(x) / torch.where(same, 1, x)) / low


class Power(_Homogeneous):
    """The power a^p.

    Args:
        p: The exponent.
    """

    def __init__(self, p: float) -> None:
        self.degree = p
        self.near = _NEAR / max(1.0, abs(p) / 2)
        binomials = [p * (p - 1) / 2]
        for k in range(3, _TERMS + 2):
            binomials.append(binomials[-1] * (p - k + 1) / k)
        self.coefficients = tuple(binomials)

    def value(self, a: Tensor) -> Tensor:
        """Compute a^p."""
        return a**self.degree

    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute low^(p-1) ((1 + x)^p - 1) / x, x = (high - low) / low."""
        low = torch.minimum(a, b)
        x = (a - b).abs() / low
        same = x == 0
        slope = torch.expm1(self.degree * torch.log1p(x)) / torch.where(same, 1, x)
        return low ** (self.degree - 1) * torch.where(same, self.degree, slope)


class SquareRoot(Scalar):
    """The square root."""

    def value(self, a: Tensor) -> Tensor:
        """Compute sqrt(a)."""
        return a.sqrt()

    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute 1 / (sqrt a + sqrt b)."""
        return 1 / (a.sqrt() + b.sqrt())

    def second(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute -1 / product of the sums of two roots."""
        a, b, c = a.sqrt(), b.sqrt(), c.sqrt()
        return -1 / ((a + b) * (b + c) * (c + a))


class InverseSquareRoot(Scalar):
    """One over the square root."""

    def value(self, a: Tensor) -> Tensor:
        """Compute 1 / sqrt(a)."""
        return 1 / a.sqrt()

    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute -1 / (sqrt a sqrt b (sqrt a + sqrt b))."""
        a, b = a.sqrt(), b.sqrt()
        return -1 / (a * b * (a + b))

    def second(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute the sum of the roots / (their product times the product of the sums of two)."""
        a, b, c = a.sqrt(), b.sqrt(), c.sqrt()
        return (a + b + c) / (a * b * c * (a + b) * (b + c) * (c + a))


@dataclass(frozen=True)
class Floor(Scalar):
    """The larger of a and a floor; at the floor, where it has a kink, the slope is taken as 1.

    Attributes:
        floor: The floor.
    """

    floor: float

    def value(self, a: Tensor) -> Tensor:
        """Compute max(a, floor)."""
        return a.clamp_min(self.floor)

    def first(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the share of the interval that lies above the floor."""
        gap = a - b
        same = gap == 0
        share = (self.value(a) - self.value(b)) / torch.where(same, 1, gap)
        return torch.where(same, (a >= self.floor).to(a.dtype), share)

    def second(self, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Compute from the first differences; 0 where all arguments are equal."""
        return _quotient(self, *_sorted(a, b, c))


EXP = Exponential()
LOG = Logarithm()
SQRT = SquareRoot()
INVERSE_SQRT = InverseSquareRoot()
