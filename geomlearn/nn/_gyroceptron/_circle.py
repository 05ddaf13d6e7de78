"""Linear actions of the circle on pairs of positions and momenta."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor


class CircleAction:
    """The action of the circle that turns the pair ``(q_i, p_i)`` clockwise by ``n_i`` times the angle.

    ``q_i' = cos(n_i a) q_i + sin(n_i a) p_i`` and ``p_i' = cos(n_i a) p_i - sin(n_i a) q_i``: the flow of the
    moment ``mu = sum_i n_i (q_i^2 + p_i^2) / 2`` for the time ``a``. It is symplectic, keeps the moment, and
    is the identity for ``a = 2 pi`` since the weights ``n_i`` are integers.

    Source: Burby, Hirvijoki, Leok, Nearly periodic maps and geometric integration of noncanonical Hamiltonian
    systems, J. Nonlinear Sci. 33 (2023) 38.

    Example:
        >>> import torch
        >>> action = CircleAction((1, 0))
        >>> z = torch.tensor([1.0, 2.0, 0.0, 3.0], dtype=torch.float64)  # q1, q2, p1, p2
        >>> action(z, torch.pi / 2).round(decimals=12)
        tensor([ 0.,  2., -1.,  3.], dtype=torch.float64)
        >>> float(action.moment(z))
        0.5

    Attributes:
        weights: The integers ``n_i``, one for each pair.
        degrees: Number of pairs.
        fast: Indices of the pairs that turn.
        slow: Indices of the pairs that rest, those of weight 0.
        divisor: Greatest common divisor of the weights: every function on a circle has harmonics that are
            multiples of it.
    """

    def __init__(self, weights: Iterable[int], degrees: int | None = None) -> None:
        """Take the weights.

        Args:
            weights: One integer for each pair.
            degrees: Number of pairs, where it is known beforehand.

        Raises:
            TypeError: If the weights are no sequence of integers.
            ValueError: If there is no weight, all are zero, or their number is not that of the pairs.
        """
        if not isinstance(weights, Iterable):
            raise TypeError(f"circle_weights: expected one integer for each pair, got {weights!r}")
        self.weights = tuple(_integer(k, n) for k, n in enumerate(weights))
        if degrees is not None and len(self.weights) != degrees:
            raise ValueError(
                f"circle_weights: expected {degrees} integers, one for each pair (q_i, p_i), got "
                f"{len(self.weights)}: {self.weights}"
            )
        if not any(self.weights):
            raise ValueError(
                f"circle_weights: expected at least one weight that is not zero, got {self.weights}; a pair"
                " of weight 0 rests, so that nothing would turn"
            )
        self.degrees = len(self.weights)
        self.fast = [i for i, n in enumerate(self.weights) if n]
        self.slow = [i for i, n in enumerate(self.weights) if not n]
        self.divisor = math.gcd(*self.weights)

    def __repr__(self) -> str:
        """Show the weights."""
        return f"CircleAction({self.weights})"

    def __call__(self, z: Tensor, angle: float | Tensor) -> Tensor:
        """Turn states.

        Args:
            z: States ``(..., 2 d)``, positions before momenta.
            angle: Radians, a number or a tensor that broadcasts with the batch ``(...)``.

        Returns:
            States ``(..., 2 d)``.
        """
        q, p = z.chunk(2, -1)
        c, s = self._turned(z, angle)
        return torch.cat(torch.broadcast_tensors(c * q + s * p, c * p - s * q), -1)

    def matrix(self, z: Tensor, angle: float | Tensor) -> Tensor:
        """Derivative of the turned states by the states.

        Args:
            z: States ``(..., 2 d)``, of which only the batch counts.
            angle: Radians, as in a call.

        Returns:
            Matrices ``(..., 2 d, 2 d)``.
        """
        c, s = (part.expand(*z.shape[:-1], self.degrees).diag_embed() for part in self._turned(z, angle))
        return torch.cat((torch.cat((c, s), -1), torch.cat((-s, c), -1)), -2)

    def moment(self, z: Tensor) -> Tensor:
        """The moment map ``sum_i n_i (q_i^2 + p_i^2) / 2``, which generates the action.

        Args:
            z: States ``(..., 2 d)``.

        Returns:
            Shape ``(...)``.
        """
        q, p = z.chunk(2, -1)
        return 0.5 * ((q * q + p * p) * self._numbers(z)).sum(-1)

    def generator(self, z: Tensor) -> Tensor:
        """Velocity of the turned state by the angle, ``(n_i p_i, -n_i q_i)``.

        Args:
            z: States ``(..., 2 d)``.

        Returns:
            Shape ``(..., 2 d)``.
        """
        q, p = z.chunk(2, -1)
        n = self._numbers(z)
        return torch.cat((n * p, -n * q), -1)

    def moment_slope(self, z: Tensor) -> Tensor:
        """Gradient of the moment, ``(n_i q_i, n_i p_i)``.

        Args:
            z: States ``(..., 2 d)``.

        Returns:
            Shape ``(..., 2 d)``.
        """
        q, p = z.chunk(2, -1)
        n = self._numbers(z)
        return torch.cat((n * q, n * p), -1)

    def moment_text(self, rows: list[int]) -> str:
        """Expression of the moment for a statement of a kernel, with ``0.5`` left to the caller.

        Args:
            rows: Rows of positions and momenta.

        Returns:
            Text for twice the moment.
        """
        d = self.degrees
        terms = [
            f"{float(self.weights[i])} * (@{rows[i]} * @{rows[i]} + @{rows[d + i]} * @{rows[d + i]})"
            for i in self.fast
        ]
        return " + ".join(terms)

    def _numbers(self, like: Tensor) -> Tensor:
        return torch.tensor(self.weights, dtype=like.dtype, device=like.device)

    def _turned(self, z: Tensor, angle: float | Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``(..., d)``."""
        angles = torch.as_tensor(angle, dtype=z.dtype, device=z.device)[..., None] * self._numbers(z)
        return angles.cos(), angles.sin()


def _integer(index: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"circle_weights[{index}]: expected an integer, got {value!r}: with another number the rotation "
            "by 2 pi would not be the identity; count turns of the slowest rotating pair, such as (1, 2)"
        )
    return int(value)
