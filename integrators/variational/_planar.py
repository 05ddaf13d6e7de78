"""The forced variational integrator of a body in the plane, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .._linear import apply
from .._state import StateSpace, vector
from .._status import Status
from ._forced import Coefficients, ForcedIntegrator
from ._newton import COMFORTABLE_ANGLE
from ._slots import ArrayLike, Configuration, FunctionPotential, Potential, as_mass, as_moment


class PlanarCarry(NamedTuple):
    """Working form of a planar state.

    Attributes:
        phi: Angles ``(..., 1)``.
        spin: Angular momentum ``(..., 1)``.
        torque: Torque of the potential ``(..., 1)``.
        position: ``x`` ``(..., 2)``, where the body moves.
        momentum: ``m v`` ``(..., 2)`` in the world frame, where the body moves.
        force: World force of the potential ``(..., 2)``, where the body moves.
        gain: Input gain ``(..., rows, m)`` where it depends on the configuration.
    """

    phi: Tensor
    spin: Tensor
    torque: Tensor
    position: Tensor | None = None
    momentum: Tensor | None = None
    force: Tensor | None = None
    gain: Tensor | None = None

    @property
    def configuration(self) -> Configuration:
        """``(phi,)`` or ``(x, phi)``, the angle without its last dimension."""
        phi = self.phi.squeeze(-1)
        return (phi,) if self.position is None else (self.position, phi)


class PlanarIntegrator(ForcedIntegrator):
    """Lie group forced variational integrator of a pendulum or of a body in the plane, without any iteration.

    It is ``RigidBodyIntegrator`` about a fixed axis: ``phi' = phi + asin(a / j)`` with ``a = h p`` the scaled
    impulse. States are ``(phi, phi_dot)``, with a mass ``(x, phi, v, phi_dot)``: ``x`` and ``v`` in the world
    frame, ``phi`` in rad, never wrapped. Controls are constant over each step.

    A step is solvable while ``|a| < j``, that is up to 1 rad by the measure ``h |phi_dot|``; beyond 0.8 a
    ``LargeStepWarning`` is given, and where there is no solution a ``StepError`` is raised.

    Source: Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eqs. 10-14, for a fixed axis.
    """

    def __init__(
        self,
        h: float,
        inertia: ArrayLike | nn.Module,
        potential: Callable[..., Tensor] | None = None,
        input_gain: ArrayLike | nn.Module | None = None,
        dissipation: ArrayLike | nn.Module | None = None,
        mass: ArrayLike | nn.Module | None = None,
        alpha: float = 0.5,
        force_split: float = 0.5,
    ) -> None:
        """Fill the slots; each takes a constant or a module.

        Args:
            h: Step in seconds.
            inertia: Moment of inertia ``j`` in kg m^2, or a module that returns it as a matrix ``(1, 1)``
                when called without arguments.
            potential: ``U(phi)``, with a mass ``U(x, phi)``, for ``phi`` ``(...)`` and ``x`` ``(..., 2)``;
                ``None`` for a free body.
            input_gain: ``(1, m)`` torques, with a mass ``(3, m)`` body forces then torque; or a module of the
                configuration that returns such matrices.
            dissipation: Damping matrix ``(1, 1)``, with a mass ``(3, 3)`` acting on the body-frame velocity
                and ``phi_dot``; or a module of the configuration.
            mass: Mass in kg (a number or a module called without arguments) where the body moves.
            alpha: Weight of the potential at the end of the step; 1/2 for order 2.
            force_split: Share of the forces that acts at the beginning of the step; 1/2 for order 2.

        Raises:
            ValueError: If a number is out of range, a shape is wrong or the inertia depends on the
                configuration.
            TypeError: If dtypes are mixed.
        """
        super().__init__()
        self._set_scheme(h, alpha, force_split)
        self.translates = mass is not None
        self.rows = 3 if self.translates else 1
        place = (vector("x", 2, unit="m", frame="world"),) if self.translates else ()
        speed = (vector("v", 2, unit="m/s", frame="world"),) if self.translates else ()
        self.configuration_space = StateSpace(*place, vector("phi", 1, unit="rad"))
        self.space = StateSpace(
            *place, vector("phi", 1, unit="rad"), *speed, vector("phi_dot", 1, unit="rad/s")
        )
        self.inertia = as_moment(inertia)
        self.mass = None if mass is None else as_mass(mass, self.dtype or torch.float64)
        self._set_forces(potential, _no_potential, input_gain, dissipation, depth=0)

    def identity_configuration(self) -> Configuration:
        """``(0,)`` or ``(0, 0)`` in the dtype and on the device of the map."""
        own = self._like_own()
        return (own.new_zeros(2), own.new_zeros(())) if self.translates else (own.new_zeros(()),)

    def start(self, x: Tensor, constants: Coefficients) -> PlanarCarry:
        """Momenta and forces of states.

        Args:
            x: States ``(..., 2)`` or ``(..., 6)``.
            constants: What ``constants`` returned.

        Returns:
            The carry.
        """
        part = self.space.view(x)
        spin = constants.inertia.squeeze(-1) * part["phi_dot"]
        if constants.mass is None:
            return self._evaluate_forces(part["phi"], spin, None, None)
        return self._evaluate_forces(part["phi"], spin, part["x"], constants.mass * part["v"])

    def finish(self, carry: PlanarCarry, constants: Coefficients) -> Tensor:
        """Read states out of carries.

        Args:
            carry: A carry, or carries stacked along new leading dimensions.
            constants: What ``constants`` returned.

        Returns:
            States ``(..., 2)`` or ``(..., 6)``.
        """
        phi, spin, _, x, momentum, *_ = carry
        rate = spin / constants.inertia.squeeze(-1)
        if x is None or momentum is None or constants.mass is None:
            return torch.cat((phi, rate), dim=-1)
        return torch.cat((x, phi, momentum / constants.mass, rate), dim=-1)

    def kinetic_energy(self, x: Tensor) -> Tensor:
        """Kinetic energy ``(...)`` of states ``(..., n)``: ``j phi_dot^2 / 2``, plus ``m |v|^2 / 2``."""
        part = self.space.view(x)
        energy = 0.5 * (self.inertia().squeeze(-1) * part["phi_dot"].square()).sum(-1)
        return energy if self.mass is None else energy + 0.5 * self.mass() * part["v"].square().sum(-1)

    def potential_energy(self, x: Tensor) -> Tensor:
        """Potential energy ``(...)`` of states ``(..., n)``."""
        part = self.space.view(x)
        return self.potential(*([part["x"]] if self.translates else []), part["phi"].squeeze(-1))

    def momentum(self, x: Tensor) -> Tensor:
        """Spatial momentum: ``j phi_dot``, with a mass ``m v`` and ``j phi_dot + x x m v`` ``(..., 3)``."""
        part = self.space.view(x)
        spin = self.inertia().squeeze(-1) * part["phi_dot"]
        if self.mass is None:
            return spin
        linear = self.mass() * part["v"]
        lever = part["x"][..., :1] * linear[..., 1:] - part["x"][..., 1:] * linear[..., :1]
        return torch.cat((linear, spin + lever), dim=-1)

    def _mass_matrix(self, k: Coefficients) -> Tensor:
        if k.mass is None:
            return k.inertia
        return torch.cat((k.mass.expand(2), k.inertia.flatten())).diag_embed()

    def _step(
        self, carry: PlanarCarry, control: Tensor | None, k: Coefficients
    ) -> tuple[PlanarCarry, Tensor]:
        early = 1 - k.alpha
        push, twist = self._split(
            self._early_impulse(carry, lambda: self._body_velocity(carry, k), control, k)
        )
        spin = carry.spin + early * self.h * carry.torque
        spin = spin if twist is None else spin + twist
        sine = self.h * spin / k.inertia.squeeze(-1)
        beyond = torch.nan if torch.compiler.is_compiling() else 0.0
        phi = carry.phi + torch.asin(torch.where(sine.abs() >= 1, beyond, sine))
        x = momentum = None
        if carry.position is not None and carry.momentum is not None and carry.force is not None:
            momentum = carry.momentum + early * self.h * carry.force
            momentum = momentum if push is None else momentum + rotate(carry.phi, push)
            x = carry.position + (self.h / k.mass) * momentum  # type: ignore[operator]
        arrived = self._evaluate_forces(phi, spin, x, momentum)
        return self._arrive(arrived, control, k), _judge(sine.detach().squeeze(-1))

    def _evaluate_forces(
        self, phi: Tensor, spin: Tensor, x: Tensor | None, momentum: Tensor | None
    ) -> PlanarCarry:
        """Potential forces and input gain at a configuration."""
        angle = phi.squeeze(-1)
        q = (angle,) if x is None else (x, angle)
        slopes = self.potential.gradient(*q)
        force = None if x is None else -slopes[0]
        return PlanarCarry(phi, spin, -slopes[-1].unsqueeze(-1), x, momentum, force, self._gain_at(q))

    def _arrive(self, carry: PlanarCarry, control: Tensor | None, k: Coefficients) -> PlanarCarry:
        """Add the impulses that act at the end of the step."""
        push, twist = self._split(self._input_impulse(carry, control, k, 1 - k.force_split))
        spin = carry.spin + k.alpha * self.h * carry.torque
        spin = spin if twist is None else spin + twist
        momentum = carry.momentum
        if momentum is not None and carry.force is not None:
            momentum = momentum + k.alpha * self.h * carry.force
            momentum = momentum if push is None else momentum + rotate(carry.phi, push)
        if self.dissipation is not None and k.force_split < 1:
            spin, momentum = self._damp(carry, spin, momentum, k)
        return carry._replace(spin=spin, momentum=momentum)

    def _damp(
        self, carry: PlanarCarry, spin: Tensor, momentum: Tensor | None, k: Coefficients
    ) -> tuple[Tensor, Tensor | None]:
        if momentum is None or k.mass is None:
            return k.inertia.squeeze(-1) * self._late_velocity(carry, spin, k), None
        body = torch.cat((rotate(-carry.phi, momentum), spin), dim=-1)
        velocity = self._late_velocity(carry, body, k)
        return k.inertia.squeeze(-1) * velocity[..., 2:], k.mass * rotate(carry.phi, velocity[..., :2])

    def _split(self, impulse: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Force and torque part of an impulse."""
        if impulse is None or not self.translates:
            return None, impulse
        return impulse[..., :2], impulse[..., 2:]

    @staticmethod
    def _body_velocity(carry: PlanarCarry, k: Coefficients) -> Tensor:
        rate = apply(k.inverse_inertia, carry.spin)
        if carry.momentum is None or k.mass is None:
            return rate
        return torch.cat((rotate(-carry.phi, carry.momentum / k.mass), rate), dim=-1)


def rotate(phi: Tensor, vectors: Tensor) -> Tensor:
    """Turn plane vectors.

    Args:
        phi: Angles ``(..., 1)`` in rad.
        vectors: ``(..., 2)``.

    Returns:
        ``(..., 2)``.
    """
    c, s = phi.cos(), phi.sin()
    x, y = vectors[..., :1], vectors[..., 1:]
    return torch.cat((c * x - s * y, s * x + c * y), dim=-1)


def _judge(sine: Tensor) -> Tensor:
    status = torch.zeros_like(sine, dtype=torch.int8)
    status = status.masked_fill(sine.abs() > COMFORTABLE_ANGLE, int(Status.LARGE_STEP))
    status = status.masked_fill(sine.abs() >= 1, int(Status.UNSOLVABLE))
    return status.masked_fill(~torch.isfinite(sine), int(Status.NON_FINITE))


def _no_potential(dtype: torch.dtype) -> Potential:
    return FunctionPotential(lambda *q: 0 * q[-1], depth=0)
