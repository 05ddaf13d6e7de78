"""What integrators ask of a system, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .._state import StateSpace
from ..kernels import KernelBuilder, Rows


class System(nn.Module, ABC):
    """A system ``x' = f(x, u)`` of first order, and what integrators ask of it.

    A system that depends on time carries it as the last entry of its state, with slope one. Kernel code is
    written by the methods ``emit_...``; they raise ``TypeError`` with the reason where there is none.

    Attributes:
        space: Layout of the states ``(..., n)``.
        control_size: Number ``m`` of inputs, 0 for none.
        timed: Whether the last entry of a state is time.
        invariants: Names of conserved quantities beside the energy, with their number of components.
        has_energy: Whether ``energy`` is defined.
    """

    space: StateSpace
    control_size: int = 0
    timed: bool = False
    invariants: dict[str, int]
    has_energy: bool = False

    @abstractmethod
    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative of states.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``, or ``None``.

        Returns:
            Shape ``(..., n)``.
        """

    def energy(self, x: Tensor) -> Tensor:
        """Compute the energy of states ``(..., n)``, shape ``(...)``."""
        raise NotImplementedError(f"{type(self).__name__} has no energy")

    @property
    def observables(self) -> dict[str, int]:
        """Names of the energy and the invariants, with their number of components."""
        return ({"energy": 1} if self.has_energy else {}) | self.invariants

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states by name, shape ``(...)`` or ``(..., components)``."""
        raise ValueError(f"invariant: expected one of {tuple(self.invariants)}, got {name!r}")

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the numbers that the other ``emit`` methods read, and give their offset."""
        raise TypeError(f"{type(self).__name__} has no compiled kernel")

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the time derivative: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled field")

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled observables")


class HamiltonianSystem(System):
    """A Hamiltonian ``H(q, p)`` with as many momenta as positions, and what integrators ask of it.

    States are ``(..., 2 d)``, positions before momenta; with time dependence ``(..., 2 d + 1)``, time last.
    A separable one, ``H = T(p) + V(q)``, has ``velocity(p)`` and ``force(q)``; every one has ``gradient``.

    Attributes:
        degrees: Number ``d`` of degrees of freedom.
        separable: Whether ``H = T(p) + V(q, t)``.
        quadratic_kinetic: Whether moreover ``T = p M^-1 p / 2`` with a constant ``M``.
        forced: Whether other forces push the momenta too, which ``field`` has and ``gradient`` has not.
        exact_kicks: Whether those forces are of the form that ``kick_forces`` gives.
        damped: Momenta with friction in ``kick_forces``.
        conservative: Whether those forces, inputs held, have a potential, so that the flow is symplectic.
        reversible: Whether changing the signs of momenta and time reverses the flow, inputs held.
    """

    degrees: int
    separable: bool = False
    quadratic_kinetic: bool = False
    forced: bool = False
    exact_kicks: bool = True
    damped: tuple[int, ...] = ()
    conservative: bool = True
    reversible: bool = True
    has_energy = True

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states, shape ``(...)``."""

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute ``(dH/dp, -dH/dq)``, and one for time."""
        slope_q, slope_p = self.gradient(x)
        clock = [torch.ones_like(slope_q[..., :1])] if self.timed else []
        return torch.cat([slope_p, -slope_q, *clock], -1)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute ``dH/dq`` and ``dH/dp`` of states, each ``(..., d)``.

        Args:
            x: States ``(..., n)``.

        Returns:
            The two halves of the gradient.
        """
        flat = x.reshape(-1, x.shape[-1])
        slope = torch.func.vmap(torch.func.grad(self.energy))(flat).reshape(x.shape)
        return slope[..., : self.degrees], slope[..., self.degrees : 2 * self.degrees]

    def force(self, q: Tensor, t: Tensor | None = None) -> Tensor:
        """Compute ``-dV/dq`` at positions ``(..., d)`` of a separable system."""
        raise NotImplementedError(f"{self!r} is not separable")

    def velocity(self, p: Tensor) -> Tensor:
        """Compute ``dT/dp`` at momenta ``(..., d)`` of a separable system."""
        raise NotImplementedError(f"{self!r} is not separable")

    def kick_forces(
        self, q: Tensor, t: Tensor | None = None, control: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the forces ``F - c p`` of a separable system, with ``F`` and ``c`` free of momenta.

        Args:
            q: Positions ``(..., d)``.
            t: Times ``(..., 1)``, where the system depends on time.
            control: Inputs ``(..., m)``; None stands for zero.

        Returns:
            ``F`` and ``c``, each ``(..., d)``; None for ``c`` where nothing is ``damped``.
        """
        return self.force(q, t), None

    def emit_kick_forces(
        self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the ``c`` of ``damped`` momenta, then ``F``: one statement each, ``{}`` for its value."""
        self.emit_force(builder, offset, q, t, targets)

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled force")

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``dT/dp``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled velocity")

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled gradient")

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write ``(dH/dp, -dH/dq)``, and one for time: one statement per component, ``{}`` for its value."""
        d = self.degrees
        negative = [target.replace("{}", "(-{})").replace("{0}", "(-{0})") for target in targets[d : 2 * d]]
        self.emit_gradient(builder, offset, x, negative + targets[:d])
        if self.timed:
            builder.lanes(targets[2 * d].format("1.0"), join=True)
