"""The forced variational integrator of a rigid body on SO(3) and SE(3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lie import SE3, LieGroup

from .._flow import FlowMap
from ..kernels import KernelProgram
from ._implicit import solve_rotation
from ._kernel import RigidBodyKernel
from ._kinetic import KINETIC_TERMS, apply, cross, dot, solve
from ._slots import (
    ArrayLike,
    Configuration,
    ConstantScalar,
    as_constant,
    as_inertia,
    as_matrix,
    as_potential,
    takes_configuration,
)
from ._space import configuration_space, rigid_body_space


@dataclass(frozen=True)
class Coefficients:
    """What stays the same along a trajectory of a rigid body.

    Attributes:
        inertia: ``J`` ``(3, 3)``.
        inverse_inertia: ``J^-1`` ``(3, 3)``.
        mass: ``m`` ``()``, on SE(3).
        gain: Constant input gain ``(3 or 6, m)``, if there is one.
        damping: Constant damping matrix ``(3 or 6, 3 or 6)``, if there is one.
        alpha: Weight of the potential at the end of the step.
        force_split: Share of each step's forces that acts at its beginning.
        damping_sign: 1, or -1 when time runs backwards.
    """

    inertia: Tensor
    inverse_inertia: Tensor
    mass: Tensor | None
    gain: Tensor | None
    damping: Tensor | None
    alpha: float
    force_split: float
    damping_sign: float = 1.0


class RigidBodyCarry(NamedTuple):
    """Working form of a rigid body's state: momenta, and forces that were already evaluated.

    Attributes:
        frame: Rows of ``R`` and, as fourth row, the body momentum ``pi``: ``(..., 4, 3)``.
        torque: Body torque of the potential ``(..., 3)``.
        position: ``x`` ``(..., 3)``, on SE(3).
        momentum: ``m v`` ``(..., 3)`` in the world frame, on SE(3).
        force: World force of the potential ``(..., 3)``, on SE(3).
        gain: Input gain ``(..., rows, m)`` where it depends on the configuration.
    """

    frame: Tensor
    torque: Tensor
    position: Tensor | None = None
    momentum: Tensor | None = None
    force: Tensor | None = None
    gain: Tensor | None = None

    @property
    def configuration(self) -> Configuration:
        """``(R,)`` or ``(x, R)``."""
        rotation = self.frame[..., :3, :]
        return (rotation,) if self.position is None else (self.position, rotation)


class RigidBodyIntegrator(FlowMap):
    """Lie group forced variational integrator of a rigid body, order 2 at ``alpha = force_split = 1/2``.

    One step is ``R' = R Z``, ``x' = x + R y`` with the discrete Lagrangian ``|y|^2 m / 2h`` plus a kinetic term of
    ``Z`` minus ``h ((1 - alpha) U(q) + alpha U(q'))``. Without forces it is symplectic and keeps the momentum of every
    symmetry of ``U``; ``R`` stays a rotation to rounding. States are ``(R, omega)`` on SO(3) and
    ``(x, R, v, omega)`` on SE(3): ``R`` maps body to world, ``omega`` is in the body frame, ``x`` and ``v`` in the
    world frame. Controls are constant over each step.

    The step equation is solvable up to about 1 rad per step. Beyond 0.8 rad a ``LargeStepWarning`` is given; where
    there is no solution a ``StepError`` is raised (``rollout`` reports a status per trajectory instead).

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eqs. 9-17, with the sign of the force in the position
    update corrected and forces as impulses (they contain ``h``).
    """

    symplectic = True

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
            inertia: ``J`` ``(3, 3)`` in the body frame, or a module that returns it when called without arguments.
            potential: ``U(R)`` or ``U(x, R)``; ``None`` for a free body.
            input_gain: ``(3, m)`` body torques, on SE(3) ``(6, m)`` body forces then body torques; or a module of the
                configuration that returns such matrices.
            dissipation: Damping matrix ``D``, positive semidefinite ``(3, 3)``, on SE(3) ``(6, 6)`` acting on
                ``(R^T v, omega)``; or a module of the configuration.
            mass: Mass, on SE(3) only: a number or a module called without arguments.
            alpha: Weight of the potential at the end of the step; 1/2 for order 2.
            force_split: Share of the forces that acts at the beginning of the step; 1/2 for order 2.
            kinetic: ``"trace"``, or ``"cayley"`` for a term without a limit on the step.

        Raises:
            ValueError: If a number is out of range, a shape is wrong or the inertia depends on the configuration.
        """
        super().__init__()
        if not (h > 0 and h < float("inf")):
            raise ValueError(f"h: expected a positive step in seconds, got {h}")
        for name, value in (("alpha", alpha), ("force_split", force_split)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a number in [0, 1], got {value}")
        if kinetic not in KINETIC_TERMS:
            raise ValueError(f"kinetic: expected one of {sorted(KINETIC_TERMS)}, got {kinetic!r}")
        self.group, self.h = group, float(h)
        self.space = rigid_body_space(group)
        self.configuration_space = configuration_space(group)
        self.translates = group is SE3
        rows = 6 if self.translates else 3
        self.alpha, self.force_split, self.kinetic = float(alpha), float(force_split), KINETIC_TERMS[kinetic]
        self.inertia = as_inertia(inertia)
        self.potential = as_potential(potential)
        self.input_gain = as_matrix(input_gain, "input_gain", rows, -1)
        self.dissipation = as_matrix(dissipation, "dissipation", rows, rows)
        self.mass = self._fill_mass(mass)
        self.gain_varies = self.input_gain is not None and takes_configuration(self.input_gain)
        self.damping_varies = self.dissipation is not None and takes_configuration(self.dissipation)
        self.control_size = self._count_controls()
        self._check_damping()

    @property
    def order(self) -> int:  # type: ignore[override]
        """2 for the symmetric choice of ``alpha`` and ``force_split``, else 1."""
        symmetric = self.alpha == 0.5 and (self.force_split == 0.5 or not self.forced)
        return 2 if symmetric else 1

    @property
    def reversible(self) -> bool:  # type: ignore[override]
        """Whether flipping the velocities turns the map into its inverse."""
        return self.order == 2 and self.dissipation is None

    @property
    def forced(self) -> bool:
        """Whether there is an input gain or dissipation."""
        return self.input_gain is not None or self.dissipation is not None

    def _fill_mass(self, mass: ArrayLike | nn.Module | None) -> nn.Module | None:
        if not self.translates:
            if mass is not None:
                raise ValueError("mass: expected None on SO(3), where only the inertia acts; use lie.SE3 for a moving body")
            return None
        if mass is None:
            raise ValueError("mass: expected a mass in kg (or a module) on SE(3), got None")
        if isinstance(mass, nn.Module):
            return mass
        value = as_constant(mass, "mass", ())
        if value <= 0:
            raise ValueError(f"mass: expected a positive mass in kg, got {float(value)}")
        return ConstantScalar(value)

    def identity_configuration(self) -> Configuration:
        """``(I,)`` or ``(0, I)`` in the dtype and on the device of the map."""
        dtype = self.dtype or torch.float64
        tensors = [*self.parameters(), *self.buffers()]
        device = tensors[0].device if tensors else torch.device("cpu")
        rotation = torch.eye(3, dtype=dtype, device=device)
        return (torch.zeros(3, dtype=dtype, device=device), rotation) if self.translates else (rotation,)

    def _count_controls(self) -> int:
        if self.input_gain is None:
            return 0
        with torch.no_grad():
            gain = self.input_gain(*(self.identity_configuration() if self.gain_varies else ()))
        rows = 6 if self.translates else 3
        if gain.ndim != 2 or gain.shape[0] != rows:
            raise ValueError(f"input_gain: expected a module returning (..., {rows}, m), got {tuple(gain.shape)}")
        return int(gain.shape[1])

    def _check_damping(self) -> None:
        if self.dissipation is None:
            return
        with torch.no_grad():
            matrix = self.dissipation(*(self.identity_configuration() if self.damping_varies else ()))
        rates = torch.linalg.eigvalsh(0.5 * (matrix + matrix.mT))
        if rates.min() < -1e-9 * rates.abs().max():
            raise ValueError(
                f"dissipation: expected a positive semidefinite matrix, got eigenvalues {rates.tolist()}"
            )

    def constants(self) -> Coefficients:
        """Inertia, its inverse, mass and constant matrices, from the parameters."""
        inertia = self.inertia()
        return Coefficients(
            inertia=inertia,
            inverse_inertia=torch.linalg.inv_ex(inertia)[0],
            mass=None if self.mass is None else self.mass(),
            gain=None if self.input_gain is None or self.gain_varies else self.input_gain(),
            damping=None if self.dissipation is None or self.damping_varies else self.dissipation(),
            alpha=self.alpha,
            force_split=self.force_split,
        )

    def start(self, x: Tensor, constants: Coefficients) -> RigidBodyCarry:
        """Momenta and forces of states ``(..., 12)`` or ``(..., 18)``."""
        part = self.space.view(x)
        pi = apply(constants.inertia, part["omega"])
        frame = torch.cat((part["R"], pi.unsqueeze(-2)), dim=-2)
        if not self.translates:
            return self._evaluate_forces(frame, None, None, constants)
        return self._evaluate_forces(frame, part["x"], constants.mass * part["v"], constants)

    def finish(self, carry: RigidBodyCarry, constants: Coefficients) -> Tensor:
        """States ``(..., 12)`` or ``(..., 18)``."""
        frame, _, x, momentum, *_ = carry
        rotation = frame[..., :3, :].flatten(-2)
        omega = apply(constants.inverse_inertia, frame[..., 3, :])
        if x is None:
            return torch.cat((rotation, omega), dim=-1)
        return torch.cat((x, rotation, momentum / constants.mass, omega), dim=-1)

    def advance(self, carry: RigidBodyCarry, control: Tensor | None, constants: Coefficients) -> RigidBodyCarry:
        """Move momenta and pose by one step; raises ``StepError`` where there is no solution."""
        return self._step(carry, control, constants, strict=True)[0]

    def try_advance(
        self, carry: RigidBodyCarry, control: Tensor | None, constants: Coefficients
    ) -> tuple[RigidBodyCarry, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        return self._step(carry, control, constants, strict=False)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the adjoint map with flipped velocities.

        Args:
            y: States ``(..., n)``.
            control: The inputs that were held over the step.

        Returns:
            The states from which ``forward`` leads to ``y``.
        """
        self.check_inputs(y, control)
        k = self.constants()
        backwards = replace(k, alpha=1 - k.alpha, force_split=1 - k.force_split, damping_sign=-k.damping_sign)
        x = self.finish(self.advance(self.start(self.flip_velocities(y), backwards), control, backwards), backwards)
        return self.flip_velocities(x)

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Turn ``v`` and ``omega`` around; the reversal under which the map is symmetric.

        Args:
            x: States ``(..., n)``.

        Returns:
            States ``(..., n)``.
        """
        velocities = 6 if self.translates else 3
        return torch.cat((x[..., :-velocities], -x[..., -velocities:]), dim=-1)

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

    def energy(self, x: Tensor) -> Tensor:
        """Total energy ``(...)`` of states ``(..., n)``."""
        return self.kinetic_energy(x) + self.potential_energy(x)

    def momentum(self, x: Tensor) -> Tensor:
        """Spatial momentum of states: ``R J omega`` ``(..., 3)``, on SE(3) ``(m v, R J omega + x x m v)`` ``(..., 6)``."""
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
        self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients, strict: bool
    ) -> tuple[RigidBodyCarry, Tensor]:
        h, early = self.h, k.force_split
        push, twist = self._impulses(carry, control, k, early)
        pi = carry.frame[..., 3, :] + (1 - k.alpha) * h * carry.torque
        pi = pi if twist is None else pi + twist
        z, status = self._solve(h * pi, k, strict)

        rotation = carry.frame[..., :3, :]
        rows = torch.cat((rotation.expand(*pi.shape[:-1], 3, 3), pi.unsqueeze(-2)), dim=-2)
        turn = cross(rows, z.unsqueeze(-2))
        frame = rows + (2 / (1 + dot(z, z))).unsqueeze(-1) * (turn + cross(turn, z.unsqueeze(-2)))

        x = momentum = None
        if carry.position is not None and carry.momentum is not None and carry.force is not None:
            momentum = carry.momentum + (1 - k.alpha) * h * carry.force
            momentum = momentum if push is None else momentum + apply(rotation, push)
            x = carry.position + (h / k.mass) * momentum
        arrived = self._evaluate_forces(frame, x, momentum, k)
        return self._finish_forces(arrived, control, k), status

    def _solve(self, a: Tensor, k: Coefficients, strict: bool) -> tuple[Tensor, Tensor]:
        return solve_rotation(self.kinetic, a, k.inertia, strict, getattr(self.inertia, "isotropic", False))

    def _evaluate_forces(
        self, frame: Tensor, x: Tensor | None, momentum: Tensor | None, k: Coefficients
    ) -> RigidBodyCarry:
        """Potential forces and input gain at a configuration."""
        rotation = frame[..., :3, :]
        q = (rotation,) if x is None else (x, rotation)
        slopes = self.potential.gradient(*q)
        torque = cross(rotation, slopes[-1]).sum(-2)
        force = None if x is None else -slopes[0]
        gain = None
        if self.input_gain is not None and k.gain is None:
            gain = self.input_gain(*q)
        return RigidBodyCarry(frame, torque, x, momentum, force, gain)

    def _finish_forces(self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients) -> RigidBodyCarry:
        """Add the impulses that act at the end of the step."""
        h, late = self.h, 1 - k.force_split
        push, twist = self._input_impulse(carry, control, k, late)
        pi = carry.frame[..., 3, :] + k.alpha * h * carry.torque
        pi = pi if twist is None else pi + twist
        momentum = carry.momentum
        rotation = carry.frame[..., :3, :]
        if momentum is not None and carry.force is not None:
            momentum = momentum + k.alpha * h * carry.force
            momentum = momentum if push is None else momentum + apply(rotation, push)
        if self.dissipation is not None and late > 0:
            pi, momentum = self._damp(carry, pi, momentum, late, k)
        frame = torch.cat((rotation, pi.unsqueeze(-2)), dim=-2)
        return carry._replace(frame=frame, momentum=momentum)

    def _impulses(
        self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients, share: float
    ) -> tuple[Tensor | None, Tensor | None]:
        """Impulses of inputs and damping at the beginning of the step, body frame: (force, torque)."""
        push, twist = self._input_impulse(carry, control, k, share)
        if self.dissipation is None or share == 0:
            return push, twist
        body = self._body_velocity(carry.frame[..., 3, :], carry.momentum, carry.frame[..., :3, :], k)
        drag = -k.damping_sign * share * self.h * apply(self._damping_at(carry, k), body)
        if not self.translates:
            return None, drag if twist is None else twist + drag
        first, second = drag[..., :3], drag[..., 3:]
        return first if push is None else push + first, second if twist is None else twist + second

    def _input_impulse(
        self, carry: RigidBodyCarry, control: Tensor | None, k: Coefficients, share: float
    ) -> tuple[Tensor | None, Tensor | None]:
        if control is None or share == 0:
            return None, None
        gain = k.gain if k.gain is not None else carry.gain
        if gain is None:
            raise ValueError("control: expected None, since the map has no input_gain")
        impulse = share * self.h * apply(gain, control)
        return (impulse[..., :3], impulse[..., 3:]) if self.translates else (None, impulse)

    def _damping_at(self, carry: RigidBodyCarry, k: Coefficients) -> Tensor:
        if k.damping is not None:
            return k.damping
        damping: Tensor = self.dissipation(*carry.configuration)  # type: ignore[misc]
        return damping

    @staticmethod
    def _body_velocity(pi: Tensor, momentum: Tensor | None, rotation: Tensor, k: Coefficients) -> Tensor:
        omega = apply(k.inverse_inertia, pi)
        if momentum is None:
            return omega
        return torch.cat((apply(rotation.mT, momentum / k.mass), omega), dim=-1)

    def _damp(
        self, carry: RigidBodyCarry, pi: Tensor, momentum: Tensor | None, share: float, k: Coefficients
    ) -> tuple[Tensor, Tensor | None]:
        """Damping at the end of the step, implicit and linear: ``(M + share h D) velocity = momentum``."""
        damping = k.damping_sign * share * self.h * self._damping_at(carry, k)
        if momentum is None:
            velocity = solve(k.inertia + damping, pi)
            return apply(k.inertia, velocity), None
        rotation = carry.frame[..., :3, :]
        zero = torch.zeros_like(k.inertia)
        heavy = k.mass * torch.eye(3, dtype=pi.dtype, device=pi.device)
        body = torch.cat((torch.cat((heavy, zero), dim=-1), torch.cat((zero, k.inertia), dim=-1)), dim=-2)
        velocity = solve(body + damping, torch.cat((apply(rotation.mT, momentum), pi), dim=-1))
        return apply(k.inertia, velocity[..., 3:]), k.mass * apply(rotation, velocity[..., :3])
