"""What all shears of phase space have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from integrators.kernels import KernelBuilder, Rows

from ._layer import Strength, SymplecticLayer, along_last, block_matrix, count
from ._units import Units

Factor = tuple[str, str]
DEVIATION = 0.01
"""Of the first weights, as in the code of Jin et al."""


class Shear(SymplecticLayer):
    """A map that adds ``strength g(x)`` to one half of the state, where ``x`` is the other half.

    It is symplectic because ``g`` is a gradient: its derivative is symmetric. The words "up" and "low" are
    used both ways round in the literature; here ``updates`` names the half that changes.

    Attributes:
        updates: The half that changes, ``"p"`` or ``"q"``.
    """

    def __init__(self, degrees: int, updates: str) -> None:
        """Say which half changes.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            updates: ``"p"`` or ``"q"``.

        Raises:
            ValueError: If it is neither.
        """
        super().__init__(degrees)
        if updates not in ("p", "q"):
            raise ValueError(f"updates: expected 'p' or 'q', the half that changes, got {updates!r}")
        self.updates = updates

    @abstractmethod
    def gradient(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute what is added at strength 1.

        Args:
            x: The half that stays ``(..., d)``.
            control: Parameters ``(..., control_size)``.

        Returns:
            Shape ``(..., d)``.
        """

    @abstractmethod
    def hessian(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the derivative of ``gradient``, a symmetric matrix.

        Args:
            x: The half that stays ``(..., d)``.
            control: Parameters ``(..., control_size)``.

        Returns:
            Shape ``(..., d, d)``.
        """

    def added(self, x: Tensor, strength: Strength, control: Tensor | None) -> Tensor:
        """Compute what is added.

        Args:
            x: The half that stays ``(..., d)``.
            strength: Factor on the potential.
            control: Parameters ``(..., control_size)``.

        Returns:
            Shape ``(..., d)``.
        """
        return along_last(strength) * self.gradient(x, control)

    def added_slope(self, x: Tensor, strength: Strength, control: Tensor | None) -> Tensor:
        """Compute the derivative of ``added`` with respect to ``x``.

        Args:
            x: The half that stays ``(..., d)``.
            strength: Factor on the potential.
            control: Parameters ``(..., control_size)``.

        Returns:
            Symmetric matrices ``(..., d, d)``.
        """
        return along_last(along_last(strength)) * self.hessian(x, control)

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Add to one half."""
        q, p = self.halves(z)
        control = self.seen(control)
        if self.updates == "p":
            p = p + self.added(q, strength, control)
        else:
            q = q + self.added(p, strength, control)
        return _joined(q, p)

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Subtract from the same half."""
        q, p = self.halves(z)
        control = self.seen(control)
        if self.updates == "p":
            p = p - self.added(q, strength, control)
        else:
            q = q - self.added(p, strength, control)
        return _joined(q, p)

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Compute the identity with a symmetric matrix in one corner."""
        q, p = self.halves(z)
        block = self.added_slope(q if self.updates == "p" else p, strength, self.seen(control))
        block = block.expand(*torch.broadcast_shapes(block.shape[:-2], z.shape[:-1]), -1, -1)
        eye, zero = torch.eye(self.degrees, dtype=z.dtype, device=z.device), torch.zeros_like(block)
        lower = self.updates == "p"
        return block_matrix(eye, zero, block, eye) if lower else block_matrix(eye, block, zero, eye)

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the shear; its inverse subtracts."""
        q, p = z[: self.degrees], z[self.degrees :]
        source, target = (q, p) if self.updates == "p" else (p, q)
        self._emit(builder, source, target, place, ("-" if inverse else "+", strength), control)

    @abstractmethod
    def _emit(
        self,
        builder: KernelBuilder,
        source: Rows,
        target: Rows,
        place: str,
        factor: Factor,
        control: Rows,
    ) -> None:
        """Add the gradient at the rows ``source`` to the rows ``target``; ``factor`` is a sign and a text."""


class UnitsShear(Shear):
    """A shear along the gradient of a potential with one hidden layer.

    Attributes:
        units: Number of hidden units.
        activation: Name of their function.
        potential: Holds the weights.
    """

    potential: Units

    def __init__(self, degrees: int, updates: str, units: int, activation: str) -> None:
        """Take the options; the weights are those of a subclass.

        Args:
            degrees: Number ``d`` of positions, and of momenta.
            updates: The half that changes, ``"p"`` or ``"q"``.
            units: Number of hidden units.
            activation: Name of their function.
        """
        super().__init__(degrees, updates)
        self.units, self.activation = count("units", units), activation

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        kind = type(self).__name__
        return (kind, self.degrees, self.units, self.updates, self.activation, self.control_size)

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers of the potential."""
        return self.potential.numbers()

    def config(self) -> dict[str, Any]:
        """Give a plain description; the numbers are weights."""
        return {
            "type": type(self).__name__,
            "degrees": self.degrees,
            "units": self.units,
            "updates": self.updates,
            "activation": self.activation,
        }


def _joined(q: Tensor, p: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(q.shape[:-1], p.shape[:-1])
    return torch.cat((q.expand(*batch, -1), p.expand(*batch, -1)), -1)
