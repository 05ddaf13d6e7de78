"""Steps that end on the level set on which the trajectory began."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from .._fixed_point import any_true
from .._flow import Carry, FlowMap
from .._method import StepCode, SystemMethod
from .._status import Status, report
from ..kernels import KernelBuilder, Rows
from ._field import ProjectedField

_FIRST = 20


class LevelCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        x: The state ``(..., n)``.
        level: Levels of the constraints ``(..., m)``.
    """

    x: Tensor
    level: Tensor


class ProjectedStep(SystemMethod):
    """A step of any method, then Gauss-Newton steps ``u <- u - G^T (G G^T)^-1 (g(u) - c)``.

    The level ``c`` of the first state is carried along each trajectory. One step brings an error ``e`` of the
    method to about ``e^2``; in the metrics of mechanics, positions are moved along ``M^-1 J^T`` and then
    momenta or velocities, whose constraint is linear. Constraints hold to rounding at every step, at the cost
    of some evaluations of ``g`` and ``G``; energies of long runs still drift as those of the method.

    Derivatives are those of the steps as they are taken. A trajectory whose constraints are not met at the
    end of a step stops with ``Status.NOT_CONVERGED``.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, IV.4.

    Attributes:
        inner: The method.
        field: The field with the constraints.

    Examples:
        >>> import torch
        >>> from integrators import ProjectedField, ProjectedStep, RungeKutta4
        >>> spin = lambda x: torch.stack((-x[..., 1], x[..., 0]), -1)
        >>> flow = ProjectedStep(RungeKutta4(ProjectedField(spin, ["x1**2 + x2**2"], size=2), 0.5))
        >>> y = flow(torch.tensor([3.0, 4.0], dtype=torch.float64))
        >>> bool((y.square().sum() - 25).abs() < 1e-14)
        True
    """

    implicit = True

    def __init__(
        self,
        method: FlowMap,
        iterations: int = 2,
        tolerance: float | None = None,
        project_initial: bool = False,
        onto: ProjectedField | None = None,
    ) -> None:
        """Bind.

        Args:
            method: A method bound to a ``ProjectedField``, or any flow map if ``onto`` is given.
            iterations: Number of Gauss-Newton steps; 0 only carries the level, for a stabilised field.
            tolerance: Largest residual after them, relative to the size of the terms of the constraints; None
                takes the power 2/3 of the rounding unit, 4e-11 in float64.
            project_initial: Whether the first state is moved onto the constraints, for states that were
                rounded or measured.
            onto: The field with the constraints, where it is not that of the method.

        Raises:
            TypeError: If the method or its system is of another kind.
            ValueError: If a number is negative or the spaces differ.
        """
        if not isinstance(method, FlowMap):
            raise TypeError(f"method: expected a flow map, got {type(method).__name__}")
        field = getattr(method, "system", None) if onto is None else onto
        if not isinstance(field, ProjectedField):
            raise TypeError(
                f"method: expected a method bound to a ProjectedField, got {type(method).__name__} of "
                f"{type(field).__name__}; pass onto=ProjectedField(system, constraints)"
            )
        if method.space != field.space:
            raise ValueError(f"onto: expected constraints on {method.space}, got {field.space}")
        if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 0:
            raise ValueError(f"iterations: expected an integer of at least 0, got {iterations!r}")
        if tolerance is not None and not tolerance > 0:
            raise ValueError(f"tolerance: expected a positive number or None, got {tolerance}")
        super().__init__(field, method.h)
        self.inner, self.iterations, self.tolerance = method, iterations, tolerance
        self.project_initial = project_initial
        self.fed = method.control_size > field.base_inputs and field.control_size > field.base_inputs
        self.control_size = field.base_inputs if self.fed else method.control_size
        self.order, self.evaluations = method.order, method.evaluations

    @property
    def field(self) -> ProjectedField:
        """The field with the constraints."""
        field: ProjectedField = self.system  # type: ignore[assignment]
        return field

    def with_step(self, h: float) -> Self:
        """The same method at another step."""
        other = super().with_step(h)
        other.inner = self.inner.with_step(h)
        return other

    def _limit(self, dtype: torch.dtype) -> float:
        return torch.finfo(dtype).eps ** (2 / 3) if self.tolerance is None else self.tolerance

    def check_inputs(self, x: Tensor, control: Tensor | None = None) -> None:
        """Refuse first states that are off the constraints, beside wrong shapes and dtypes.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` of one step, or ``None``.

        Raises:
            ValueError: If a shape is wrong or a state does not satisfy the constraints.
        """
        super().check_inputs(x, control)
        if torch.compiler.is_compiling() or self.project_initial or not self.iterations:
            return
        with torch.no_grad():
            off = self.field.manifold.relative_residual(x, self.field.level_of(x))
            if any_true(~(off <= torch.finfo(x.dtype).eps ** 0.5)):
                raise ValueError(
                    f"x: the states do not satisfy the constraints {', '.join(self.field.constraint_names)}; "
                    "pass project_initial=True to move them there, or, for invariants, level='initial'"
                )

    def constants(self) -> Any:
        """Compute what stays the same along a trajectory, for the method."""
        return self.inner.constants()

    def start(self, x: Tensor, constants: Any) -> LevelCarry:
        """Compute the levels of the first states."""
        level = self.field.level_of(x)
        return LevelCarry(self.field.moved(x, level, _FIRST) if self.project_initial else x, level)

    def finish(self, carry: LevelCarry, constants: Any) -> Tensor:
        """Read the states out."""
        return carry.x

    def advance(self, carry: LevelCarry, control: Tensor | None, constants: Any) -> LevelCarry:
        """Move the states by one step; raises ``StepError`` where the constraints are not met."""
        carry, status = self.try_advance(carry, control, constants)
        report(status)
        return carry

    def try_advance(
        self, carry: LevelCarry, control: Tensor | None, constants: Any
    ) -> tuple[LevelCarry, Tensor]:
        """Like ``advance``, with a status per trajectory in place of an error."""
        x, level = carry
        inner: Carry = self.inner.start(x, constants)
        inputs = self.inner.prepare(self._inputs(control, level), constants)
        inner, status = self.inner.try_advance(inner, inputs, constants)
        y = self.field.moved(self.inner.finish(inner, constants), level, self.iterations)
        if self.iterations:
            status = torch.maximum(status, self._missed(y, level))
        return LevelCarry(y, level), status

    def _missed(self, y: Tensor, level: Tensor) -> Tensor:
        """Codes of ``Status`` of states that should be on their levels."""
        with torch.no_grad():
            off = self.field.manifold.relative_residual(y.detach(), level.detach())
            missed = torch.where(off < torch.inf, int(Status.NOT_CONVERGED), int(Status.NON_FINITE))
            return torch.where(off <= self._limit(y.dtype), int(Status.OK), missed).to(torch.int8)

    def _inputs(self, control: Tensor | None, level: Tensor) -> Tensor | None:
        if not self.fed:
            return control
        if control is None:
            control = level.new_zeros(*level.shape[:-1], self.control_size)
        return torch.cat((control.expand(*level.shape[:-1], -1), level), -1)

    def _method(self) -> SystemMethod:
        if not isinstance(self.inner, SystemMethod) or self.inner.system is not self.system:
            raise TypeError(f"method: {type(self.inner).__name__} of another system has no kernel code here")
        return self.inner

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for the level and for what the method carries."""
        own = builder.rows(self.field.manifold.levels * (self.field.level == "initial"))
        return [*own, *self._method().emit_carried(builder)]

    def _split(self, code: StepCode) -> tuple[Rows, StepCode]:
        count = self.field.manifold.levels * (self.field.level == "initial")
        level = code.carried[:count]
        control = [*code.control, *(level if self.fed else [])]
        inner = StepCode(code.builder, code.state, code.carried[count:], control, code.verdict, code.offset)
        return level, inner

    def emit_start(self, code: StepCode) -> None:
        """Write the level and the start of the method."""
        b, field = code.builder, self.field
        level, inner = self._split(code)
        if level:
            k = len(field.constraint_names)
            unused = [""] * (k - len(level))
            field.manifold.emit_functions(
                b, code.offset, code.state, [f"@{row} = {{}}" for row in level] + unused
            )
        if self.project_initial:
            off = b.rows(1)[0]
            b.lanes(f"@{off} = 0.0")
            field.manifold.emit_moved(b, code.offset, code.state, level, _FIRST, off)
        self._method().emit_start(inner)

    def emit_step(self, code: StepCode) -> None:
        """Write one step."""
        b, method = code.builder, self._method()
        level, inner = self._split(code)
        method.emit_step(inner)
        if not self.iterations:
            return
        off, verdict = b.rows(1)[0], code.verdict[0]
        b.lanes(f"@{off} = 0.0")
        self.field.manifold.emit_moved(b, code.offset, code.state, level, self.iterations, off)
        limit = b.number(b.parameter(torch.tensor([self._limit(torch.float64)], dtype=torch.float64)))
        b.lanes(
            f"missed = {float(Status.NOT_CONVERGED)} if @{off} < 1e300 else {float(Status.NON_FINITE)}",
            f"missed = 0.0 if @{off} <= {limit} else missed",
            f"@{verdict} = max(@{verdict}, missed)",
        )
        if inner.carried:
            method.emit_start(inner)
