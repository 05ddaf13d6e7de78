"""The preconditioner of a layer between two refreshes, multiplied out where that makes a step cheaper."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lie import StructuredFactor

from ._kronecker import KroneckerFactors

Side: TypeAlias = Callable[[Tensor], Tensor]

_SMALL = 256
"""Rows up to which a product is held densely whatever the structure: one multiplication beats many."""


def prepared(
    inputs: StructuredFactor | None, outputs: StructuredFactor, factors: KroneckerFactors
) -> Callable[[Tensor], Tensor]:
    """Make the function grad -> C C^T grad K K^T.

    Args:
        inputs: Structure of K; None for a layer with one factor.
        outputs: Structure of C.
        factors: The factors.

    Returns:
        Function of a gradient (d_o, d_i), which takes on the dtype of the factors.
    """
    left = _left(outputs, factors.C)
    dtype = factors.C.dtype
    if inputs is None:
        return lambda gradient: left(gradient.to(dtype))
    right = _right(inputs, factors.K)
    return lambda gradient: right(left(gradient.to(dtype)))


def _held(structure: StructuredFactor) -> str:
    """How A A^T is held: as a "vector", a "matrix", or not, ""."""
    if structure.kind == "diagonal":
        return "vector"
    every_entry = structure.kind in ("full", "lower", "upper")
    return "matrix" if every_entry or structure.n <= _SMALL else ""


def _left(structure: StructuredFactor, stored: Tensor) -> Side:
    held = _held(structure)
    if held == "vector":
        squares = stored.square().unsqueeze(-1)
        return lambda x: squares * x
    if held:
        matrix = _matrix(structure, stored)
        return lambda x: torch.mm(matrix, x)
    return lambda x: _twice(structure, stored, x)


def _right(structure: StructuredFactor, stored: Tensor) -> Side:
    held = _held(structure)
    if held == "vector":
        squares = stored.square()
        return lambda x: x * squares
    if held:
        matrix = _matrix(structure, stored)
        return lambda x: torch.mm(x, matrix)
    return lambda x: _twice(structure, stored, x.mT).mT


def _matrix(structure: StructuredFactor, stored: Tensor) -> Tensor:
    return structure.matrix(structure.unpack(stored))


def _twice(structure: StructuredFactor, stored: Tensor, columns: Tensor) -> Tensor:
    packed = structure.packed
    return packed.multiply(stored, packed.multiply(stored, columns, transpose=True))
