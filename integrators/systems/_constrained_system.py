"""What integrators ask of systems with holonomic constraints."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from .._linear import apply, solve
from .._status import StepError
from ..kernels import KernelBuilder, Rows
from ._constraint_rank import dependent_constraint, independent
from ._system import System

_ITERATIONS = 50
Pattern = list[list[bool]]


class ConstrainedSystem(System):
    """``H = p M^-1 p / 2 + V(q)`` with constant ``M`` under constraints ``g(q) = 0``.

    ``q' = M^-1 p`` and ``p' = -dV/dq - G^T lambda`` with ``G = dg/dq``; the multipliers ``lambda`` keep
    ``g(q) = 0`` and, hidden in it, ``G M^-1 p = 0``. States are ``(..., 2 d)``, positions before momenta. It
    is no ``HamiltonianSystem``, since methods without constraints would leave them.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VII.1.

    Attributes:
        degrees: Number ``d`` of positions.
        constraint_names: Names of the ``m`` constraints.
    """

    degrees: int
    constraint_names: tuple[str, ...]
    has_energy = True

    @property
    def observables(self) -> dict[str, int]:
        """Names of the residuals ``constraint``, the energy and the invariants, with their components."""
        return {"constraint": 2 * len(self.constraint_names)} | super().observables

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states by name; ``constraint`` is ``residual``."""
        return self.residual(x) if name == "constraint" else super().invariant(name, x)

    @property
    @abstractmethod
    def inverse_mass(self) -> Tensor:
        """``M^-1``, shape ``(d, d)``."""

    @abstractmethod
    def force(self, q: Tensor) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)``."""

    @abstractmethod
    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``M^-1 p`` of momenta ``(..., d)``."""

    @abstractmethod
    def constraint(self, q: Tensor) -> Tensor:
        """Compute ``g`` at positions ``(..., d)``, shape ``(..., m)``."""

    @abstractmethod
    def constraint_jacobian(self, q: Tensor) -> Tensor:
        """Compute ``G = dg/dq`` at positions ``(..., d)``, shape ``(..., m, d)``."""

    def curvature(self, q: Tensor, v: Tensor) -> Tensor:
        """Compute the second derivative of ``g`` along velocities ``(..., d)``, shape ``(..., m)``."""

        def rate(y: Tensor) -> Tensor:
            return apply(self.constraint_jacobian(y), v)

        slope: Tensor = torch.func.jvp(rate, (q,), (v,))[1]
        return slope

    def jacobian_pattern(self) -> Pattern:
        """Which entries of ``dg/dq`` are not always zero, row by row."""
        return [[True] * self.degrees for _ in self.constraint_names]

    def mass_pattern(self) -> Pattern:
        """Which entries of ``M^-1`` are not always zero, row by row."""
        return [[True] * self.degrees for _ in range(self.degrees)]

    def multipliers(self, x: Tensor) -> Tensor:
        """Compute the ``lambda`` of the equations of motion at states ``(..., 2 d)``.

        They follow from differentiating the constraints twice in time, for states that satisfy
        ``residual(x) = 0``.

        Args:
            x: States.

        Returns:
            Shape ``(..., m)``.
        """
        q, p = x[..., : self.degrees], x[..., self.degrees :]
        jacobian, v = self.constraint_jacobian(q), self.velocity(p)
        push = apply(jacobian, self.velocity(self.force(q))) + self.curvature(q, v)
        return solve(self._schur(jacobian), push)

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative of states ``(..., 2 d)`` that satisfy ``residual(x) = 0``.

        The equations solved for the multipliers: a method that is not made for constraints may integrate
        them, and drifts away from the constraints.

        Args:
            x: States.
            control: None; there are no inputs.

        Returns:
            Shape ``(..., 2 d)``.
        """
        q, p = x[..., : self.degrees], x[..., self.degrees :]
        pull = (self.constraint_jacobian(q) * self.multipliers(x).unsqueeze(-1)).sum(-2)
        return torch.cat((self.velocity(p), self.force(q) - pull), -1)

    def residual(self, x: Tensor) -> Tensor:
        """Compute ``g(q)`` and the hidden ``G M^-1 p``, shape ``(..., 2 m)``: zero on the manifold."""
        q, p = x[..., : self.degrees], x[..., self.degrees :]
        hidden = apply(self.constraint_jacobian(q), self.velocity(p))
        return torch.cat((self.constraint(q), hidden), -1)

    def project(self, x: Tensor) -> Tensor:
        """Find consistent states near the given ones, by Newton's method in the metric of the masses.

        Args:
            x: States ``(..., 2 d)``.

        Returns:
            States with ``residual(x) = 0`` to rounding, the same shape.

        Raises:
            ValueError: If constraints are redundant at the positions found.
            StepError: If Newton's method does not reach the constraints.
        """
        q, p = x[..., : self.degrees], x[..., self.degrees :]
        last = torch.full_like(q[..., 0], torch.inf)
        for _ in range(_ITERATIONS):
            jacobian = self.constraint_jacobian(q)
            pull = solve(self._schur(jacobian), self.constraint(q))
            change = self.velocity((jacobian * pull.unsqueeze(-1)).sum(-2))
            size = change.detach().abs().amax(-1)
            moving = torch.isfinite(size) & ~(
                (size == 0) | ((size >= last) & (size < 1e-3 * (1 + q.detach().abs().amax(-1))))
            )
            q, last = torch.where(moving.unsqueeze(-1), q - change, q), size
            if not bool(moving.any()):
                break
        self._require_reached(q)
        jacobian = self.constraint_jacobian(q)
        for _ in range(2):
            pull = solve(self._schur(jacobian), apply(jacobian, self.velocity(p)))
            p = p - (jacobian * pull.unsqueeze(-1)).sum(-2)
        return torch.cat((q, p), -1)

    def _schur(self, jacobian: Tensor) -> Tensor:
        """``G M^-1 G^T``."""
        return jacobian @ self.velocity(jacobian).mT

    def _require_reached(self, q: Tensor) -> None:
        with torch.no_grad():
            jacobian = self.constraint_jacobian(q)
            size = 1 + (jacobian.abs() * q.abs().unsqueeze(-2)).sum(-1)
            off = self.constraint(q).abs() / size
            reached = (off <= 100 * torch.finfo(q.dtype).eps).all(-1)
            regular = independent(jacobian)
        if not bool(regular.all()):
            first = q[~regular][0] if q.ndim > 1 else q
            raise ValueError(
                f"x: the constraint {dependent_constraint(self, first)} depends on the others at "
                f"q = {first.tolist()}; take it away, or start elsewhere"
            )
        if not bool(reached.all()):
            raise StepError(
                f"project: {int((~reached).sum())} of {reached.numel()} states do not reach the constraints "
                f"{', '.join(self.constraint_names)}; start closer to them"
            )

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled force")

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``M^-1 p``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled velocity")

    def emit_constraint(self, builder: KernelBuilder, offset: int, q: Rows, targets: list[str]) -> None:
        """Write ``g``: one statement per constraint, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled constraints")

    def emit_constraint_jacobian(
        self, builder: KernelBuilder, offset: int, q: Rows, targets: list[str]
    ) -> None:
        """Write ``dg/dq`` row by row: one statement for each of ``m * d`` entries, ``{}`` for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled constraints")

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the residuals of the constraints: one statement per component, ``{}`` for its value."""
        if name != "constraint":
            super().emit_observable(builder, name, offset, x, targets)
            return
        d, m = self.degrees, len(self.constraint_names)
        slope, v = builder.rows(m * d), builder.rows(d)
        self.emit_constraint(builder, offset, x[:d], targets[:m])
        self.emit_constraint_jacobian(builder, offset, x[:d], [f"@{row} = {{}}" for row in slope])
        self.emit_velocity(builder, offset, x[d : 2 * d], [f"@{row} = {{}}" for row in v])
        for j, target in enumerate(targets[m:]):
            rate = " + ".join(f"@{slope[j * d + k]} * @{v[k]}" for k in range(d))
            builder.lanes(target.format(f"({rate})"), join=True)
