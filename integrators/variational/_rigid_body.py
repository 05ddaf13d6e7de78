"""The forced variational integrator of a rigid body on SO(3) and SE(3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from lie import LieGroup

from .._linear import apply
from ..kernels import KernelProgram
from ._body import RigidBody, RigidBodyCarry, no_potential
from ._forced import Coefficients, ForcedIntegrator
from ._fused import compiled_turn, turn_frame
from ._kernel import RigidBodyKernel
from ._kinetic import KINETIC_TERMS
from ._position import position_residual, velocities_from_poses
from ._slots import ArrayLike, Configuration, as_inertia
from ._space import configuration_space
from ._symplectic import step_residual


class RigidBodyIntegrator(RigidBody, ForcedIntegrator):
    """Lie group forced variational integrator of a rigid body, order 2 at ``alpha = force_split = 1/2``.

    One step is ``R' = R Z``, ``x' = x + R y`` with the discrete Lagrangian ``|y|^2 m / 2h`` plus a kinetic
    term of ``Z`` minus ``h ((1 - alpha) U(q) + alpha U(q'))``. Without forces it is symplectic and keeps the
    momentum of every symmetry of ``U``; ``R`` stays a rotation to rounding. States are ``(R, omega)`` on
    SO(3) and ``(x, R, v, omega)`` on SE(3): ``R`` maps body to world, ``omega`` is in the body frame, ``x``
    and ``v`` in the world frame. Controls are constant over each step.

    The step equation is solvable up to about 1 rad per step. Beyond 0.8 rad a ``LargeStepWarning`` is given;
    where there is no solution a ``StepError`` is raised (``rollout`` reports a status per trajectory
    instead).

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eqs. 9-17, with the sign of the force in the
    position update corrected and forces as impulses (they contain ``h``).
    """

    def __init__(
        self,
        group: LieGroup,
        h: float,
        inertia: ArrayLike | nn.Module,
        potential: Callable[..., Tensor] | None = None,
        input_gain: ArrayLike | nn.Module | None = None,
        dissipation: ArrayLike | nn.Module | None = None,
        mass: ArrayLike | nn.Module | None = None,
        alpha: float = 0.5,
        force_split: float = 0.5,
        kinetic: str = "trace",
    ) -> None:
        """Fill the slots; each takes a constant or a module.

        Args:
            group: ``lie.SO3`` or ``lie.SE3``.
            h: Step in seconds.
            inertia: ``J`` ``(3, 3)`` in the body frame, or a module that returns it when called without
                arguments.
            potential: ``U(R)`` or ``U(x, R)``; ``None`` for a free body.
            input_gain: ``(3, m)`` body torques, on SE(3) ``(6, m)`` body forces then body torques; or a
                module of the configuration that returns such matrices.
            dissipation: Damping matrix ``D``, positive semidefinite ``(3, 3)``, on SE(3) ``(6, 6)`` acting on
                ``(R^T v, omega)``; or a module of the configuration.
            mass: Mass, on SE(3) only: a number or a module called without arguments.
            alpha: Weight of the potential at the end of the step; 1/2 for order 2.
            force_split: Share of the forces that acts at the beginning of the step; 1/2 for order 2.
            kinetic: ``"trace"``, or ``"cayley"`` for a term without a limit on the step.

        Raises:
            ValueError: If a number is out of range, a shape is wrong or the inertia depends on the
                configuration.
        """
        super().__init__()
        self._set_scheme(h, alpha, force_split)
        if kinetic not in KINETIC_TERMS:
            raise ValueError(f"kinetic: expected one of {sorted(KINETIC_TERMS)}, got {kinetic!r}")
        self.group, self.kinetic = group, KINETIC_TERMS[kinetic]
        self._set_group(group)
        self.configuration_space = configuration_space(group)
        self.inertia = as_inertia(inertia)
        self.mass = self._fill_mass(mass)
        self._set_forces(potential, no_potential, input_gain, dissipation)

    def identity_configuration(self) -> Configuration:
        """``(I,)`` or ``(0, I)`` in the dtype and on the device of the map."""
        own = self._like_own()
        rotation = torch.eye(3, dtype=own.dtype, device=own.device)
        return (torch.zeros_like(rotation[0]), rotation) if self.translates else (rotation,)

    def _mass_matrix(self, k: Coefficients) -> Tensor:
        if k.mass is None:
            return k.inertia
        zero = torch.zeros_like(k.inertia)
        heavy = k.mass * torch.eye(3, dtype=k.inertia.dtype, device=k.inertia.device)
        return torch.cat((torch.cat((heavy, zero), dim=-1), torch.cat((zero, k.inertia), dim=-1)), dim=-2)

    def constants(self) -> Coefficients:
        """Inertia, its inverse, mass and constant matrices, from the parameters."""
        k = ForcedIntegrator.constants(self)
        return replace(k, compiled=compiled_turn(self.kinetic, self.h, k.inertia, k.inverse_inertia))

    def position_residual(
        self, q0: Tensor, q1: Tensor, q2: Tensor, u0: Tensor | None = None, u1: Tensor | None = None
    ) -> Tensor:
        """Defect of the step equation on three successive poses, as a jump of velocity at the middle one.

        Args:
            q0: Poses ``(..., 9)`` or ``(..., 12)`` in the layout of ``configuration_space``.
            q1: Poses one step later.
            q2: Poses two steps later.
            u0: Inputs ``(..., m)`` of the first step.
            u1: Inputs ``(..., m)`` of the second step.

        Returns:
            ``(..., 3)`` in rad/s (body frame), on SE(3) ``(..., 6)`` preceded by m/s (world frame).
        """
        return position_residual(self, q0, q1, q2, u0, u1)

    def velocities_from_poses(self, q0: Tensor, q1: Tensor, u0: Tensor | None = None) -> Tensor:
        """Velocities at the second of two successive poses of a trajectory.

        Args:
            q0: Poses ``(..., 9)`` or ``(..., 12)`` in the layout of ``configuration_space``.
            q1: Poses one step later.
            u0: Inputs ``(..., m)`` of the step.

        Returns:
            ``omega`` ``(..., 3)``, on SE(3) ``(v, omega)`` ``(..., 6)``.
        """
        return velocities_from_poses(self, q0, q1, u0)

    def step_residual(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Relative residual ``(...)`` of the step equation, from the rotation that a step makes.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` held over the step.

        Returns:
            Numbers ``(...)``, at rounding level where the equation is solved.
        """
        return step_residual(self, x, control)

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables`` to be evaluated inside the loop.

        Returns:
            The program.

        Raises:
            TypeError: If a slot holds something that has no kernel code; the message says which.
        """
        return RigidBodyKernel(self, observables).build()

    def _step(
        self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients
    ) -> tuple[RigidBodyCarry, Tensor]:
        pi, momentum = self._leave(carry, control, k)
        isotropic = getattr(self.inertia, "isotropic", False)
        rotation, turned, status = turn_frame(
            self.kinetic, carry.rotation, pi, self.h, k.inertia, isotropic, k.compiled
        )
        x = None
        if carry.position is not None and k.mass is not None and momentum is not None:
            x = carry.position + (self.h / k.mass) * momentum
        return self._arrive(self._evaluate_forces(rotation, turned, x, momentum), control, k), status

    def _leave(
        self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients
    ) -> tuple[Tensor, Tensor | None]:
        """Momenta (body, world) between the forces at the beginning of the step and the displacement."""
        impulse = self._early_impulse(carry, lambda: self._body_velocity(carry, k), control, k)
        push, twist = self._split(impulse)
        pi = torch.add(carry.pi, carry.torque, alpha=(1 - k.alpha) * self.h)
        pi = pi if twist is None else pi + twist
        if carry.momentum is None or carry.force is None:
            return pi, None
        momentum = torch.add(carry.momentum, carry.force, alpha=(1 - k.alpha) * self.h)
        return pi, momentum if push is None else momentum + apply(carry.rotation, push)

    def _evaluate_forces(
        self, rotation: Tensor, pi: Tensor, x: Tensor | None, momentum: Tensor | None
    ) -> RigidBodyCarry:
        """Potential forces and input gain at a configuration."""
        torque, force = self._potential_forces(rotation, x)
        q = (rotation,) if x is None else (x, rotation)
        return RigidBodyCarry(rotation, pi, torque, x, momentum, force, self._gain_at(q))

    def _arrive(self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients) -> RigidBodyCarry:
        """Add the impulses that act at the end of the step."""
        late = 1 - k.force_split
        push, twist = self._split(self._input_impulse(carry, control, k, late))
        pi = torch.add(carry.pi, carry.torque, alpha=k.alpha * self.h)
        pi = pi if twist is None else pi + twist
        momentum = carry.momentum
        if momentum is not None and carry.force is not None:
            momentum = torch.add(momentum, carry.force, alpha=k.alpha * self.h)
            momentum = momentum if push is None else momentum + apply(carry.rotation, push)
        if self.dissipation is not None and late > 0:
            pi, momentum = self._damp(carry, pi, momentum, k)
        return carry._replace(pi=pi, momentum=momentum)

    def _damp(
        self, carry: RigidBodyCarry, pi: Tensor, momentum: Tensor | None, k: Coefficients
    ) -> tuple[Tensor, Tensor | None]:
        """Damping at the end of the step, implicit and linear."""
        if momentum is None or k.mass is None:
            return apply(k.inertia, self._late_velocity(carry, pi, k)), None
        body = torch.cat((apply(carry.rotation.mT, momentum), pi), dim=-1)
        velocity = self._late_velocity(carry, body, k)
        return apply(k.inertia, velocity[..., 3:]), k.mass * apply(carry.rotation, velocity[..., :3])

    def _split(self, impulse: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Force and torque part of an impulse."""
        if impulse is None or not self.translates:
            return None, impulse
        return impulse[..., :3], impulse[..., 3:]

    @staticmethod
    def _body_velocity(carry: RigidBodyCarry, k: Coefficients) -> Tensor:
        omega = apply(k.inverse_inertia, carry.pi)
        if carry.momentum is None or k.mass is None:
            return omega
        return torch.cat((apply(carry.rotation.mT, carry.momentum / k.mass), omega), dim=-1)
