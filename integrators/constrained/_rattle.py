"""RATTLE and SHAKE in torch."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from .._fixed_point import any_true, attach, is_differentiated, iterate, jacobian
from .._linear import apply, solve
from .._method import StepCode, SystemMethod
from .._status import Status, report
from ..kernels import KernelBuilder, Rows
from ..systems import ConstrainedSystem
from ._kernel import Coefficients, RattleCode, detached

ITERATIONS = 50


class RattleCarry(NamedTuple):
    """Working form of a state.

    Attributes:
        q: Positions ``(..., d)``.
        p: Momenta ``(..., d)``.
        force: Force of the potential at ``q``.
    """

    q: Tensor
    p: Tensor
    force: Tensor


class Rattle(SystemMethod):
    """RATTLE: kick, drift onto the constraints, kick, project momenta; order 2, symplectic, symmetric.

    A step from ``(q, p)`` is ``p' = p + h/2 F(q) - G(q)^T a``, ``q1 = q + h M^-1 p'`` with ``g(q1) = 0``, and
    ``p1 = p' + h/2 F(q1) - G(q1)^T b`` with ``G(q1) M^-1 p1 = 0``. The first multiplier is found by Newton's
    method with the matrix ``G(q1) M^-1 G(q)^T`` evaluated anew in every iteration, until rounding stops it; a
    frozen matrix would be symmetric and factored once, but converges linearly only. The second multiplier
    solves a linear equation. Both are exact to rounding, or the step is reported as failed: it fails where
    the free flight ``h M^-1 p`` leaves the surroundings of the constraints, for a pendulum from about one
    radian a step.

    Linear friction ``p' = -b p`` acts by its exact factor, inputs by kicks; both keep the constraints. A
    step can be learned: it is ``h`` times a trained number ``stretch``, of either sign.

    Source: Andersen, J. Comput. Phys. 52 (1983) 24; Leimkuhler, Skeel, J. Comput. Phys. 112 (1994) 117;
    Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, VII.1.4.

    Examples:
        >>> import torch
        >>> from integrators import ConstrainedHamiltonian, Rattle
        >>> ball = ConstrainedHamiltonian("(p1**2 + p2**2 + p3**2)/2 + q3", ["q1**2 + q2**2 + q3**2 - 1"])
        >>> y = Rattle(ball, 0.1)(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.6, 0.2], dtype=torch.float64))
        >>> bool(ball.residual(y).abs().max() < 1e-15)
        True
    """

    requires: ClassVar[Any] = ConstrainedSystem
    implicit = True
    order = 2
    evaluations = 1
    projects: ClassVar[bool] = True
    system: ConstrainedSystem
    friction: Tensor
    stretch: Tensor | None

    def __init__(
        self,
        system: ConstrainedSystem,
        h: float,
        friction: float | Tensor = 0.0,
        input_gain: Tensor | None = None,
        stretch: nn.Parameter | None = None,
    ) -> None:
        """Bind.

        Args:
            system: A system with constraints.
            h: Step; negative steps go back in time.
            friction: Rate ``b`` of ``p' = -b p``; an ``nn.Parameter`` is trained with the rest of a model.
            input_gain: Constant generalised forces per input ``(d, m)``; None for no inputs.
            stretch: Factor of the step ``()`` that is trained with the rest of a model; None for one.

        Raises:
            ValueError: If friction or stretch is no number, stretch is zero, or the gain has the wrong shape.
        """
        super().__init__(system, h)
        rate = (
            friction if isinstance(friction, Tensor) else torch.tensor(float(friction), dtype=_dtype(system))
        )
        if rate.numel() != 1 or not math.isfinite(float(rate.detach())):
            raise ValueError(f"friction: expected one finite number, got {friction}")
        _register(self, "friction", rate)
        if stretch is not None and (stretch.ndim or not 0 < abs(float(stretch.detach())) < math.inf):
            raise ValueError(f"stretch: expected one finite number that is not zero, got {stretch}")
        _register(self, "stretch", stretch)
        self.damped = isinstance(rate, nn.Parameter) or float(rate) != 0
        if input_gain is not None and (input_gain.ndim != 2 or input_gain.shape[0] != system.degrees):
            raise ValueError(
                f"input_gain: expected shape ({system.degrees}, inputs), got {tuple(input_gain.shape)}"
            )
        _register(self, "input_gain", input_gain)
        self.control_size = 0 if input_gain is None else input_gain.shape[1]
        self.symplectic = self.projects and not self.damped
        self.symmetric, self.reversible = self.projects, self.symplectic

    @property
    def length(self) -> float | Tensor:
        """Length of a step, ``h`` times ``stretch``, differentiably."""
        return self.h if self.stretch is None else self.h * self.stretch

    @property
    def _size(self) -> float | Tensor:
        step = self.length
        return step.abs() if isinstance(step, Tensor) else abs(step)

    @property
    def duration(self) -> float:
        """Time that passes in a step."""
        return float(detached(self.length))

    def check_inputs(self, x: Tensor, control: Tensor | None = None) -> None:
        """Refuse states that are off the constraints, beside wrong shapes and dtypes.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)`` of one step, or ``None``.

        Raises:
            ValueError: If a shape is wrong or a state does not satisfy the constraints.
        """
        super().check_inputs(x, control)
        if torch.compiler.is_compiling():
            return
        with torch.no_grad():
            m = len(self.system.constraint_names)
            relative = self._relative_residual(x)[..., : 2 * m if self.projects else m]
            off = relative > torch.finfo(x.dtype).eps ** 0.5
            if any_true(off):
                raise ValueError(
                    "x: the states do not satisfy the constraints "
                    f"{', '.join(self.system.constraint_names)} and their velocities; system.residual(x) "
                    "says by how much, system.project(x) gives consistent states"
                )

    def _relative_residual(self, x: Tensor) -> Tensor:
        """Residuals over the size of the terms that they are the sum of; of rates, in a step at least."""
        q, p = x[..., : self.system.degrees], x[..., self.system.degrees :]
        slope, v = self.system.constraint_jacobian(q), self.system.velocity(p)
        size = apply(slope.abs(), q.abs())
        rate = apply(slope.abs(), v.abs()) + size / self._size
        sizes = torch.cat((size, rate), -1)
        return self.system.residual(x).abs() / torch.where(sizes > 0, sizes, 1.0)

    def step_residual(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the largest relative residual of the constraints after a step, shape ``(...)``."""
        return self._relative_residual(self(x, control)).amax(-1)

    def constants(self) -> Coefficients:
        """Compute the length of the step and the factor for friction."""
        fade = torch.exp(-0.5 * self.length * self.friction) if self.damped else None
        return Coefficients(self.length, fade, self.input_gain)

    def prepare(self, controls: Tensor | None, constants: Coefficients) -> Tensor | None:
        """Generalised forces ``(..., d)`` of inputs."""
        return None if controls is None or constants.gain is None else apply(constants.gain, controls)

    def start(self, x: Tensor, constants: Coefficients) -> RattleCarry:
        """Split states ``(..., 2 d)`` and compute the first force."""
        q, p = x[..., : self.system.degrees], x[..., self.system.degrees :]
        return RattleCarry(q, p, self.system.force(q))

    def finish(self, carry: RattleCarry, constants: Coefficients) -> Tensor:
        """Put positions and momenta together."""
        return torch.cat((carry.q, carry.p), -1)

    def advance(self, carry: RattleCarry, control: Tensor | None, constants: Coefficients) -> RattleCarry:
        """Solve one step; raises ``StepError`` where that does not succeed."""
        carry, status = self.try_advance(carry, control, constants)
        report(status)
        return carry

    def try_advance(
        self, carry: RattleCarry, control: Tensor | None, constants: Coefficients
    ) -> tuple[RattleCarry, Tensor]:
        """Solve one step, with a status per trajectory in place of an error."""
        q, p, force = carry
        half, fade = 0.5 * constants.step, constants.fade
        p = p if fade is None else fade * p
        p = p + half * (force if control is None else force + control)
        q, pull, status = self._drift(q, p, constants.step)
        p = p - pull
        force = self.system.force(q)
        p = p + half * (force if control is None else force + control)
        if self.projects:
            p = self._tangent(q, p)
        p = p if fade is None else fade * p
        finite = torch.isfinite(p).all(-1)
        status = torch.where(finite, status, status.clamp(min=int(Status.NON_FINITE)))
        return RattleCarry(q, p, force), status

    def _drift(self, q: Tensor, p: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Positions on the constraints after a step, the impulse of the constraints, and codes of status."""
        system = self.system
        free = q + h * system.velocity(p)
        slope = system.constraint_jacobian(q)
        reaction = system.velocity(slope)

        def end(multiplier: Tensor) -> Tensor:
            return free - h * (reaction * multiplier.unsqueeze(-1)).sum(-2)

        def matrix(multiplier: Tensor) -> Tensor:
            return h * system.constraint_jacobian(end(multiplier)) @ reaction.mT

        def newton(multiplier: Tensor) -> Tensor:
            return multiplier + solve(matrix(multiplier), system.constraint(end(multiplier)))

        scale, reach = q.detach().abs().amax(-1), (free - q).detach().abs().amax(-1)
        weight = detached(h) * reaction.detach().abs().sum(-2).amax(-1)
        multiplier, status = iterate(
            newton, torch.zeros_like(slope[..., 0]), scale, weight, ITERATIONS, reach=reach
        )
        if is_differentiated(system.constraint(end(multiplier))):
            constant = matrix(multiplier).detach()
            multiplier = attach(lambda a: a + solve(constant, system.constraint(end(a))), multiplier)
        return end(multiplier), (slope * multiplier.unsqueeze(-1)).sum(-2), status

    def _tangent(self, q: Tensor, p: Tensor) -> Tensor:
        """Momenta whose velocities keep the constraints."""
        slope = self.system.constraint_jacobian(q)
        reaction = self.system.velocity(slope)
        multiplier = solve(slope @ reaction.mT, apply(reaction, p))
        return p - (slope * multiplier.unsqueeze(-1)).sum(-2)

    def flip_velocities(self, x: Tensor) -> Tensor:
        """Change the sign of the momenta, and of time."""
        d = self.system.degrees
        return torch.cat((x[..., :d], -x[..., d:]), -1)

    def phase_derivative(self, x: Tensor, control: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Derivative of a step on the constraint manifold, and the symplectic form there before and after it.

        All are in coordinates of the tangent spaces ``{g' dq = 0, (G M^-1 p)' (dq, dp) = 0}``, scaled so that
        the form has determinant one.

        Args:
            x: States ``(batch, n)`` that satisfy the constraints.
            control: Inputs ``(batch, m)``, or ``None``.

        Returns:
            Three tensors ``(batch, k, k)``, ``k = 2 (d - m)``.
        """
        constants = self.constants()

        def step(z: Tensor, u: Tensor | None) -> Tensor:
            carry = self.advance(self.start(z, constants), self.prepare(u, constants), constants)
            return self.finish(carry, constants)

        whole = torch.func.vmap(torch.func.jacrev(step), (0, None if control is None else 0))(x, control)
        y = step(x, control)
        (first, before), (last, after) = (self._tangent_basis(z.detach()) for z in (x, y))
        inverse = last.mT / (last * last).sum(-2).unsqueeze(-1)
        return inverse @ whole @ first, before, after

    def _tangent_basis(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Basis of the tangent space in columns, and the symplectic form in it."""
        d = self.system.degrees
        normal = jacobian(self.system.residual, x).detach()
        basis = torch.linalg.qr(normal.mT, mode="complete")[0][..., normal.shape[-2] :]
        form = basis[..., :d, :].mT @ basis[..., d:, :]
        form = form - form.mT
        size = torch.linalg.det(form).abs() ** (-0.5 / form.shape[-1])
        return basis * size[..., None, None], form * (size**2)[..., None, None]

    def emit_carried(self, builder: KernelBuilder) -> Rows:
        """Reserve rows for the force."""
        return builder.rows(self.system.degrees)

    def emit_start(self, code: StepCode) -> None:
        """Write the first force."""
        q = code.state[: self.system.degrees]
        targets = [f"@{row} = {{}}" for row in code.carried]
        self.system.emit_force(code.builder, code.offset, q, [], targets)

    def emit_step(self, code: StepCode) -> None:
        """Write one step."""
        RattleCode(self.system, code, self.constants(), ITERATIONS).emit(self.projects)


class Shake(Rattle):
    """SHAKE: RATTLE without the last projection; the same positions, in exact arithmetic.

    The momenta miss a part along the constraint forces of size ``h``, which does not feed back. They lie off
    the tangent space, so that the map is neither symmetric nor symplectic in them: use ``Rattle`` unless the
    positions alone matter.

    Source: Ryckaert, Ciccotti, Berendsen, J. Comput. Phys. 23 (1977) 327; Leimkuhler, Skeel, J. Comput. Phys.
    112 (1994) 117.
    """

    order = 1
    projects = False


def _dtype(system: nn.Module) -> torch.dtype:
    return next((t.dtype for t in system.state_dict().values() if t.is_floating_point()), torch.float64)


def _register(module: nn.Module, name: str, value: Tensor | None) -> None:
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)
