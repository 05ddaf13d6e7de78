"""Gradients of potentials with one hidden layer, in torch and in kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from integrators.kernels import KernelBuilder, Rows

from ._profiles import Profile
from ._scratch import Scratch

SLOTS = 16
"""Hidden units of a single trajectory that are computed together, a power of two."""


class Units(nn.Module):
    """The gradient ``g(y) = sum_j w_j a_j rho(w_j . y + b_j + v_j . c)`` of a potential of ``y``.

    Its derivative ``sum_j w_j a_j rho'(...) w_j^T`` is symmetric, which makes shears along it symplectic.
    With a centre and diameters, ``y`` is replaced by ``(y - centre) / diameters`` inside the potential,
    whose gradient is still the one with respect to ``y``.

    Attributes:
        w: Directions ``(d, units)``.
        a: Amplitudes ``(units,)``.
        b: Biases ``(units,)``.
        v: Weights of the parameters ``(k, units)``, or ``None``.
        centre: Centre of the inputs ``(d,)``, or ``None``.
        diameter: Their diameters ``(d,)``, or ``None``.
    """

    w: nn.Parameter
    a: nn.Parameter
    b: nn.Parameter
    v: nn.Parameter | None
    centre: Tensor | None
    diameter: Tensor | None

    def __init__(
        self,
        profile: Profile,
        w: nn.Parameter,
        a: nn.Parameter,
        b: nn.Parameter,
        v: nn.Parameter | None = None,
    ) -> None:
        """Take the weights.

        Args:
            profile: The function ``rho``.
            w: Directions ``(d, units)``.
            a: Amplitudes ``(units,)``.
            b: Biases ``(units,)``.
            v: Weights of the parameters ``(k, units)``.
        """
        super().__init__()
        self.profile = profile
        self.w, self.a, self.b, self.v = w, a, b, v
        self.register_buffer("centre", None)
        self.register_buffer("diameter", None)

    def normalise(self, centre: Tensor, diameter: Tensor) -> None:
        """Shift and scale what the potential sees.

        Args:
            centre: Centre ``(d,)``.
            diameter: Diameters ``(d,)``.

        Raises:
            ValueError: If a shape is wrong or a diameter is not positive.
        """
        d = self.w.shape[0]
        for name, value in (("centre", centre), ("diameter", diameter)):
            if tuple(value.shape) != (d,):
                raise ValueError(f"{name}: expected shape ({d},), got {tuple(value.shape)}")
        if not bool((diameter > 0).all()):
            raise ValueError(f"diameter: expected positive numbers, got {diameter.tolist()}")
        self.centre = centre.detach().to(self.w).clone()
        self.diameter = diameter.detach().to(self.w).clone()

    def weights(self) -> tuple[Tensor, Tensor]:
        """Directions and biases for inputs that are neither shifted nor scaled."""
        if self.diameter is None or self.centre is None:
            return self.w, self.b
        w = self.w / self.diameter.unsqueeze(-1)
        return w, self.b - self.centre @ w

    def gradient(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``g``.

        Args:
            y: Points ``(..., d)``.
            control: Parameters ``(..., k)``.

        Returns:
            Shape ``(..., d)``.
        """
        w, b = self.weights()
        return F.linear(self.profile.value(self._sums(y, w, b, control)) * self.a, w)

    def hessian(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the derivative of ``g``.

        Args:
            y: Points ``(..., d)``.
            control: Parameters ``(..., k)``.

        Returns:
            Symmetric matrices ``(..., d, d)``.
        """
        w, b = self.weights()
        slope = self.profile.both(self._sums(y, w, b, control))[1] * self.a
        return (w * slope.unsqueeze(-2)) @ w.mT

    def _sums(self, y: Tensor, w: Tensor, b: Tensor, control: Tensor | None) -> Tensor:
        sums = F.linear(y, w.mT, b)
        return sums if self.v is None or control is None else sums + control @ self.v

    @property
    def columns(self) -> int:
        """Number of units in a kernel, where units without amplitude fill up blocks."""
        units = self.w.shape[1]
        return units + -units % (SLOTS // 2)

    def numbers(self) -> list[Tensor]:
        """Give what ``emit`` reads: directions, weights of the parameters, biases, amplitudes, row by row."""
        w, b = self.weights()
        rows = torch.cat((w, *([] if self.v is None else [self.v]), b.unsqueeze(0), self.a.unsqueeze(0)))
        return [F.pad(rows, (0, self.columns - w.shape[1]))]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(value.numel() for value in self.numbers())

    def emit(self, builder: KernelBuilder, y: Rows, place: str, control: Rows) -> Rows:
        """Write the computation of ``g``.

        Args:
            builder: The kernel under construction.
            y: Rows of the point.
            place: Where ``numbers`` begin in ``P``.
            control: Rows of the parameters, as many as ``v`` has.

        Returns:
            Rows of ``g``.
        """
        stride = self.columns
        inputs = [*y, *control]
        total = Scratch.rows(builder, "gradient", len(y))
        bias, amplitude = len(inputs) * stride, (len(inputs) + 1) * stride
        with builder.loop("if L == 1:"):
            self._emit_single(builder, inputs, total, place)
        with builder.loop("else:"):
            builder.lanes(*[f"@{row} = 0.0" for row in total])
            with builder.loop(f"for j in range({self.w.shape[1]}):"):
                for k in range(len(inputs)):
                    builder.line(f"w_{k} = P[{place} + {k * stride} + j]")
                builder.line(f"b_0 = P[{place} + {bias} + j]")
                builder.line(f"a_0 = P[{place} + {amplitude} + j]")
                terms = " + ".join(f"w_{k} * @{row}" for k, row in enumerate(inputs))
                builder.lanes(
                    f"s = b_0 + {terms}",
                    *self.profile.code,
                    "y = a_0 * y",
                    *[f"@{row} = @{row} + w_{k} * y" for k, row in enumerate(total)],
                )
        return total

    def _emit_single(self, builder: KernelBuilder, inputs: Rows, total: Rows, place: str) -> None:
        """One trajectory: the loops run over the units, whose numbers are next to each other.

        Each slot has a sum of its own, so that no addition waits for the one before.
        """
        stride, width = self.columns, min(self.columns, SLOTS)
        sums = [Scratch.rows(builder, f"sums of {k}", width) for k in range(len(total))]
        names = [f"x_{k}" for k in range(len(inputs))]
        for name, row in zip(names, inputs, strict=True):
            builder.line(f"{name} = A[{row}]")
        terms = " + ".join(f"P[at + {k * stride}] * {name}" for k, name in enumerate(names))
        for first in range(0, stride, width):
            with builder.loop(f"for j in range({min(width, stride - first)}):"):
                builder.line(f"at = {place} + {first} + j")
                builder.line(f"s = P[at + {len(names) * stride}] + {terms}")
                for text in self.profile.code:
                    builder.line(text)
                builder.line(f"y = P[at + {(len(names) + 1) * stride}] * y")
                for k, (start, *_) in enumerate(sums):
                    before = f"A[{start} + j] + " if first else ""
                    builder.line(f"A[{start} + j] = {before}P[at + {k * stride}] * y")
        for row, slots in zip(total, sums, strict=True):
            builder.line(f"A[{row}] = {_pairwise([f'A[{slot}]' for slot in slots])}")


def _pairwise(terms: list[str]) -> str:
    """A sum of sums of sums."""
    while len(terms) > 1:
        terms = [f"({' + '.join(terms[k : k + 2])})" for k in range(0, len(terms), 2)]
    return terms[0]
