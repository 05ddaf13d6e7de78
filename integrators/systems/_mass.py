"""Constant masses of mechanical systems, known or learned."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..kernels import EmittedLayers, KernelBuilder, Layers, Rows

MassLike = float | Tensor | np.ndarray | Sequence[Any] | nn.Module
_WRITTEN_OUT = 8


class InverseMass(nn.Module):
    """The inverse of a constant mass matrix; called without arguments it gives ``M^-1``.

    A number stands for a multiple of the identity, a vector ``(d,)`` for a diagonal matrix.
    """

    inverse: Tensor

    def __init__(self, mass: MassLike, degrees: int, dtype: torch.dtype) -> None:
        """Check the mass.

        Args:
            mass: A positive number, a vector ``(d,)``, a symmetric positive definite matrix ``(d, d)``, an
                ``nn.Parameter`` of such a shape, or a module that returns one when called without arguments.
            degrees: Number ``d``.
            dtype: Floating-point type of a mass that is no float tensor.
        """
        super().__init__()
        self.degrees = degrees
        self.source: nn.Module | None = None
        self.value: nn.Parameter | None = None
        if isinstance(mass, nn.Module):
            _require_no_arguments(mass)
            self.source = mass
            self._check(mass().detach())
        elif isinstance(mass, nn.Parameter):
            self.value = mass
            self._check(mass.detach())
        else:
            own = isinstance(mass, Tensor) and mass.is_floating_point()
            known = torch.as_tensor(mass, dtype=None if own else dtype).detach()
            self._check(known)
            self.register_buffer("inverse", _invert(known))

    def _check(self, mass: Tensor) -> None:
        shapes = [(), (self.degrees,), (self.degrees, self.degrees)]
        if tuple(mass.shape) not in shapes:
            raise ValueError(f"mass: expected one of the shapes {shapes}, got {tuple(mass.shape)}")
        if not bool(torch.isfinite(mass).all()):
            raise ValueError(f"mass: expected finite numbers, got {mass.tolist()}")
        if mass.ndim < 2:
            if not bool((mass > 0).all()):
                raise ValueError(f"mass: expected positive masses, got {mass.tolist()}")
            return
        if not torch.allclose(mass, mass.mT, rtol=1e-6, atol=0.0):
            raise ValueError(f"mass: expected a symmetric matrix, got {mass.tolist()}; use (M + M.T) / 2")
        smallest = float(torch.linalg.eigvalsh(mass)[0])
        if smallest <= 0:
            raise ValueError(f"mass: expected a positive definite matrix, got the eigenvalue {smallest:g}")

    def forward(self) -> Tensor:
        """``M^-1``: ``()``, ``(d,)`` or ``(d, d)``."""
        if self.source is not None:
            return _invert(self.source())
        return self.inverse if self.value is None else _invert(self.value)

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``M^-1 p`` of momenta ``(..., d)``, in the same shape."""
        inverse = self()
        return p @ inverse if inverse.ndim == 2 else inverse * p

    def code(self, builder: KernelBuilder, p: Rows) -> list[str]:
        """Values of ``M^-1 p`` in a loop over the lanes of a kernel.

        Args:
            builder: The kernel under construction.
            p: Rows of the momenta.

        Returns:
            An expression for each component.
        """
        return builder.shared(self, lambda: _Placed(builder, self())).values(builder, p)


class _Placed:
    """A matrix among the parameters of a kernel."""

    def __init__(self, builder: KernelBuilder, inverse: Tensor) -> None:
        self.depth, self.product = inverse.ndim, None
        if inverse.ndim == 2 and len(inverse) > _WRITTEN_OUT:
            layers = Layers([inverse], [torch.zeros(len(inverse), dtype=torch.float64)], "tanh")
            self.product = EmittedLayers(builder, layers)
        else:
            self.offset = builder.parameter(inverse)

    def values(self, builder: KernelBuilder, p: Rows) -> list[str]:
        if self.product is not None:
            return [f"@{row}" for row in self.product.emit_forward(p)]
        d = len(p)
        if self.depth == 2:
            return [f"({_row(builder, self.offset + i * d, p)})" for i in range(d)]
        return [f"({builder.number(self.offset + i * self.depth)} * @{row})" for i, row in enumerate(p)]


def _row(builder: KernelBuilder, offset: int, p: Rows) -> str:
    return " + ".join(f"{builder.number(offset + j)} * @{row}" for j, row in enumerate(p))


def _invert(mass: Tensor) -> Tensor:
    if mass.ndim < 2:
        return 1 / mass
    inverse = torch.linalg.inv(mass)
    return 0.5 * (inverse + inverse.mT)


def _require_no_arguments(module: nn.Module) -> None:
    required = [
        p.name
        for p in inspect.signature(module.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if required:
        raise ValueError(
            f"mass: expected a module called without arguments, got {type(module).__name__}, which takes"
            f" {', '.join(required)}; a kinetic energy with M(q) is not of this form: give the whole"
            " Hamiltonian to ModuleHamiltonian, which GaussLegendre, LobattoPair and Tao treat"
        )
