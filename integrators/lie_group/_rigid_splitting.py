"""A rigid body by exact turns about its principal axes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lie import SE3, SO3

from ..kernels import KernelProgram
from ..splitting._table import SYMMETRIC_WEIGHTS
from ..variational._body import RigidBody, RigidBodyCarry, no_potential
from ..variational._forced import Coefficients
from ..variational._slots import ArrayLike, as_inertia, as_potential
from ._rigid_kernel import AXES, SplittingKernel

SCHEMES = {"Strang": (2, (1.0,)), **SYMMETRIC_WEIGHTS}
"""Order and lengths of the Strang steps of each scheme."""


class RigidBodySplitting(RigidBody):
    """A rigid body, free or in a potential, explicitly: turns about the principal axes, kicks between them.

    ``H = sum Pi_i^2 / (2 I_i) + U`` is split into its terms, each of which has an exact flow: ``Pi_i`` turns
    the body about its axis ``i`` by the angle ``t Pi_i / I_i``, the potential kicks ``Pi`` by its torque. The
    symmetric product of them has order 2 and is composed to higher order. Nothing is solved, so there is no
    limit on the step but accuracy. The map is symplectic on ``T*SO(3)``; ``R`` stays a rotation, and without
    a potential ``|Pi|`` and ``R Pi`` stay as they are, to rounding. A body with a mass moves as well, in
    ``T*SE(3)``.

    States are ``(R, omega)``, those of ``RigidBodyIntegrator``, and with a mass ``(x, R, v, omega)``: ``R``
    maps body to world, ``omega = I^-1 Pi`` is in the body frame, ``x`` and ``v`` are in the world frame.

    Source: McLachlan, Phys. Rev. Lett. 71 (1993) 3043; Touma, Wisdom, Astron. J. 107 (1994) 1189; Hairer,
    Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, section VII.5.

    Examples:
        >>> import torch
        >>> from integrators import RigidBodySplitting
        >>> flow = RigidBodySplitting((2.0, 1.0, 0.5), h=0.1, scheme="Suzuki4")
        >>> x = torch.cat((torch.eye(3).flatten(), torch.tensor([0.1, 0.2, 1.0]))).double()
        >>> bool((flow.momentum(flow(x)) - flow.momentum(x)).abs().max() < 1e-15)
        True
    """

    symplectic = True
    symmetric = True
    reversible = True

    def __init__(
        self,
        inertia: ArrayLike | nn.Module,
        h: float,
        scheme: str = "Strang",
        potential: Callable[..., Tensor] | None = None,
        mass: ArrayLike | nn.Module | None = None,
    ) -> None:
        """Fill the slots.

        Args:
            inertia: The principal moments ``(3,)``, or a diagonal matrix ``(3, 3)``, in kg m^2; or a module
                that returns such a matrix when called without arguments.
            h: Step in seconds; a negative one goes back in time.
            scheme: ``"Strang"`` (order 2), ``"Suzuki4"``, ``"Yoshida4"``, ``"KahanLi6"``, ``"Yoshida6"``,
                ``"KahanLi8"``, ``"SuzukiUmeno8"``, ``"Yoshida8"`` or ``"SofroniouSpaletta10"``.
            potential: ``U(R)``, with a mass ``U(x, R)``; ``None`` for a free body.
            mass: In kg, a number or a module; ``None`` for a body that only turns.

        Raises:
            ValueError: If the step is zero or not finite, the scheme is unknown, or the inertia is not
                positive and diagonal.
        """
        super().__init__()
        if not 0 < abs(h) < math.inf:
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
        if scheme not in SCHEMES:
            raise ValueError(f"scheme: expected one of {tuple(SCHEMES)}, got {scheme!r}")
        self.h, self.scheme = float(h), scheme
        self.order, self.weights = SCHEMES[scheme]
        self.evaluations = len(self.weights)
        self._set_group(SO3 if mass is None else SE3)
        self.inertia = as_inertia(_diagonal(inertia))
        self._require_diagonal()
        self.mass = self._fill_mass(mass)
        self.free = potential is None
        self.potential = no_potential(self._own_dtype()) if potential is None else as_potential(potential)

    def _own_dtype(self) -> torch.dtype:
        with torch.no_grad():
            return self.inertia().dtype

    def _require_diagonal(self) -> None:
        with torch.no_grad():
            matrix = self.inertia()
        if matrix.shape != (3, 3) or bool((matrix - torch.diag(matrix.diagonal())).any()):
            raise ValueError(
                f"inertia: expected principal moments or a diagonal matrix, got {matrix.tolist()}; with"
                " J = Q diag(moments) Q^T turn the body's axes, R Q for R and Q^T omega for omega, or use"
                " RigidBodyIntegrator, which takes any inertia"
            )

    def advance(
        self, carry: RigidBodyCarry, control: Tensor | None, constants: Coefficients
    ) -> RigidBodyCarry:
        """Apply the turns and kicks of one step.

        Args:
            carry: What ``start`` or ``advance`` returned.
            control: ``None``.
            constants: What ``constants`` returned.

        Returns:
            The carry one step later.
        """
        rates = constants.inverse_inertia.diagonal(dim1=-2, dim2=-1)
        rotation, pi, torque, x, momentum, force, _ = carry
        edges = (0.0, *self.weights, 0.0)
        for k, weight in enumerate(self.weights):
            kick = 0.5 * self.h * (edges[k] + weight)
            pi = pi if self.free else pi + kick * torque
            if x is not None and momentum is not None and force is not None and constants.mass is not None:
                momentum = momentum + kick * force
                x = x + (weight * self.h / constants.mass) * momentum
            rotation, pi = self._turn(rotation, pi, weight * self.h, rates)
            torque, force = self._forces(rotation, x, torque, force)
        last = 0.5 * self.h * self.weights[-1]
        pi = pi if self.free else pi + last * torque
        momentum = momentum if momentum is None or force is None else momentum + last * force
        return RigidBodyCarry(rotation, pi, torque, x, momentum, force)

    def _turn(self, rotation: Tensor, pi: Tensor, step: float, rates: Tensor) -> tuple[Tensor, Tensor]:
        """The symmetric product of turns: columns of ``R``, with ``Pi`` below them, two at a time."""
        columns = list(torch.cat((rotation, pi.unsqueeze(-2)), -2).unbind(-1))
        for axis, share in AXES:
            j, k = (axis + 1) % 3, (axis + 2) % 3
            angle = (share * step * rates[axis]) * columns[axis][..., 3:]
            c, s = angle.cos(), angle.sin()
            columns[j], columns[k] = c * columns[j] + s * columns[k], c * columns[k] - s * columns[j]
        turned = torch.stack(columns, -1)
        return turned[..., :3, :], turned[..., 3, :]

    def _forces(
        self, rotation: Tensor, x: Tensor | None, torque: Tensor, force: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        return (torque, force) if self.free else self._potential_forces(rotation, x)

    def _evaluate_forces(
        self, rotation: Tensor, pi: Tensor, x: Tensor | None, momentum: Tensor | None
    ) -> RigidBodyCarry:
        still = None if x is None else torch.zeros_like(x)
        torque, force = self._forces(rotation, x, torch.zeros_like(pi), still)
        return RigidBodyCarry(rotation, pi, torque, x, momentum, force)

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the step backwards, since the map is symmetric.

        Args:
            y: States ``(..., n)``.
            control: ``None``.

        Returns:
            The states from which ``forward`` leads to ``y``.
        """
        back: Tensor = self.with_step(-self.h)(y, control)
        return back

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Turn the velocities around; the reversal under which the map is symmetric."""
        return torch.cat((x[..., : -self.rows], -x[..., -self.rows :]), -1)

    @property
    def observables(self) -> dict[str, int]:
        """Names of the quantities that can be observed inside a rollout, with their number of components."""
        return super().observables | {"momentum_norm": 1}

    def energy(self, x: Tensor) -> Tensor:
        """Total energy ``(...)`` of states ``(..., n)``."""
        return self.kinetic_energy(x) + self.potential_energy(x)

    def momentum_norm(self, x: Tensor) -> Tensor:
        """Length ``|Pi|`` ``(...)`` of the angular momentum, which a free body keeps."""
        omega = self.space.view(x)["omega"]
        return torch.linalg.vector_norm(self.inertia().diagonal() * omega, dim=-1)

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.

        Raises:
            TypeError: If the potential has no kernel code.
        """
        return SplittingKernel(self, observables).build()


def _diagonal(inertia: ArrayLike | nn.Module) -> ArrayLike | nn.Module:
    """A matrix of three moments; anything else as it is."""
    if isinstance(inertia, nn.Module):
        return inertia
    values = inertia if isinstance(inertia, Tensor) else torch.as_tensor(inertia, dtype=torch.float64)
    return torch.diag(values) if values.shape == (3,) else values
