"""Gradients of potentials with one hidden layer, in torch and in kernels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from integrators.kernels import KernelBuilder, Rows

from ._profiles import Profile
from ._scratch import Scratch

SLOTS = 16
"""Hidden units of a single trajectory that are computed together."""


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

    def numbers(self) -> list[Tensor]:
        """Give what ``emit`` reads: directions, weights of the parameters, biases, amplitudes."""
        w, b = self.weights()
        return [w, *([] if self.v is None else [self.v]), b, self.a]

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
        units = self.w.shape[1]
        inputs = [*y, *control]
        total = Scratch.rows(builder, "gradient", len(y))
        bias, amplitude = len(inputs) * units, (len(inputs) + 1) * units
        with builder.loop("if L == 1:"):
            self._emit_single(builder, inputs, total, place, units)
        with builder.loop("else:"):
            builder.lanes(*[f"@{row} = 0.0" for row in total])
            with builder.loop(f"for j in range({units}):"):
                for k in range(len(inputs)):
                    builder.line(f"w_{k} = P[{place} + {k * units} + j]")
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

    def _emit_single(self, builder: KernelBuilder, inputs: Rows, total: Rows, place: str, units: int) -> None:
        """One trajectory: the loops run over the units, whose numbers are next to each other."""
        slots = Scratch.rows(builder, "units", min(units, SLOTS))
        names = [f"x_{k}" for k in range(len(inputs))]
        for name, row in zip(names, inputs, strict=True):
            builder.line(f"{name} = A[{row}]")
        for k in range(len(total)):
            builder.line(f"g_{k} = 0.0")
        blocks, rest = divmod(units, SLOTS)
        if blocks:
            with builder.loop(f"for i in range(0, {blocks * SLOTS}, {SLOTS}):"):
                self._emit_block(builder, names, len(total), f"{place} + i", slots[0], SLOTS, units)
        if rest:
            start = f"{place} + {blocks * SLOTS}"
            self._emit_block(builder, names, len(total), start, slots[0], rest, units)
        for k, row in enumerate(total):
            builder.line(f"A[{row}] = g_{k}")

    def _emit_block(
        self,
        builder: KernelBuilder,
        names: list[str],
        size: int,
        start: str,
        slot: int,
        many: int,
        units: int,
    ) -> None:
        terms = " + ".join(f"P[{start} + {k * units} + j] * {name}" for k, name in enumerate(names))
        bias, amplitude = len(names) * units, (len(names) + 1) * units
        with builder.loop(f"for j in range({many}):"):
            builder.line(f"s = P[{start} + {bias} + j] + {terms}")
            for text in self.profile.code:
                builder.line(text)
            builder.line(f"A[{slot} + j] = P[{start} + {amplitude} + j] * y")
        for k in range(size):
            weight = f"P[{start} + {k * units} + j]"
            with builder.loop(f"for j in range({many}):"):
                builder.line(f"g_{k} = g_{k} + {weight} * A[{slot} + j]")
