"""Learned inertia and mass: positive by construction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from integrators import Inertia

from .._registry import register

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

    def __init__(self, matrix: Tensor, trace: float | None) -> None:
        super().__init__()
        self.entries = nn.Parameter(_entries(matrix))
        self.register_buffer("trace", None if trace is None else torch.tensor(trace, dtype=matrix.dtype))

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
            self.entries[:3] += 0.5 * torch.log(torch.tensor(factor, dtype=self.entries.dtype))
            self.entries[3:] *= factor**0.5
            if self.trace is not None:
                self.trace *= factor

    def config(self) -> dict[str, Any]:
        """Plain description from which the module can be built again; the numbers are weights."""
        return {"type": type(self).__name__, "fixed_trace": self.trace is not None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _CholeskyInertia:
        """Build the module that ``config`` described, with placeholder numbers.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls(trace=3.0 if config["fixed_trace"] else None)


def _checked(initial: Tensor | None, dtype: torch.dtype) -> Tensor:
    matrix = torch.eye(3, dtype=dtype) if initial is None else torch.as_tensor(initial, dtype=dtype)
    if matrix.shape != (3, 3) or not torch.equal(matrix, matrix.mT) or torch.linalg.eigvalsh(matrix)[0] <= 0:
        raise ValueError(f"initial: expected a symmetric positive definite (3, 3) matrix, got {matrix.tolist()}")
    return matrix


@register("LogCholeskyInertia")
class LogCholeskyInertia(_CholeskyInertia):
    """Constant inertia ``J = L L^T``, the diagonal of ``L`` stored as logarithms: any positive definite matrix.

    Because of the logarithms a step of an optimizer changes ``J`` by a relative amount, whatever its scale.
    """

    def __init__(
        self, initial: Tensor | None = None, trace: float | None = None, dtype: torch.dtype = torch.float64
    ) -> None:
        """Start from a matrix.

        Args:
            initial: Symmetric positive definite ``(3, 3)``, the identity by default.
            trace: If given, the trace of ``J`` is held at this value, which settles the scale that data alone leaves
                open.
            dtype: Floating-point type.
        """
        super().__init__(_checked(initial, dtype), trace)

    def forward(self) -> Tensor:
        """The inertia ``J`` ``(3, 3)``."""
        lower = _lower_triangle(self.entries)
        return self._finish(lower @ lower.mT)


@register("RealisableInertia")
class RealisableInertia(_CholeskyInertia):
    """Constant inertia that some mass distribution has: ``J = tr(J_d) I - J_d`` with ``J_d = L L^T``.

    The principal moments obey the triangle inequalities, which a general positive definite matrix need not.
    """

    def __init__(
        self, initial: Tensor | None = None, trace: float | None = None, dtype: torch.dtype = torch.float64
    ) -> None:
        """Start from an inertia.

        Args:
            initial: Realisable inertia ``(3, 3)``, the identity by default.
            trace: If given, the trace of ``J`` is held at this value.
            dtype: Floating-point type.

        Raises:
            ValueError: If the moments violate a triangle inequality.
        """
        inertia = _checked(initial, dtype)
        second_moment = 0.5 * inertia.diagonal().sum() * torch.eye(3, dtype=dtype) - inertia
        if torch.linalg.eigvalsh(second_moment)[0] <= 0:
            moments = torch.linalg.eigvalsh(inertia).tolist()
            raise ValueError(
                f"initial: expected moments of which each is less than the sum of the others, got {moments};"
                " use LogCholeskyInertia for a matrix that no rigid body has"
            )
        super().__init__(second_moment, trace)

    def forward(self) -> Tensor:
        """The inertia ``J`` ``(3, 3)``."""
        lower = _lower_triangle(self.entries)
        second_moment = lower @ lower.mT
        identity = torch.eye(3, dtype=lower.dtype, device=lower.device)
        return self._finish(second_moment.diagonal().sum() * identity - second_moment)


@register("LearnedMass")
class LearnedMass(nn.Module):
    """A positive mass, stored as a logarithm."""

    def __init__(self, initial: float = 1.0, dtype: torch.dtype = torch.float64) -> None:
        """Start from a value.

        Args:
            initial: Mass in kg.
            dtype: Floating-point type.

        Raises:
            ValueError: If the mass is not positive.
        """
        super().__init__()
        if not initial > 0:
            raise ValueError(f"initial: expected a positive mass in kg, got {initial}")
        self.logarithm = nn.Parameter(torch.tensor(initial, dtype=dtype).log())

    def forward(self) -> Tensor:
        """The mass ``()``."""
        return self.logarithm.exp()

    def rescale_(self, factor: float) -> None:
        """Multiply the mass by a positive number, in place.

        Args:
            factor: The number.
        """
        with torch.no_grad():
            self.logarithm += torch.log(torch.tensor(factor, dtype=self.logarithm.dtype))

    def config(self) -> dict[str, Any]:
        """Plain description; the number is a weight."""
        return {"type": "LearnedMass"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearnedMass:
        """Build the module that ``config`` described.

        Args:
            config: What ``config()`` returned.

        Returns:
            The module.
        """
        return cls()
