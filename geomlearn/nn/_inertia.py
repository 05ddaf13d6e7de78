"""Learned inertias: positive by construction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from integrators import Inertia

from .._registry import register

ArrayLike = Tensor | np.ndarray | Sequence[Any]

_LOWER = (0, 6, 6, 3, 1, 6, 4, 5, 2)
"""Places of (log-diagonal 3, strictly lower 3, zero) in a row-by-row lower triangle."""


def _lower_triangle(entries: Tensor) -> Tensor:
    """Lower triangular ``(3, 3)`` from log-diagonal and strictly lower entries ``(6,)``."""
    padded = torch.cat((entries[:3].exp(), entries[3:], entries.new_zeros(1)))
    return padded[list(_LOWER)].view(3, 3)


def _entries(matrix: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(matrix)
    return torch.stack([*factor.diagonal().log(), factor[1, 0], factor[2, 0], factor[2, 1]])


class _CholeskyInertia(Inertia):
    """Common part of the learned inertias: six entries, and optionally a fixed trace."""

    trace: Tensor | None

    def __init__(
        self,
        initial: ArrayLike | None = None,
        trace: float | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Start from an inertia.

        Args:
            initial: Inertia ``(3, 3)``, the identity by default.
            trace: If given, the trace of ``J`` is held at this value, which settles the scale that data alone
                leave open.
            dtype: Floating-point type.

        Raises:
            ValueError: If the matrix is no such inertia, or the trace is not positive.
        """
        super().__init__()
        if trace is not None and not 0 < trace < float("inf"):
            raise ValueError(f"trace: expected a positive number in kg m^2, got {trace}")
        factored = self._factored_matrix(_checked(initial, dtype))
        self.entries = nn.Parameter(_entries(factored))
        self.register_buffer("trace", None if trace is None else torch.tensor(trace, dtype=dtype))

    @staticmethod
    def _factored_matrix(inertia: Tensor) -> Tensor:
        """The positive definite matrix whose Cholesky factor is stored."""
        return inertia

    @property
    def scale_is_known(self) -> bool:
        """Whether the trace is fixed."""
        return self.trace is not None

    def _finish(self, inertia: Tensor) -> Tensor:
        if self.trace is None:
            return inertia
        return inertia * (self.trace / inertia.diagonal().sum())

    def rescale_(self, factor: float) -> None:
        """Multiply the inertia by a positive number, in place.

        Args:
            factor: The number.
        """
        with torch.no_grad():
            self.entries[:3] += 0.5 * math.log(factor)
            self.entries[3:] *= factor**0.5
            if self.trace is not None:
                self.trace *= factor

    def config(self) -> dict[str, Any]:
        """Plain description from which the module can be built again; the numbers are weights."""
        return {"type": type(self).__name__, "fixed_trace": self.trace is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the module that ``config`` described, with placeholder numbers.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls(trace=3.0 if config["fixed_trace"] else None)


def _checked(initial: ArrayLike | None, dtype: torch.dtype) -> Tensor:
    matrix = torch.eye(3, dtype=dtype) if initial is None else torch.as_tensor(initial, dtype=dtype).detach()
    valid = matrix.shape == (3, 3) and bool(torch.isfinite(matrix).all())
    valid = valid and torch.allclose(matrix, matrix.mT, rtol=1e-6, atol=0.0)
    if not valid or torch.linalg.eigvalsh(matrix)[0] <= 0:
        raise ValueError(
            f"initial: expected a symmetric positive definite (3, 3) matrix, got {matrix.tolist()}"
        )
    return 0.5 * (matrix + matrix.mT)


@register("LogCholeskyInertia")
class LogCholeskyInertia(_CholeskyInertia):
    """Constant inertia ``J = L L^T``, any positive definite matrix.

    The diagonal of ``L`` is stored as logarithms, so that a step of an optimizer changes the moments by a
    relative amount, whatever their scale.
    """

    def forward(self) -> Tensor:
        """The inertia ``J`` ``(3, 3)``."""
        lower = _lower_triangle(self.entries)
        return self._finish(lower @ lower.mT)


@register("RealisableInertia")
class RealisableInertia(_CholeskyInertia):
    """Constant inertia that some mass distribution has: ``J = tr(J_d) I - J_d`` with ``J_d = L L^T``.

    The principal moments obey the triangle inequalities, which a general positive definite matrix need not.
    """

    @staticmethod
    def _factored_matrix(inertia: Tensor) -> Tensor:
        second_moment = 0.5 * inertia.diagonal().sum() * torch.eye(3, dtype=inertia.dtype) - inertia
        if torch.linalg.eigvalsh(second_moment)[0] <= 0:
            moments = torch.linalg.eigvalsh(inertia).tolist()
            raise ValueError(
                f"initial: expected moments of which each is less than the sum of the others, got {moments};"
                " use LogCholeskyInertia for a matrix that no rigid body has"
            )
        return second_moment

    def forward(self) -> Tensor:
        """The inertia ``J`` ``(3, 3)``."""
        lower = _lower_triangle(self.entries)
        second_moment = lower @ lower.mT
        total: Tensor = second_moment.diagonal().sum()
        identity = torch.eye(3, dtype=lower.dtype, device=lower.device)
        return self._finish(total * identity - second_moment)
