"""What integrators ask of a Hamiltonian system, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from .._state import StateSpace
from ..kernels import KernelBuilder, Rows


class HamiltonianSystem(nn.Module, ABC):
    """A Hamiltonian ``H(q, p)`` with as many momenta as positions, and what integrators ask of it.

    States are ``(..., 2 d)``, positions before momenta; with time dependence ``(..., 2 d + 1)``, time last.
    A separable one, ``H = T(p) + V(q)``, has ``velocity(p)`` and ``force(q)``; every one has ``gradient``.
    Kernel code is written by the methods ``emit_...``; they raise ``TypeError`` with the reason where there
    is none.

    Attributes:
        space: Layout of the states.
        degrees: Number ``d`` of degrees of freedom.
        separable: Whether ``H = T(p) + V(q, t)``.
        quadratic_kinetic: Whether moreover ``T = p M^-1 p / 2`` with a constant ``M``.
        timed: Whether H depends on time.
        invariants: Names of conserved quantities beside the energy, with their number of components.
    """

    space: StateSpace
    degrees: int
    separable: bool = False
    quadratic_kinetic: bool = False
    timed: bool = False
    invariants: dict[str, int]

    @abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """Compute ``H`` of states, shape ``(...)``."""

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

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute a conserved quantity of states by name."""
        raise ValueError(f"invariant: expected one of {tuple(self.invariants)}, got {name!r}")

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the numbers that the other ``emit`` methods read, and give their offset."""
        raise TypeError(f"{type(self).__name__} has no compiled kernel")

    def emit_force(self, builder: KernelBuilder, offset: int, q: Rows, t: Rows, targets: list[str]) -> None:
        """Write ``-dV/dq``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled force")

    def emit_velocity(self, builder: KernelBuilder, offset: int, p: Rows, targets: list[str]) -> None:
        """Write ``dT/dp``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled velocity")

    def emit_gradient(self, builder: KernelBuilder, offset: int, x: Rows, targets: list[str]) -> None:
        """Write ``dH/dq`` then ``dH/dp``: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled gradient")

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the energy or an invariant: one statement per component, ``{}`` for its value."""
        raise TypeError(f"{type(self).__name__} has no compiled observables")
