"""Steps onto level sets that are as symmetric as the method."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._fixed_point import solve_fixed_point
from .._flow import FlowMap
from .._linear import apply
from .._method import StepCode
from ._field import ProjectedField
from ._manifold import LevelSet
from ._step import LevelCarry, ProjectedStep


class SymmetricProjectedStep(ProjectedStep):
    """A symmetric method between two equal shifts along the gradients, which end on the level of the start.

    ``x' = x + G(x)^T m``, ``y' = step(x')``, ``y = y' + G(y)^T m`` with ``g(y) = c``, the same ``m`` twice.
    The step is symmetric if the method is, which a projection after the step never is; it is not
    symplectic. ``m`` and ``y`` are found by iteration until rounding stops it; derivatives are those of the
    implicit function. Rollouts are in torch.

    Source: Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006, V.4.1.

    Examples:
        >>> import torch
        >>> from integrators import ImplicitMidpoint, ProjectedField, SymmetricProjectedStep, VectorField
        >>> field = ProjectedField(VectorField({"a": "-b*(1 + a)", "b": "a*(1 + a)"}), ["a**4 + b**2"])
        >>> flow = SymmetricProjectedStep(ImplicitMidpoint(field, 0.1))
        >>> x = torch.tensor([0.5, 0.2], dtype=torch.float64)
        >>> bool((flow.inverse(flow(x)) - x).abs().max() < 1e-14)
        True
    """

    def __init__(
        self,
        method: FlowMap,
        tolerance: float | None = None,
        project_initial: bool = False,
        onto: ProjectedField | None = None,
    ) -> None:
        """Bind.

        Args:
            method: A method bound to a ``ProjectedField`` in the Euclidean metric, or any flow map if
                ``onto`` is given.
            tolerance: Largest residual after a step, relative to the size of the terms of the constraints.
            project_initial: Whether the first state is moved onto the constraints.
            onto: The field with the constraints, where it is not that of the method.

        Raises:
            ValueError: If the metric is another, or time occurs.
        """
        super().__init__(method, 1, tolerance, project_initial, onto)
        if not isinstance(self.field.manifold, LevelSet):
            raise ValueError(
                f"method: expected metric='euclidean', got {self.field.metric!r}; for mechanics Rattle is "
                "symmetric and symplectic"
            )
        if self.field.timed:
            raise ValueError("method: expected constraints and a field without t")
        self.symmetric = method.symmetric
        self.evaluations = None

    def try_advance(
        self, carry: LevelCarry, control: Tensor | None, constants: Any
    ) -> tuple[LevelCarry, Tensor]:
        """Solve one step, with a status per trajectory in place of an error."""
        x, level = carry
        manifold, n = self.field.manifold, self.field.n
        inputs = self.inner.prepare(self._inputs(control, level), constants)
        first = manifold.slopes(manifold.seen(x))[0]

        def step(m: Tensor) -> Tensor:
            shifted = x + apply(first.mT, m)
            inner = self.inner.try_advance(self.inner.start(shifted, constants), inputs, constants)[0]
            return self.inner.finish(inner, constants)

        def sweep(w: Tensor) -> Tensor:
            y, m = w[..., :n], w[..., n:]
            slope = manifold.slopes(manifold.seen(y))[0]
            off = manifold.residual(y, level)
            m = m - 0.5 * manifold.correct(slope, slope.mT, torch.zeros_like(y), off)[1]
            return torch.cat((step(m) + apply(slope.mT, m), m), -1)

        none = torch.zeros_like(first[..., 0])
        start = torch.cat((step(none), none), -1).detach()
        w, status = solve_fixed_point(sweep, start, x.detach().abs().amax(-1))
        y = w[..., :n]
        return LevelCarry(y, level), torch.maximum(status, self._missed(y, level))

    def emit_step(self, code: StepCode) -> None:
        """There is no kernel."""
        raise TypeError("symmetric projection has no kernel code")
