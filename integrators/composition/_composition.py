"""Maps one after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from .._flow import Carry, FlowMap
from .._status import Status
from ..kernels import KernelBuilder, KernelProgram, Rows
from ..kernels._compose import Stage, compose_programs
from ..systems import System
from ._parts import keep_failed, require_one_space, total_time
from ._relation import adjoint_to_each_other, same_but_step, same_map

_OF_THE_BASE = frozenset(
    (
        "constraint_residual",
        "dissipation",
        "energy",
        "kinetic_energy",
        "momentum",
        "momentum_rate",
        "orthogonality",
        "potential_energy",
    )
)
_OF_ALL = {"phase_derivative": "_phase_derivative", "step_residual": "_step_residual"}
_FAILED = int(Status.NOT_CONVERGED)


class Composition(FlowMap):
    """Flow maps one after another, as one flow map: ``a @ b`` applies ``b``, then ``a``.

    What the composition is follows from what its parts are. It is symplectic where all parts are; symmetric
    where it reads the same backwards with adjoint parts, and reversible where it reads the same backwards
    with reversible parts. Its order is the least of its parts where all approximate the flow of one system,
    made even where it is symmetric, and not known otherwise, unless it is stated. Maps that differ only in
    their steps pass on what they carry, such as a force that was already evaluated; others hand over the
    state. A trajectory on which a part fails has the status of that part.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, II.4, II.5 and V.3.

    Attributes:
        maps: The parts in the order in which they are applied.
        shares: Step of each part as a multiple of ``h``.
        system: The system that was stated, or that of all parts, if it is one.
        alike: Whether all parts are maps of one system.
        related: Which parts differ from the first at most in their steps.
    """

    maps: nn.ModuleList
    system: System | None

    def __init__(
        self,
        maps: Iterable[FlowMap],
        h: float | None = None,
        order: int | None = None,
        system: System | None = None,
    ) -> None:
        """Put maps one after another.

        Args:
            maps: Maps on one state space, in the order in which they are applied.
            h: Time that the composition takes; the sum of the times of its parts by default, where a kick
                takes none.
            order: Order of accuracy, where the parts solve only parts of a system, so that it cannot be known
                from theirs; ``certify`` measures it.
            system: The system whose energy and invariants are followed, where it is not that of the parts.

        Raises:
            TypeError: If a part is no flow map.
            ValueError: If there is no part, parts live in different spaces or have different inputs, or
                their times add to zero.
        """
        super().__init__()
        parts = list(maps)
        require_one_space(parts)
        self.maps = nn.ModuleList(parts)
        self.space = parts[0].space
        self.h = total_time(parts) if h is None else float(h)
        if not 0 < abs(self.h) < math.inf:
            raise ValueError(
                f"h: expected a finite time that is not zero, got {self.h}"
                + (
                    ""
                    if h is not None
                    else ", the sum of the steps; pass h= to Composition to say how long it takes"
                )
            )
        self.shares = tuple(part.h / self.h for part in parts)
        self.control_size = max(part.control_size for part in parts)
        self.joined = tuple(same_but_step(a, b) for a, b in pairwise(parts))
        self.closed = same_but_step(parts[-1], parts[0])
        self._set_system(parts, system)
        self._set_flags(parts, order)

    def _set_system(self, parts: Sequence[FlowMap], system: System | None) -> None:
        own = [getattr(part, "system", None) for part in parts]
        if system is not None and system.space != self.space:
            raise ValueError(f"system: expected one with states {self.space}, got {system.space}")
        self.related = tuple(same_but_step(parts[0], part) for part in parts)
        one = own[0] is not None and all(other is own[0] for other in own)
        self.alike, self.system_stated = one or all(self.related), system is not None
        self.system = own[0] if one and system is None else system

    def _set_flags(self, parts: Sequence[FlowMap], order: int | None) -> None:
        orders = [part.order for part in parts]
        known = [o for o in orders if o is not None]
        least = min(known) if self.alike and len(known) == len(orders) else None
        self.symplectic = all(part.symplectic for part in parts)
        self.energy_preserving = least is not None and all(part.energy_preserving for part in parts)
        mirrored = list(zip(parts, reversed(parts), strict=True))[: (len(parts) + 1) // 2]
        self.symmetric = all(adjoint_to_each_other(a, b) for a, b in mirrored)
        even = None if least is None else least + least % 2 * self.symmetric
        self.order, self.order_stated = even if order is None else order, order is not None
        self.reversible = all(a.reversible and b.reversible and same_map(a, b) for a, b in mirrored)
        counts = [part.evaluations for part in parts]
        starts = [p for p, j in zip(parts, (self.closed, *self.joined), strict=True) if not j]
        plain = all(type(part).start is FlowMap.start for part in starts)
        exact = [count for count in counts if count is not None]
        self.evaluations = sum(exact) if plain and len(exact) == len(counts) else None

    @property
    def parts(self) -> list[FlowMap]:
        """The maps in the order in which they are applied."""
        return cast(list[FlowMap], list(self.maps))

    @property
    def observables(self) -> dict[str, int]:
        """Names of what can be followed in the compiled loop, with their number of components."""
        if self.system is not None and self.system_stated:
            return self.system.observables
        known: dict[str, int] = getattr(self.maps[0], "observables", {}) if self.alike else {}
        return known

    def __getattr__(self, name: str) -> Any:
        """Give the energy, invariants and velocity reversal of the parts."""
        modules = self.__dict__.get("_modules", {})
        if "maps" in modules and name not in modules and not name.startswith("_"):
            found = self._find(name, modules["maps"], self.__dict__.get("system") or modules.get("system"))
            if found is not None:
                return found
        return super().__getattr__(name)

    def _find(self, name: str, maps: nn.ModuleList, system: System | None) -> Any:
        if name in _OF_ALL and all(hasattr(part, name) for part in maps):
            return getattr(self, _OF_ALL[name])
        if name == "flip_velocities":
            return next((part.flip_velocities for part in maps if hasattr(part, name)), None)
        if system is not None and self.__dict__.get("system_stated"):
            if name not in system.observables:
                return None
            return system.energy if name == "energy" else lambda x: system.invariant(name, x)
        if self.__dict__.get("alike") and (name in _OF_THE_BASE or name in self.observables):
            return getattr(maps[0], name, None)
        return None

    def check_inputs(self, x: Tensor, control: Tensor | None = None) -> None:
        """Refuse states and controls that do not fit, and what the first map refuses beside.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` of one step, or ``None``.
        """
        super().check_inputs(x, control)
        first = self.parts[0]
        first.check_inputs(x, control if first.control_size else None)

    def constants(self) -> tuple[Any, ...]:
        """Compute what stays the same along a trajectory, for each part."""
        return tuple(part.constants() for part in self.parts)

    def start(self, x: Tensor, constants: tuple[Any, ...]) -> Carry:
        """Turn states ``(..., n)`` into the carry of the first part."""
        return self.parts[0].start(x, constants[0])

    def advance(self, carry: Carry, control: Tensor | None, constants: tuple[Any, ...]) -> Carry:
        """Apply the parts."""
        for k, part in enumerate(self.parts):
            carry = self._handed(carry, k, constants)
            carry = part.advance(carry, self._inputs(k, control, constants), constants[k])
        return self._handed(carry, len(self.maps), constants)

    def try_advance(
        self, carry: Carry, control: Tensor | None, constants: tuple[Any, ...]
    ) -> tuple[Carry, Tensor]:
        """Like ``advance``; what failed first on a trajectory is its status.

        Args:
            carry: What ``start`` or ``advance`` returned.
            control: Inputs held over the step, or ``None``.
            constants: What ``constants`` returned.

        Returns:
            The carry one step later, and codes of ``Status`` ``(...)``.
        """
        status: Tensor | None = None
        for k, part in enumerate(self.parts):
            before = self._handed(carry, k, constants)
            inputs = self._inputs(k, control, constants)
            if type(part).try_advance is FlowMap.try_advance:
                carry = part.advance(before, inputs, constants[k])
                continue
            carry, new = part.try_advance(before, inputs, constants[k])
            status = new if status is None else torch.where(status >= _FAILED, status, status.maximum(new))
            carry = keep_failed(before, carry, status >= _FAILED)
        carry = self._handed(carry, len(self.maps), constants)
        finite = torch.isfinite(self.finish(carry, constants)).all(-1)
        if status is None:
            status = torch.zeros_like(finite, dtype=torch.int8)
        lost = ~finite & (status < _FAILED)
        return carry, torch.where(lost, int(Status.NON_FINITE), status).to(torch.int8)

    def _handed(self, carry: Carry, k: int, constants: tuple[Any, ...]) -> Carry:
        """The carry of part ``k`` (the first one after the last) from that of the part before it."""
        if k == 0 or (self.closed if k == len(self.maps) else self.joined[k - 1]):
            return carry
        parts, following = self.parts, k % len(self.maps)
        state = parts[k - 1].finish(carry, constants[k - 1])
        return parts[following].start(state, constants[following])

    def _inputs(self, k: int, control: Tensor | None, constants: tuple[Any, ...]) -> Tensor | None:
        part = self.parts[k]
        return part.prepare(control if part.control_size else None, constants[k])

    def finish(self, carry: Carry, constants: tuple[Any, ...]) -> Tensor:
        """Read the states ``(..., n)`` out of a carry."""
        return self.parts[0].finish(carry, constants[0])

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the inverses of the parts in reverse order.

        Args:
            y: States ``(..., n)``.
            control: The inputs that were held over the step.

        Returns:
            The states from which ``forward`` leads to ``y``.
        """
        for part in reversed(self.parts):
            y = part.inverse(y, control if part.control_size else None)
        return y

    def adjoint(self) -> FlowMap:
        """Give the adjoint map: the adjoints of the parts in reverse order."""
        if self.symmetric:
            return self
        other = self._with_maps([part.adjoint() for part in reversed(self.parts)])
        other.shares = self.shares[::-1]
        return other

    def with_step(self, h: float) -> Self:
        """The same composition at another step, all parts stretched alike.

        Args:
            h: Step length; a negative one goes back in time.

        Returns:
            A shallow copy: it shares parameters, buffers and modules with this map.
        """
        other = super().with_step(h)
        other.maps = nn.ModuleList(
            [part.with_step(share * h) for part, share in zip(self.parts, self.shares, strict=True)]
        )
        return other

    def _with_maps(self, parts: list[FlowMap]) -> Composition:
        system = self.system if self.system_stated else None
        return Composition(parts, self.h, self.order if self.order_stated else None, system)

    def kernel_program(self, observables: list[str]) -> KernelProgram:
        """Code of the compiled rollout, made of the programs of the parts.

        Args:
            observables: Names among ``observables``.

        Returns:
            The program.

        Raises:
            TypeError: If a part has no compiled kernel.
        """
        stated = self.system if self.system_stated else None
        names = observables if stated is None else []
        stages = [
            Stage(_program(part, names if related else []), joins, part.control_size > 0)
            for part, related, joins in zip(self.parts, self.related, (False, *self.joined), strict=True)
        ]
        observe = None if stated is None else partial(_observe, stated, observables)
        return compose_programs(stages, self.closed, self.control_size, observe)

    def _phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step in phase space by the chain rule, and the symplectic form at both ends."""
        first = self._each("phase_derivative", x, control)
        derivative, before, after = first[0]
        for factor, _, form in first[1:]:
            derivative, after = factor @ derivative, form
        return derivative, before, after

    def _step_residual(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Largest relative residual ``(...)`` of the equations that the parts solve."""
        return torch.stack(self._each("step_residual", x, control)).amax(0)

    def _each(self, name: str, x: Tensor, control: Tensor | None) -> list[Any]:
        """What a method of the parts returns at the states that they are given."""
        values = []
        for part in self.parts:
            inputs = control if part.control_size else None
            values.append(getattr(part, name)(x, inputs))
            x = part(x, inputs).detach()
        return values

    def extra_repr(self) -> str:
        """Show the step and the order."""
        return f"h={self.h:g}, order={self.order}"


def compose(after: FlowMap, before: FlowMap) -> Composition:
    """Compose two maps: ``after(before(x))``; compositions of unstated order are written out.

    Args:
        after: The map that is applied last.
        before: The map that is applied first.

    Returns:
        The composition.
    """
    return Composition([*_written_out(before), *_written_out(after)])


def _written_out(flow: FlowMap) -> list[FlowMap]:
    if type(flow) is not Composition or flow.order_stated:
        return [flow]
    plain = abs(total_time(flow.parts) - flow.h) <= 1e-14 * abs(flow.h)
    return flow.parts if plain else [flow]


def _observe(system: System, names: list[str], builder: KernelBuilder, state: Rows) -> Rows:
    """Write observed values of a system from the rows of its state."""
    sizes = [system.observables[name] for name in names]
    offset, rows = system.emit_parameters(builder), builder.rows(sum(sizes))
    first = 0
    for name, size in zip(names, sizes, strict=True):
        targets = [f"@{row} = {{}}" for row in rows[first : first + size]]
        system.emit_observable(builder, name, offset, state, targets)
        first += size
    return rows


def _program(part: Any, observables: list[str]) -> KernelProgram:
    build = getattr(part, "kernel_program", None)
    if build is None:
        raise TypeError(f"{type(part).__name__} has no compiled kernel")
    program: KernelProgram = build(observables)
    return program
