"""Systems that are a matrix times the gradient of an energy."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..kernels import KernelBuilder, Rows
from ._system import System


class SkewGradientSystem(System):
    """A system ``x' = (B(x) - D(x)) grad H(x)`` with ``B`` skew and ``D`` symmetric, positive semidefinite.

    Energy is kept without ``D`` and falls with it. Where ``B`` satisfies the Jacobi identity besides, it is a
    Poisson system, and its flow keeps the Poisson structure.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VII.2; McLachlan, Quispel,
    Robidoux, Geometric integration using discrete gradients, Phil. Trans. R. Soc. A 357 (1999).

    Attributes:
        casimirs: Names of the invariants that every energy has with this structure.
        jacobi: Whether the structure satisfies the Jacobi identity.
        dissipative: Whether there is a ``D``.
    """

    casimirs: tuple[str, ...] = ()
    jacobi: bool = False
    dissipative: bool = False
    has_energy = True

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states ``(..., n)``, shape ``(...)``."""

    @abstractmethod
    def structure(self, x: Tensor) -> Tensor:
        """Compute the skew matrix ``B`` of states ``(..., n)``, shape ``(..., n, n)``."""

    def gradient(self, x: Tensor) -> Tensor:
        """Compute ``grad H`` of states ``(..., n)``, shape ``(..., n)``."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.func.vmap(torch.func.grad(self.energy))(flat).reshape(x.shape)

    def dissipation(self, x: Tensor) -> Tensor:
        """Compute ``D`` of states ``(..., n)``, shape ``(..., n, n)``; zero where there is none."""
        return x.new_zeros(*x.shape, x.shape[-1])

    def operator(self, x: Tensor) -> Tensor:
        """Compute ``B - D`` of states ``(..., n)``, shape ``(..., n, n)``."""
        b = self.structure(x)
        return b - self.dissipation(x) if self.dissipative else b

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``(B - D) grad H``."""
        return (self.operator(x) * self.gradient(x).unsqueeze(-2)).sum(-1)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``grad H``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled gradient")

    def emit_structure(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``B`` row by row: one statement for each of ``n * n`` entries, ``{}`` for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled structure")

    def emit_operator(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``B - D`` row by row: one statement for each of ``n * n`` entries, ``{}`` for its value."""
        if self.dissipative:
            raise TypeError(f"{type(self).__name__} has no compiled dissipation")
        self.emit_structure(builder, offset, x, targets)
