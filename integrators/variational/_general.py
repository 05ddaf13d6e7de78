"""The forced variational integrator on any matrix Lie group."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lie import MatrixLieGroup

from .._linear import apply
from .._state import Part, StateSpace, vector
from ._forced import Coefficients, ForcedIntegrator
from ._group_kinetic import GroupKinetic
from ._implicit import solve_implicitly
from ._slots import ArrayLike, Configuration, LinearPotential, as_inertia


class GroupCarry(NamedTuple):
    """Working form of a state on a group.

    Attributes:
        g: Elements ``(..., n, n)``.
        mu: Left-trivialised momentum ``(..., dim)``.
        force: Left-trivialised force of the potential ``(..., dim)``.
        gain: Input gain ``(..., dim, m)`` where it depends on the configuration.
    """

    g: Tensor
    mu: Tensor
    force: Tensor
    gain: Tensor | None = None

    @property
    def configuration(self) -> Configuration:
        """``(g,)``."""
        return (self.g,)


class GroupVariationalIntegrator(ForcedIntegrator):
    """Forced variational integrator on any Lie group, order 2 at ``alpha = force_split = 1/2``.

    One step is ``g' = g f``, ``f = tau(h xi)``, with the discrete Lagrangian
    ``(h / 2) <xi, I xi> - h ((1 - alpha) U(g) + alpha U(g'))``. States are ``(g, velocity)``, the velocity
    left-trivialised (body frame): ``g' = g hat(velocity)`` in continuous time, momentum ``mu = I velocity``.
    Without forces the map is symplectic and keeps the momentum of every symmetry of ``U``. Controls are
    constant over each step. On ``lie.SE3`` it is a body with any 6x6 inertia, such as a vehicle under water
    with its added mass; coordinates are then (translation, rotation), both in the body frame, unlike
    ``RigidBodyIntegrator``.

    With ``T`` the transpose of ``dtau^-1_{h xi}`` and ``F = -dU`` left-trivialised, a step solves
    ``T I xi = p = mu + (1 - alpha) h F + f_minus`` and gives ``mu' = Ad(f)^T p + alpha h F' + f_plus``.

    Source: the left-trivialised forced discrete Euler-Lagrange equations, after Marsden, Pekarsky, Shkoller,
    Nonlinearity 12 (1999), and Duruisseaux, Duong, Leok, Atanasov, L4DC 2023, eqs. 2-6.
    """

    def __init__(
        self,
        group: MatrixLieGroup,
        h: float,
        inertia: ArrayLike | nn.Module,
        potential: Callable[..., Tensor] | None = None,
        input_gain: ArrayLike | nn.Module | None = None,
        dissipation: ArrayLike | nn.Module | None = None,
        alpha: float = 0.5,
        force_split: float = 0.5,
        retraction: str | None = None,
    ) -> None:
        """Fill the slots; each takes a constant or a module.

        Args:
            group: Any ``lie.MatrixLieGroup``.
            h: Step in seconds.
            inertia: ``I`` ``(dim, dim)``, symmetric positive definite, or a module that returns it when
                called without arguments.
            potential: ``U(g)``, with the entries of ``g`` as independent variables; ``None`` for a free
                motion.
            input_gain: ``(dim, m)`` left-trivialised forces, or a module of ``g`` that returns such matrices.
            dissipation: Damping matrix ``(dim, dim)``, positive semidefinite, or a module of ``g``.
            alpha: Weight of the potential at the end of the step; 1/2 for order 2.
            force_split: Share of the forces that acts at the beginning of the step; 1/2 for order 2.
            retraction: ``"cayley"`` or ``"exp"``; by default the Cayley transform where the group has one.

        Raises:
            ValueError: If a number is out of range, a shape is wrong, the inertia depends on the
                configuration or the group has no such retraction.
            TypeError: If ``group`` is no ``lie.MatrixLieGroup``, or dtypes are mixed.
        """
        super().__init__()
        if not isinstance(group, MatrixLieGroup):
            raise TypeError(f"group: expected a group of matrices, such as lie.SE3, got {group!r}")
        self._set_scheme(h, alpha, force_split)
        self.kinetic = GroupKinetic(group, retraction or ("cayley" if group.cayley_closed else "exp"))
        self.group, self.rows = group, group.dim
        self.space = StateSpace(Part("g", group), vector("velocity", group.dim, frame="body"))
        self.configuration_space = StateSpace(Part("g", group))
        self.inertia = as_inertia(inertia, group.dim)
        self.mass = None
        n = group.matrix_dim
        self._set_forces(
            potential,
            lambda dtype: LinearPotential(torch.zeros(n, n, dtype=dtype), size=n),
            input_gain,
            dissipation,
        )

    def identity_configuration(self) -> Configuration:
        """``(I,)`` in the dtype and on the device of the map."""
        own = self._like_own()
        return (self.group.identity(dtype=own.dtype, device=own.device),)

    def start(self, x: Tensor, constants: Coefficients) -> GroupCarry:
        """Momenta and forces of states.

        Args:
            x: States ``(..., n * n + dim)``.
            constants: What ``constants`` returned.

        Returns:
            The carry.
        """
        part = self.space.view(x)
        return self._evaluate_forces(part["g"], apply(constants.inertia, part["velocity"]))

    def finish(self, carry: GroupCarry, constants: Coefficients) -> Tensor:
        """Read states out of carries.

        Args:
            carry: A carry, or carries stacked along new leading dimensions.
            constants: What ``constants`` returned.

        Returns:
            States ``(..., n * n + dim)``.
        """
        return torch.cat((carry.g.flatten(-2), apply(constants.inverse_inertia, carry.mu)), dim=-1)

    def kinetic_energy(self, x: Tensor) -> Tensor:
        """Kinetic energy ``(...)`` of states ``(..., n)``: ``<velocity, I velocity> / 2``."""
        velocity = self.space.view(x)["velocity"]
        return 0.5 * (velocity * apply(self.inertia(), velocity)).sum(-1)

    def potential_energy(self, x: Tensor) -> Tensor:
        """Potential energy ``(...)`` of states ``(..., n)``."""
        return self.potential(self.space.view(x)["g"])

    def momentum(self, x: Tensor) -> Tensor:
        """Spatial momentum ``Ad(g^-1)^T I velocity`` ``(..., dim)``, constant along free motions."""
        part = self.space.view(x)
        return self.group.coadjoint(self.group.inverse(part["g"]), apply(self.inertia(), part["velocity"]))

    def _mass_matrix(self, k: Coefficients) -> Tensor:
        return k.inertia

    def _step(self, carry: GroupCarry, control: Tensor | None, k: Coefficients) -> tuple[GroupCarry, Tensor]:
        early = self._early_impulse(carry, lambda: apply(k.inverse_inertia, carry.mu), control, k)
        mu = carry.mu + (1 - k.alpha) * self.h * carry.force
        mu = mu if early is None else mu + early
        z, status = solve_implicitly(self.kinetic, self.h * mu, k.inertia)
        f = self.kinetic.displacement(z)
        arrived = self._evaluate_forces(self.group.compose(carry.g, f), self.group.coadjoint(f, mu))
        mu = arrived.mu + k.alpha * self.h * arrived.force
        late = self._input_impulse(arrived, control, k, 1 - k.force_split)
        mu = mu if late is None else mu + late
        if self.dissipation is not None and k.force_split < 1:
            mu = apply(k.inertia, self._late_velocity(arrived, mu, k))
        return arrived._replace(mu=mu), status

    def _evaluate_forces(self, g: Tensor, mu: Tensor) -> GroupCarry:
        """Force and input gain at ``g``; ``<F, eta> = -d/ds U(g exp(s eta))``."""
        slope = g.mT @ self.potential.gradient(g)[0]
        basis = self.group.basis(g.dtype, g.device).flatten(-2)
        return GroupCarry(g, mu, -(slope.flatten(-2) @ basis.mT), self._gain_at((g,)))
