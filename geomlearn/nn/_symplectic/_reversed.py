"""Inverses of layers as layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from integrators.kernels import KernelBuilder, Rows

from ._layer import Strength, SymplecticLayer, symplectic_form


class ReversedLayer(SymplecticLayer):
    """The inverse of a layer, taken at the opposite strength where that follows the step.

    Attributes:
        layer: The layer.
        flipped: Whether the strength changes its sign.
    """

    def __init__(self, layer: SymplecticLayer, flipped: bool) -> None:
        """Take a layer.

        Args:
            layer: The layer.
            flipped: Whether the strength changes its sign.
        """
        super().__init__(layer.degrees)
        self.layer, self.flipped, self.control_size = layer, flipped, layer.control_size

    def _own(self, strength: Strength) -> Strength:
        return -strength if self.flipped else strength

    def forward(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Undo the layer."""
        return self.layer.inverse(z, self._own(strength), control)

    def inverse(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Apply the layer."""
        z = self.layer(z, self._own(strength), control)
        return z

    def jacobian(self, z: Tensor, strength: Strength = 1.0, control: Tensor | None = None) -> Tensor:
        """Invert the derivative ``D`` of the layer at the image: ``-Omega D^T Omega``."""
        image = self.forward(z, strength, control)
        form = symplectic_form(self.degrees, z)
        return -form @ self.layer.jacobian(image, self._own(strength), control).mT @ form

    def kernel_key(self) -> tuple[Any, ...]:
        """Give what the text of the kernel depends on."""
        return ("reversed", self.flipped, *self.layer.kernel_key())

    def kernel_numbers(self) -> list[Tensor]:
        """Give the numbers of the layer."""
        return self.layer.kernel_numbers()

    def emit_at(
        self, builder: KernelBuilder, z: Rows, place: str, strength: str, inverse: bool, control: Rows
    ) -> None:
        """Write the inverse of the layer."""
        own = f"(-{strength})" if self.flipped else strength
        self.layer.emit_at(builder, z, place, own, not inverse, control)

    def config(self) -> dict[str, Any]:
        """Give a plain description."""
        return {"type": "ReversedLayer", "layer": self.layer.config(), "flipped": self.flipped}


def reverse(layer: SymplecticLayer, flipped: bool) -> SymplecticLayer:
    """Give the inverse of a layer as a layer.

    Args:
        layer: The layer.
        flipped: Whether the strength changes its sign.

    Returns:
        The inverse; that of an inverse is the layer itself.
    """
    if isinstance(layer, ReversedLayer) and layer.flipped == flipped:
        return layer.layer
    return ReversedLayer(layer, flipped)
