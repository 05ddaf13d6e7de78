"""Symplectic networks on constraint manifolds: RATTLE steps with learned potentials, one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from integrators import ConstrainedMechanicalSystem, MechanicalSystem, Rattle
from integrators.composition import Composition
from integrators.systems import Constraints, MassLike, Scalar

from .._registry import register
from ._rattle_parts import (
    MeanPotential,
    describe_constraints,
    describe_mass,
    draw_potentials,
    make_constraints,
    make_mass,
)
from ._slot_config import describe_slot, fill_slot
from ._velocity_flow import VelocityFlow


@register("RattleNet")
class RattleNet(Composition):
    r"""A symplectic map of ``T*M``, ``M = {q: g(q) = 0}``, whatever its weights are.

    Substep ``i`` is a step of RATTLE of length :math:`c_i h` with the Hamiltonian
    :math:`H_i = p^T M^{-1} p / 2 + V_i(q)` under the constraints :math:`g(q) = 0`; the potentials
    :math:`V_i`, the fractions :math:`c_i`, of either sign, and the masses are known or learned. States are
    ``(..., 2 d)``, positions before momenta; they satisfy :math:`g(q) = 0` and
    :math:`g'(q) M^{-1} p = 0`, and so do the predictions, to rounding. Whether such compositions come close
    to every symplectic map of ``T*M`` is not known.

    With one potential for all substeps (``shared=True``) and fixed steps the net is a Hamiltonian system with
    constraints and a learned potential, integrated in ``substeps`` steps. Gradients are those of the implicit
    function; the inverse is explicit in the same sense as the map, substeps of the opposite length in the
    opposite order. A substep whose Newton iteration does not converge raises ``StepError``, and in rollouts
    stops its trajectory with ``Status.NOT_CONVERGED``. With friction ``b`` the symplectic form shrinks by
    exactly :math:`e^{-b \sum c_i h}` in a step.

    The observed ``energy`` is that of the leading term of the Hamiltonian that the composition follows, with
    the potential :math:`\sum c_i V_i / \sum c_i`; ``constraint`` are the residuals above. Which momenta
    satisfy the constraints depends on the masses: where those are learned, train ``net.velocities()``, on
    velocities. A factor common to masses and potentials changes no motion then.

    Source: the steps, Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VII.1.4; learned
    potentials in Cartesian coordinates, Finzi, Wang, Wilson, NeurIPS 2020, arXiv:2010.13581.

    Attributes:
        system: The constrained system of the observed energy, which other methods and steps can integrate.

    Examples:
        >>> import torch
        >>> from geomlearn.nn import RattleNet
        >>> net = RattleNet(
        ...     4, {"rod": "q1**2 + q2**2 - 1"}, h=0.1, generator=torch.Generator().manual_seed(0)
        ... )
        >>> x = net.project(torch.tensor([0.6, -0.9, 0.5, 0.2], dtype=torch.float64))
        >>> y = net(x)
        >>> bool(net.constraint(y).abs().max() < 1e-15), bool((net.inverse(y) - x).abs().max() < 1e-12)
        (True, True)
    """

    system: ConstrainedMechanicalSystem

    def __init__(
        self,
        dim: int,
        constraints: Constraints,
        h: float,
        substeps: int = 3,
        hidden: Sequence[int] = (32, 32),
        activation: str = "tanh",
        shared: bool = False,
        fractions: Sequence[float] | None = None,
        learn_steps: bool = True,
        mass: MassLike = 1.0,
        friction: float | Tensor = 0.0,
        potentials: nn.Module | Sequence[nn.Module] | None = None,
        gain: float = 1.0,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            dim: Dimension ``2 d`` of the states, positions and momenta.
            constraints: Expressions of ``q1, ..., qd``, by name or in a list; or a function in torch from
                positions ``(..., d)`` to ``(..., m)``, which has no compiled kernel.
            h: Time that the map takes.
            substeps: Number of steps of RATTLE.
            hidden: Widths of the hidden layers of each potential.
            activation: Activation of the potentials.
            shared: Whether all substeps have one potential.
            fractions: First lengths of the substeps over ``h``; equal ones with sum 1 by default.
            learn_steps: Whether the fractions are trained.
            mass: Constant masses: a number, a vector ``(d,)``, a matrix ``(d, d)``, an ``nn.Parameter``, or a
                module such as ``LearnedMass((1.0, 1.0), coordinates=2)`` for two particles in the plane.
            friction: Rate ``b`` of ``p' = -b p``; an ``nn.Parameter`` is trained.
            potentials: Modules of one's own in place of perceptrons: one for all substeps, or one for each.
            gain: Factor on the last layers of the perceptrons.
            dtype: Floating-point type.
            generator: Source of the random weights; torch's global one by default.

        Raises:
            ValueError: If the dimension is odd, there is no substep, a length is zero or not finite, the
                number of fractions or potentials is not that of substeps, or constraints depend on each other
                or leave no motion.
        """
        if isinstance(substeps, bool) or not isinstance(substeps, int) or substeps < 1:
            raise ValueError(f"substeps: expected at least one step of RATTLE, got {substeps!r}")
        degrees = _half(dim)
        given = _fractions(fractions, substeps)
        made = _one_each(potentials, substeps)
        shared = shared if made is None else len(made) == 1
        if made is None:
            sizes, count = (degrees, *hidden, 1), 1 if shared else substeps
            made = draw_potentials(count, sizes, activation, gain, dtype, generator)
        systems = [
            ConstrainedMechanicalSystem(MechanicalSystem(degrees, v, mass, dtype=dtype), constraints)
            for v in made
        ]
        _require_motion(systems[0])
        rate = friction if isinstance(friction, Tensor) else torch.tensor(float(friction), dtype=dtype)
        each = systems * substeps if shared else systems
        stretches = [nn.Parameter(torch.tensor(c, dtype=dtype)) for c in given]
        parts = [
            Rattle(s, h, rate, stretch=stretch) if learn_steps else Rattle(s, h * c, rate)
            for s, stretch, c in zip(each, stretches, given, strict=True)
        ]
        mean = None
        if not shared:
            terms = [_potential(part) for part in parts]
            potential = MeanPotential(terms, stretches if learn_steps else [c.detach() for c in stretches])
            free = MechanicalSystem(degrees, potential, mass, dtype=dtype)
            mean = ConstrainedMechanicalSystem(free, constraints)
        super().__init__(parts, h, system=mean)
        self._options: dict[str, Any] = {
            "dim": dim,
            "constraints": constraints,
            "substeps": substeps,
            "hidden": list(hidden),
            "activation": activation,
            "shared": shared,
            "fractions": given,
            "learn_steps": learn_steps,
        }
        self._own_potentials = potentials is None

    @property
    def fractions(self) -> Tensor:
        """Lengths of the substeps over ``h``, shape ``(substeps,)``."""
        lengths = [part.length / self.h for part in self._steps()]
        return torch.stack([torch.as_tensor(c, dtype=self.dtype) for c in lengths])

    def project(self, x: Tensor) -> Tensor:
        """Find states that satisfy the constraints near given ones ``(..., 2 d)``."""
        return self.system.project(x)

    def velocities(self) -> VelocityFlow:
        """The same map of positions and velocities ``(..., 2 d)``, to be trained where masses are learned."""
        return VelocityFlow(self)

    def _steps(self) -> list[Rattle]:
        return [part for part in self.parts if isinstance(part, Rattle)]

    def _systems(self) -> list[MechanicalSystem]:
        """The systems of the potentials, without constraints."""
        found = [_free(part) for part in self.parts]
        return found[:1] if self._options["shared"] else found

    def config(self) -> dict[str, Any]:
        """Plain description; the numbers are weights."""
        first, systems = self._steps()[0], self._systems()
        own = [_potential(part).function for part in self.parts][: len(systems)]
        return {
            "type": "RattleNet",
            **self._options,
            "constraints": describe_constraints(self._options["constraints"]),
            "h": self.h,
            "mass": describe_mass(systems[0].mass),
            "friction": float(first.friction.detach()),
            "learn_friction": isinstance(first.friction, nn.Parameter),
            "potentials": None if self._own_potentials else [_describe(module) for module in own],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RattleNet:
        """Build the model that ``config`` described, with fresh weights.

        Args:
            config: What ``config()`` returned.

        Returns:
            The model.
        """
        options = {k: v for k, v in config.items() if k not in ("type", "learn_friction")}
        friction = torch.tensor(config["friction"], dtype=torch.float64)
        modules = config["potentials"]
        options |= {
            "constraints": make_constraints(config["constraints"]),
            "mass": make_mass(config["mass"]),
            "friction": nn.Parameter(friction) if config["learn_friction"] else float(friction),
            "potentials": None if modules is None else [fill_slot(module) for module in modules],
        }
        return cls(**options)

    def extra_repr(self) -> str:
        """Show the step and the constraints."""
        return f"h={self.h:g}, constraints={self.system.constraint_names}"


def _describe(module: Any) -> Any:
    return describe_slot("potentials", module)


def _half(dim: int) -> int:
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 2 or dim % 2:
        raise ValueError(f"dim: expected an even number, as many positions as momenta, got {dim!r}")
    return dim // 2


def _fractions(fractions: Sequence[float] | None, substeps: int) -> list[float]:
    given = [1.0 / substeps] * substeps if fractions is None else [float(c) for c in fractions]
    known = all(math.isfinite(c) and c != 0 for c in given)
    if len(given) != substeps or not known or math.fsum(given) == 0:
        raise ValueError(
            f"fractions: expected {substeps} finite numbers, none of them zero nor their sum, got {given}"
        )
    return given


def _one_each(potentials: nn.Module | Sequence[nn.Module] | None, substeps: int) -> list[nn.Module] | None:
    if potentials is None:
        return None
    given = [potentials] if isinstance(potentials, nn.Module) else list(potentials)
    if len(given) not in (1, substeps):
        raise ValueError(f"potentials: expected one module, or {substeps}, got {len(given)}")
    return given


def _require_motion(system: ConstrainedMechanicalSystem) -> None:
    count = len(system.constraint_names)
    if count >= system.degrees:
        raise ValueError(
            f"constraints: {count} constraints of {system.degrees} positions leave no motion; take some away"
        )


def _free(part: Any) -> MechanicalSystem:
    """The system of a step without constraints."""
    system: MechanicalSystem = part.system.system
    return system


def _potential(part: Any) -> Scalar:
    potential: Scalar = part.system.system.potential
    return potential
