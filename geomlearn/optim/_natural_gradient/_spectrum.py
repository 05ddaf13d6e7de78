"""Eigenvalues of the preconditioner of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lie import StructuredFactor

from ._kronecker import KroneckerFactors


@dataclass(frozen=True)
class LayerSpectrum:
    """Eigenvalues of the two factors of a preconditioner, whose products are its own.

    Attributes:
        inputs: Those of K K^T in ascending order, shape (d_i,), float64; one 1 where a layer has one factor.
        outputs: Those of C C^T in ascending order, shape (d_o,), float64.
    """

    inputs: Tensor
    outputs: Tensor

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest eigenvalue of the preconditioner."""
        return float(self.inputs[0] * self.outputs[0]), float(self.inputs[-1] * self.outputs[-1])

    @property
    def condition(self) -> float:
        """Largest by smallest eigenvalue."""
        smallest, largest = self.range
        return largest / smallest


def layer_spectrum(
    inputs: StructuredFactor | None, outputs: StructuredFactor, factors: KroneckerFactors
) -> LayerSpectrum:
    """Compute the eigenvalues of the preconditioner of a layer, through dense matrices.

    Args:
        inputs: Structure of K; None for a layer with one factor.
        outputs: Structure of C.
        factors: The factors.

    Returns:
        The eigenvalues, as squares of singular values.
    """
    ones = torch.ones(1, dtype=torch.float64)
    return LayerSpectrum(
        ones if inputs is None else _eigenvalues(inputs, factors.K), _eigenvalues(outputs, factors.C)
    )


def _eigenvalues(structure: StructuredFactor, stored: Tensor) -> Tensor:
    stored = stored.detach().double().cpu()
    if structure.kind == "diagonal":
        return stored.square().sort().values
    return torch.linalg.svdvals(structure.unpack(stored)).square().flip(-1)
