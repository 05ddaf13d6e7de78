"""What the integrators of a rigid body share: its states, its energies and momenta, its phase space."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lie import SE3, LieGroup

from .._flow import FlowMap
from .._linear import apply
from .._state import StateSpace
from ._forced import Coefficients
from ._kinetic import cross
from ._slots import ArrayLike, Configuration, LinearPotential, Potential, as_mass
from ._space import rigid_body_space
from ._symplectic import momentum_rate, phase_derivative


class RigidBodyCarry(NamedTuple):
    """Working form of a rigid body's state: momenta, and forces that were already evaluated.

    Attributes:
        rotation: ``R`` ``(..., 3, 3)``.
        pi: Body momentum ``(..., 3)``.
        torque: Body torque of the potential ``(..., 3)``.
        position: ``x`` ``(..., 3)``, on SE(3).
        momentum: ``m v`` ``(..., 3)`` in the world frame, on SE(3).
        force: World force of the potential ``(..., 3)``, on SE(3).
        gain: Input gain ``(..., rows, m)`` where it depends on the configuration.
    """

    rotation: Tensor
    pi: Tensor
    torque: Tensor
    position: Tensor | None = None
    momentum: Tensor | None = None
    force: Tensor | None = None
    gain: Tensor | None = None

    @property
    def configuration(self) -> Configuration:
        """``(R,)`` or ``(x, R)``."""
        return (self.rotation,) if self.position is None else (self.position, self.rotation)


class RigidBody(FlowMap):
    """A map of states ``(R, omega)`` on SO(3), ``(x, R, v, omega)`` on SE(3), of a body in a potential.

    Attributes:
        translates: Whether the body moves, on SE(3), and does not only turn.
        rows: Number of velocity components.
    """

    space: StateSpace
    translates: bool
    rows: int
    inertia: nn.Module
    mass: nn.Module | None
    potential: Potential

    def constants(self) -> Coefficients:
        """Inertia, its inverse and mass, from the parameters."""
        inertia = self.inertia()
        return Coefficients(
            inertia=inertia,
            inverse_inertia=torch.linalg.inv_ex(inertia)[0],
            mass=None if self.mass is None else self.mass(),
            gain=None,
            damping=None,
            alpha=0.5,
            force_split=0.5,
        )

    def _set_group(self, group: LieGroup) -> None:
        self.space = rigid_body_space(group)
        self.translates = group == SE3
        self.rows = 6 if self.translates else 3

    def _fill_mass(self, mass: ArrayLike | nn.Module | None) -> nn.Module | None:
        if not self.translates:
            if mass is not None:
                raise ValueError(
                    "mass: expected None on SO(3), where only the inertia acts; use lie.SE3 for a moving body"
                )
            return None
        if mass is None:
            raise ValueError("mass: expected a mass in kg (or a module) on SE(3), got None")
        return as_mass(mass, self.dtype or torch.float64)

    @abstractmethod
    def _evaluate_forces(
        self, rotation: Tensor, pi: Tensor, x: Tensor | None, momentum: Tensor | None
    ) -> RigidBodyCarry:
        """The carry at a configuration, its forces evaluated."""

    def _potential_forces(self, rotation: Tensor, x: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Body torque of the potential, and on SE(3) its world force."""
        slopes = self.potential.gradient(*((rotation,) if x is None else (x, rotation)))
        return cross(rotation, slopes[-1]).sum(-2), None if x is None else -slopes[0]

    def start(self, x: Tensor, constants: Coefficients) -> RigidBodyCarry:
        """Momenta and forces of states.

        Args:
            x: States ``(..., 12)`` or ``(..., 18)``.
            constants: What ``constants`` returned.

        Returns:
            The carry.
        """
        part = self.space.view(x)
        pi = apply(constants.inertia, part["omega"])
        if constants.mass is None:
            return self._evaluate_forces(part["R"], pi, None, None)
        return self._evaluate_forces(part["R"], pi, part["x"], constants.mass * part["v"])

    def finish(self, carry: RigidBodyCarry, constants: Coefficients) -> Tensor:
        """Read states out of carries.

        Args:
            carry: A carry, or carries stacked along new leading dimensions.
            constants: What ``constants`` returned.

        Returns:
            States ``(..., 12)`` or ``(..., 18)``.
        """
        rotation, pi, _, x, momentum, *_ = carry
        rotation = rotation.flatten(-2)
        omega = apply(constants.inverse_inertia, pi)
        if x is None or momentum is None or constants.mass is None:
            return torch.cat((rotation, omega), dim=-1)
        return torch.cat((x, rotation, momentum / constants.mass, omega), dim=-1)

    @property
    def observables(self) -> dict[str, int]:
        """Names of the quantities that can be observed inside a rollout, with their number of components."""
        scalars = ("energy", "kinetic_energy", "potential_energy", "orthogonality")
        return dict.fromkeys(scalars, 1) | {"momentum": 6 if self.translates else 3}

    def kinetic_energy(self, x: Tensor) -> Tensor:
        """Kinetic energy ``(...)`` of states ``(..., n)``: ``omega . J omega / 2``, plus ``m |v|^2 / 2``."""
        part = self.space.view(x)
        energy = 0.5 * (apply(self.inertia(), part["omega"]) * part["omega"]).sum(-1)
        return energy if self.mass is None else energy + 0.5 * self.mass() * (part["v"] * part["v"]).sum(-1)

    def potential_energy(self, x: Tensor) -> Tensor:
        """Potential energy ``(...)`` of states ``(..., n)``."""
        part = self.space.view(x)
        return self.potential(*([part["x"]] if self.translates else []), part["R"])

    def momentum(self, x: Tensor) -> Tensor:
        """Spatial momentum ``R J omega`` ``(..., 3)``, on SE(3) ``m v, R J omega + x x m v`` ``(..., 6)``."""
        part = self.space.view(x)
        angular = apply(part["R"], apply(self.inertia(), part["omega"]))
        if self.mass is None:
            return angular
        linear = self.mass() * part["v"]
        return torch.cat((linear, angular + cross(part["x"], linear)), dim=-1)

    def orthogonality(self, x: Tensor) -> Tensor:
        """Largest entry of ``|R^T R - I|`` ``(...)``."""
        rotation = self.space.view(x)["R"]
        identity = torch.eye(3, dtype=x.dtype, device=x.device)
        return (rotation.mT @ rotation - identity).abs().amax((-2, -1))

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of one step in phase space, and the symplectic form before and after it.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` held over the step.

        Returns:
            Three ``(..., 6, 6)``, on SE(3) ``(..., 12, 12)``; the step is symplectic where
            ``D^T after D = before``.
        """
        return phase_derivative(self, x, control)

    def momentum_rate(self, x: Tensor) -> Tensor:
        """Rate of change of ``momentum`` that the potential causes.

        Args:
            x: States ``(..., n)``.

        Returns:
            Spatial torque ``(..., 3)``, on SE(3) ``(..., 6)`` preceded by the force.
        """
        return momentum_rate(self, x)


def no_potential(dtype: torch.dtype) -> Potential:
    """Give the potential of a free body."""
    return LinearPotential(torch.zeros(3, 3, dtype=dtype))
