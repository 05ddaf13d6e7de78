"""Mechanical systems from modules, torch functions and functions decorated with ``numba.njit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from numba.core.dispatcher import Dispatcher
from torch import Tensor, nn

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ._mass import InverseMass, MassLike
from ._observed import FunctionalSystem, Quantity, negative
from ._scalar import Scalar, require_count, sample
from ._system import HamiltonianSystem


class MechanicalSystem(FunctionalSystem, HamiltonianSystem):
    """``H = p M^-1 p / 2 + V(q)`` with a potential, or a force, of one's own.

    A potential in torch gives its force by automatic differentiation, or by a method ``gradient`` of its own.
    Rollouts are compiled where kernels know the code: ``nn.Sequential`` of ``nn.Linear`` and one activation,
    ``geomlearn.nn.MLP``, a module with ``emit_value`` and ``emit_gradient``, and functions decorated with
    ``numba.njit``. Weights, masses and parameters are read when a rollout begins.

    Functions decorated with ``numba.njit`` take the positions as one tuple of ``d`` numbers, then ``t``, if
    they depend on time, and parameters by name. They run in torch too, with torch in place of ``math``.

    Examples:
        >>> import math
        >>> import numba
        >>> import torch
        >>> from integrators import MechanicalSystem, Verlet
        >>> spring = MechanicalSystem(2, potential=lambda q: 0.5 * (q * q).sum(-1), mass=2.0)
        >>> Verlet(spring, 0.1)(torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)).shape
        torch.Size([4])
        >>> @numba.njit
        ... def pull(q, k):
        ...     return (-k * math.sin(q[0]),)
        >>> pendulum = MechanicalSystem(1, force=pull, parameters={"k": 9.81})
        >>> pendulum.force(torch.tensor([0.0], dtype=torch.float64))
        tensor([-0.], dtype=torch.float64)
    """

    separable = True
    quadratic_kinetic = True

    def __init__(
        self,
        degrees: int,
        potential: Callable[..., Any] | None = None,
        mass: MassLike = 1.0,
        force: Callable[..., Any] | None = None,
        parameters: Mapping[str, float | Tensor] | None = None,
        invariants: Mapping[str, Quantity] | None = None,
        units: tuple[str, str] = ("1", "1"),
        dtype: torch.dtype | None = None,
    ) -> None:
        """Put the parts together and try them.

        Args:
            degrees: Number ``d`` of degrees of freedom.
            potential: ``V``: a module or torch function of positions ``(..., d)`` with values ``(...)`` or
                ``(..., 1)``, or a function decorated with ``numba.njit`` that returns a number.
            mass: ``M``, constant: a number, a vector ``(d,)``, a symmetric positive definite matrix
                ``(d, d)``, an ``nn.Parameter``, or a module that returns one when called without arguments.
            force: ``-dV/dq``, a function decorated with ``numba.njit`` that returns a tuple of ``d`` numbers.
                Without a potential the system has no energy; nothing says that such a force has one.
            parameters: Numbers that functions decorated with ``numba.njit`` take by name; an
                ``nn.Parameter`` is trained with the rest of a model.
            invariants: Conserved quantities beside the energy: torch functions of states ``(..., n)``, or
                functions decorated with ``numba.njit`` of the state as one tuple.
            units: Units of positions and momenta, for files and plots.
            dtype: Floating-point type of numbers; by default that of the potential, or float64.

        Raises:
            TypeError: If a part is not of its kind.
            ValueError: If a shape is wrong, the mass is not positive, a parameter has no value, or the force
                is not the slope of the potential.
        """
        super().__init__()
        require_count("degrees", degrees)
        if potential is None and force is None:
            raise ValueError("potential: expected a potential or a force, got neither")
        self.degrees = d = degrees
        dtype = dtype or _dtype(potential, mass)
        self._set_values(parameters, dtype)
        self.potential: Scalar | None = None
        if isinstance(potential, Dispatcher):
            if self._compile(potential, "potential", d).count is not None:
                raise ValueError("potential: expected a function that returns a number, got one with a tuple")
        elif potential is not None:
            self.potential = Scalar(potential, d, "potential")
        self.has_energy = potential is not None
        if force is not None:
            compiled = self._compile(force, "force", d)
            if compiled.count != d:
                raise ValueError(
                    f"{compiled.source.name}: expected a tuple of {d} numbers, got {compiled.returns}"
                )
        self.mass = InverseMass(mass, d, dtype)
        self._set_invariants(invariants, 2 * d)
        clock = [vector("t", 1)] if self.timed else []
        self.space = StateSpace(vector("q", d, unit=units[0]), vector("p", d, unit=units[1]), *clock)
        if potential is not None and force is not None:
            self._check_force()

    def _check_force(self) -> None:
        q = sample((), self.degrees, self)
        t = q.new_tensor([0.4]) if self.timed else None
        given, slope = self.force(q, t), -torch.func.grad(lambda y: self._potential(y, t))(q)
        rounding = 1e3 * torch.finfo(q.dtype).eps ** 0.5
        difference = (given - slope).abs().max()
        if bool(difference > rounding * (1 + slope.abs().max())):
            raise ValueError(
                f"force: expected -dV/dq = {slope.tolist()} at q = {q.tolist()}, got {given.tolist()}; mend"
                " the force or the potential, or leave the potential out"
            )

    def _potential(self, q: Tensor, t: Tensor | None) -> Tensor:
        if self.potential is not None:
            value: Tensor = self.potential(q)
            return value
        return self._evaluate("potential", q, t)

    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states ``(..., n)``, shape ``(...)``."""
        if not self.has_energy:
            raise NotImplementedError("a system with a force alone has no energy; give potential= too")
        d = self.degrees
        q, p, t = x[..., :d], x[..., d : 2 * d], x[..., 2 * d :] if self.timed else None
        return 0.5 * (p * self.velocity(p)).sum(-1) + self._potential(q, t)

    def force(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)`` and times ``(..., 1)``."""
        if "force" in self._compiled:
            return self._evaluate("force", q, t)
        if self.potential is not None:
            return -self.potential.gradient(q)
        return -torch.func.grad(lambda y: self._potential(y, t).sum())(q)

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``M^-1 p`` at momenta ``(..., d)``."""
        return self.mass.velocity(p)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dH/dq`` and ``dH/dp`` of states, each ``(..., d)``."""
        d = self.degrees
        t = x[..., 2 * d :] if self.timed else None
        return -self.force(x[..., :d], t), self.velocity(x[..., d : 2 * d])

    def _force_code(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows) -> tuple[str, list[str]]:
        """A statement, which may be empty, and the values of the force after it."""
        if "force" in self._compiled:
            return self._call(builder, "force", offset, q, t, len(q))
        if self.potential is not None:
            return "", [f"(-@{row})" for row in self.potential.emit_gradient(builder, q)]
        raise TypeError("a potential decorated with numba.njit has no compiled slope; give force= too")

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        statement, values = self._force_code(builder, offset, q, t)
        builder.lanes(statement, *[a.format(v) for a, v in zip(targets, values, strict=True)], join=True)

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``M^-1 p``: one statement per component, ``{}`` standing for its value."""
        values = self.mass.code(builder, p)
        builder.lanes(*[a.format(v) for a, v in zip(targets, values, strict=True)], join=True)

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        d = self.degrees
        velocity = self.mass.code(builder, x[d : 2 * d])
        statement, force = self._force_code(builder, offset, x[:d], x[2 * d :])
        names = [f"slope_{k}" for k in range(2 * d)]
        signed = [*map(negative, targets[:d]), *targets[d:]]
        builder.lanes(
            statement,
            *[f"{name} = {value}" for name, value in zip(names, [*force, *velocity], strict=True)],
            *[target.format(name) for target, name in zip(signed, names, strict=True)],
            join=True,
        )

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        if name != "energy":
            super().emit_observable(builder, name, offset, x, targets)
            return
        d = self.degrees
        velocity = self.mass.code(builder, x[d : 2 * d])
        if self.potential is not None:
            statement, value = "", f"@{self.potential.emit_value(builder, x[:d])}"
        else:
            statement, (value,) = self._call(builder, "potential", offset, x[:d], x[2 * d :], 1)
        twice = " + ".join(f"@{row} * {v}" for row, v in zip(x[d : 2 * d], velocity, strict=True))
        builder.lanes(statement, targets[0].format(f"(0.5 * ({twice}) + {value})"), join=True)


def _dtype(*parts: Any) -> torch.dtype:
    """That of the first part that has one."""
    for part in parts:
        if isinstance(part, nn.Module):
            for tensor in chain(part.parameters(), part.buffers()):
                if tensor.is_floating_point():
                    return tensor.dtype
        elif isinstance(part, Tensor) and part.is_floating_point():
            return part.dtype
    return torch.float64
