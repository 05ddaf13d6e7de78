"""Vector fields projected onto the level sets of constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from torch import Tensor

from .._state import StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ..systems import HamiltonianSystem, ModuleField, System
from ..systems._mass import InverseMass, MassLike
from ..systems._parse import as_symbols
from ..systems._scalar import require_count, sample
from ._acceleration import AccelerationField
from ._constraint import Constraint, ConstraintLike, read_constraint
from ._dirac import DiracManifold
from ._gauss import GaussManifold
from ._manifold import LevelSet, Manifold
from ._point import reach

Mode = Literal["project", "stabilise", "none"]
FieldMetric = Literal["euclidean", "gauss", "symplectic"]


class ProjectedField(System):
    """A vector field, such as a network, whose solutions stay on the level sets of constraints ``g(u, t)``.

    With ``mode="project"`` the field is tangent to every level set at once, so that the level never appears:

    * ``metric="euclidean"``: ``u' = f - G^+ (G f + dg/dt)``, ``G = dg/du``, the projected neural ODE; the
      fallback for any constraint. With ``mass`` the pseudoinverse is that of another constant metric.
    * ``metric="gauss"``, for states ``(q, v)`` and constraints of the positions: ``q' = v`` and
      ``v' = a - M^-1 J^T (J M^-1 J^T)^-1 (J a + J' v)``. The multipliers are the forces of the constraints,
      which the network need not learn, and known forces may be given as they are.
    * ``metric="symplectic"``, for Hamiltonian systems and constraints of the positions: Dirac's bracket,
      which keeps the energy and the symplectic form on the constraint manifold.

    ``mode="stabilise"`` is the stabilised neural ODE, ``u' = f - gamma G^+ (g - c)``: deviations stay of the
    size ``|G f| / gamma``, and explicit steps need ``h < 3 / gamma`` about. ``mode="none"`` is the field
    itself, with the constraints to be observed.

    Any method integrates the field, and leaves the constraints by its own errors, which add up in proportion
    to time: ``ProjectedStep`` brings the states back after each step. Rollouts are compiled for constraints
    from expressions and fields that have kernel code. A constraint in which ``t`` occurs adds time as the
    last entry of the state.

    Source: White et al., arXiv:2410.23667, 2024 (projected); White, Kilbertus, Gelbrecht, Boers, NeurIPS
    2023, arXiv:2306.09739 (stabilised); Finzi, Wang, Wilson, NeurIPS 2020, arXiv:2010.13581 (Dirac and
    d'Alembert).

    Attributes:
        base: The field that is projected.
        manifold: The constraints in their metric.
        constraint_names: Names of the functions, rates among them.
        level: ``"initial"`` or ``"zero"``.

    Examples:
        >>> import torch
        >>> from integrators import ProjectedField
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
        >>> field = ProjectedField(net, ["x1**2 + x2**2 + x3**2"], size=3)
        >>> x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        >>> bool((x * field.field(x)).sum().abs() < 1e-15)
        True
    """

    gamma: Tensor
    manifold: Manifold

    def __init__(
        self,
        base: System | Callable[..., Tensor],
        constraints: ConstraintLike,
        metric: FieldMetric | None = None,
        mode: Mode = "project",
        gamma: float | None = None,
        level: Literal["initial", "zero"] = "initial",
        mass: MassLike = 1.0,
        rates: bool | None = None,
        parameters: Mapping[str, float | Tensor] | None = None,
        size: int | None = None,
        rank_deficient: bool = False,
    ) -> None:
        """Bind constraints to a field.

        Args:
            base: A system, or a network: from ``(..., n)`` to slopes ``(..., n)``, or from states
                ``(q, v)`` to accelerations ``(..., n / 2)``.
            constraints: Expressions by name or in a list, or a function in torch from ``(..., n)`` to
                ``(..., m)``, with times ``(..., 1)`` as a second argument if it depends on them. Symbols are
                the entries of the state, such as ``x1, x2, ...`` or ``q1, ..., v1, ...``, and ``t``. In the
                metrics of mechanics, and with rates, they are functions of the positions, the first half of
                the state.
            metric: None takes ``"symplectic"`` for a ``HamiltonianSystem``, ``"gauss"`` for an
                ``AccelerationField`` or a network of accelerations, else ``"euclidean"``.
            mode: ``"project"``, ``"stabilise"`` or ``"none"``.
            gamma: Rate of ``mode="stabilise"``.
            level: ``"initial"`` for invariants, which keep the value of the first state; ``"zero"`` for
                constraints ``g = 0``.
            mass: Constant masses ``M`` of ``"gauss"``, or the weights of another first-order metric: a
                number, ``(k,)``, ``(k, k)``, an ``nn.Parameter`` or a module called without arguments.
            rates: For states ``(q, v)`` in the Euclidean metric, whether the rates ``J v + dg/dt = 0`` are
                constraints too. None takes them where the base gives accelerations.
            parameters: Values of other symbols in the expressions; an ``nn.Parameter`` is trained.
            size: Number ``n`` of entries of the state, for a network.
            rank_deficient: Whether gradients may be dependent; the pseudoinverse is used then.

        Raises:
            TypeError: If a part is not of its kind.
            ValueError: If parts do not fit each other.
        """
        super().__init__()
        self.base = base = _as_system(base, size)
        self._choose(metric, mode, gamma, level)
        self.n = base.space.size - base.timed
        second = isinstance(base, AccelerationField)
        self.rates = second and self.metric == "euclidean" if rates is None else rates
        halved = self.metric != "euclidean" or self.rates
        if halved and self.n % 2:
            raise ValueError(
                "base: the metrics of mechanics and rates need positions and velocities or momenta, an even "
                f"number of entries, got {self.n}"
            )
        names = _names(base.space, self.n)[: self.n // 2 if halved else self.n]
        hint = f"expected the entries of the state, {names[0]} to {names[-1]}, t, or values with parameters="
        if halved:
            hint += "; constraints are functions of the positions here"
            hint += ", pass rates=False for others" if self.rates and rates is None else ""
        given = read_constraint(constraints, as_symbols(names), parameters, base, hint)
        self.manifold = self._make_manifold(given, mass, rank_deficient)
        self.constraint_names = self.manifold.names
        self.timed = base.timed or given.timed
        clock = [vector("t", 1)] if self.timed and not base.timed else []
        self.space = StateSpace(*base.space.parts, *clock)
        self.base_inputs = base.control_size
        fed = self.mode == "stabilise" and self.level == "initial"
        self.control_size = base.control_size + self.manifold.levels * fed
        self.has_energy = base.has_energy
        self.invariants = base.invariants | {"constraint": len(self.constraint_names)}

    def _choose(self, metric: str | None, mode: str, gamma: float | None, level: str) -> None:
        """Check the settings that are words."""
        base = self.base
        if metric is None:
            metric = "euclidean"
            if mode == "project" and isinstance(base, HamiltonianSystem):
                metric = "symplectic"
            elif mode == "project" and isinstance(base, AccelerationField):
                metric = "gauss"
        for name, value, known in (
            ("metric", metric, ("euclidean", "gauss", "symplectic")),
            ("mode", mode, ("project", "stabilise", "none")),
            ("level", level, ("initial", "zero")),
        ):
            if value not in known:
                raise ValueError(f"{name}: expected one of {known}, got {value!r}")
        if (mode == "stabilise") != (gamma is not None):
            raise ValueError(f"gamma: expected a rate for mode='stabilise' alone, got {gamma} for {mode!r}")
        if gamma is not None and not 0 < gamma < float("inf"):
            raise ValueError(f"gamma: expected a positive rate, got {gamma}")
        if mode == "stabilise" and metric != "euclidean":
            raise ValueError(f"metric: mode='stabilise' is defined for 'euclidean', got {metric!r}")
        if metric == "symplectic" and not isinstance(base, HamiltonianSystem):
            raise ValueError(
                f"metric: 'symplectic' expects a HamiltonianSystem, got {type(base).__name__}; 'gauss' takes "
                "positions and velocities"
            )
        if metric == "symplectic" and base.timed:
            raise ValueError("metric: 'symplectic' has no time; use 'gauss'")
        self.metric, self.mode, self.level = metric, mode, level
        self.register_buffer("gamma", torch.tensor(float(gamma or 0.0), dtype=sample((), 1, base).dtype))

    def _make_manifold(self, given: Constraint, mass: MassLike, rank_deficient: bool) -> Manifold:
        plain = isinstance(mass, float | int) and mass == 1
        dtype = sample((), 1, self.base).dtype
        if self.metric == "symplectic":
            if given.timed:
                raise ValueError("constraints: 'symplectic' takes constraints without t; use 'gauss'")
            if not plain:
                raise ValueError("mass: 'symplectic' takes the masses of the Hamiltonian; leave mass= out")
            return DiracManifold(given, self.n, rank_deficient, cast(HamiltonianSystem, self.base))
        if self.metric == "gauss":
            self._require_velocities()
            return GaussManifold(given, self.n, rank_deficient, InverseMass(mass, self.n // 2, dtype))
        weights = None if plain else InverseMass(mass, self.n, dtype)
        whole = given.with_rates() if self.rates else given
        return LevelSet(whole, self.n, rank_deficient, weights, len(given.names) * self.rates)

    def _require_velocities(self) -> None:
        with torch.no_grad():
            x = sample((2,), self.base.space.size, self.base)
            fast, d = self.base.field(x)[..., : self.n // 2], self.n // 2
        if not torch.equal(fast, x[..., d : 2 * d]):
            raise ValueError(
                "base: 'gauss' expects positions and velocities with q' = v, but the first half of the "
                "slopes is not the second half of the state; use an AccelerationField"
            )

    def constraint(self, x: Tensor) -> Tensor:
        """Compute the functions ``g`` of states ``(..., n)``, rates last, shape ``(..., k)``."""
        return self.manifold.functions(x)

    def level_of(self, x: Tensor) -> Tensor:
        """Compute the levels on which trajectories from states ``(..., n)`` stay, shape ``(..., m)``."""
        level = self.manifold.level(x)
        return torch.zeros_like(level) if self.level == "zero" else level

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative of states.

        Args:
            x: States ``(..., n)``.
            control: Inputs of the base, then, for ``mode="stabilise"`` and ``level="initial"``, levels
                ``(..., m)``, which ``ProjectedStep`` gives.

        Returns:
            Shape ``(..., n)``.

        Raises:
            DependentConstraintsError: If gradients of constraints are dependent at a state.
            ValueError: If levels are missing.
        """
        inputs = None if control is None or not self.base_inputs else control[..., : self.base_inputs]
        f = self.base.field(x if self.base.timed else x[..., : self.n], inputs)[..., : self.n]
        x = x.expand(*f.shape[:-1], x.shape[-1])
        if self.mode == "project":
            f = self.manifold.tangent(x, f)
        elif self.mode == "stabilise":
            f = f + self.gamma * self._pull(x, control)
        clock = [torch.ones_like(x[..., self.n :])] if self.timed else []
        return torch.cat((f, *clock), -1) if clock else f

    def _pull(self, x: Tensor, control: Tensor | None) -> Tensor:
        if self.level == "zero":
            level = x.new_zeros(self.manifold.levels)
        elif control is None:
            raise ValueError(
                "control: the levels of the first states are missing; integrate with ProjectedStep, which "
                "gives them, or choose level='zero'"
            )
        else:
            level = control[..., self.base_inputs :]
        manifold = cast(LevelSet, self.manifold)
        return manifold.pull(x, manifold.residual(x, level))

    def project(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """Move states onto the constraints, rates included, in their metric.

        Args:
            x: States ``(..., n)``.
            level: Levels ``(..., m)``; None takes those of ``level_of``.

        Returns:
            States ``(..., n)``.
        """
        return reach(self.manifold, x, self.level_of(x) if level is None else level)

    def moved(self, x: Tensor, level: Tensor, iterations: int = 1) -> Tensor:
        """Move states ``(..., n)`` onto level sets ``(..., m)`` by Gauss-Newton steps."""
        return self.manifold.moved(x, level, iterations)

    def energy(self, x: Tensor) -> Tensor:
        """Compute the energy of states by that of the base, shape ``(...)``."""
        return self.base.energy(x if self.base.timed else x[..., : self.n])

    def invariant(self, name: str, x: Tensor) -> Tensor:
        """Compute the constraints, or a conserved quantity of the base, by name."""
        if name == "constraint":
            return self.constraint(x)
        return self.base.invariant(name, x if self.base.timed else x[..., : self.n])

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Reserve room for the numbers of the base."""
        self.manifold.require_code()
        return self.base.emit_parameters(builder)

    def emit_field(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the time derivative: one statement per component, ``{}`` standing for its value."""
        n, base = self.n, self.base
        f, place = builder.shared(self, lambda: (builder.rows(n), builder.parameter(self.gamma)))
        own = [f"@{row} = {{}}" for row in f] + [""] * base.timed
        base.emit_field(builder, offset, x if base.timed else x[:n], control[: self.base_inputs], own)
        if self.mode == "project":
            self.manifold.emit_tangent(builder, offset, x, f)
        elif self.mode == "stabilise":
            factor = f"{builder.number(place)} * "
            level = control[self.base_inputs :]
            cast(LevelSet, self.manifold).emit_pull(builder, offset, x, level, f, factor)
        statements = [target.format(f"@{row}") for target, row in zip(targets, f)]
        builder.lanes(*statements, *[target.format("1.0") for target in targets[n:]], join=True)

    def emit_observable(
        self, builder: KernelBuilder, name: str, offset: int, x: Rows, targets: list[str]
    ) -> None:
        """Write the constraints, or what the base observes: one statement per component."""
        if name == "constraint":
            self.manifold.emit_functions(builder, offset, x, targets)
        else:
            self.base.emit_observable(builder, name, offset, x if self.base.timed else x[: self.n], targets)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"metric={self.metric!r}, mode={self.mode!r}, level={self.level!r}"


def _as_system(base: System | Callable[..., Tensor], size: int | None) -> System:
    """The field as a system; networks are told apart by the number of their outputs."""
    if isinstance(base, System):
        if size is not None and size != base.space.size:
            raise ValueError(f"size: expected None or {base.space.size}, that of the system, got {size}")
        return base
    if not callable(base):
        raise TypeError(f"base: expected a System, a module or a torch function, got {base!r}")
    if size is None:
        raise ValueError("size: expected the number of entries of the state, since the base is a function")
    require_count("size", size)
    holder = base if isinstance(base, torch.nn.Module) else torch.nn.Module()
    with torch.no_grad():
        value = base(sample((2,), size, holder))
    if isinstance(value, Tensor) and 2 * value.shape[-1] == size and value.shape[:-1] == (2,):
        return AccelerationField(size // 2, base)
    return ModuleField(base, size)


def _names(space: StateSpace, n: int) -> list[str]:
    """Names of the entries of a state: ``x1, x2, ...`` for a part of several, its name for a scalar."""
    names: list[str] = []
    for part in space.parts:
        names += [f"{part.name}{k + 1}" for k in range(part.size)] if part.shape else [part.name]
    return names[:n]
