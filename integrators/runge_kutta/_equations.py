"""The equations of the stages of one step, in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._fixed_point import Function, jacobian

if TYPE_CHECKING:
    from ._stages import StageMethod

NOISE_OF_STATE = 1e-5
"""Changes of slopes that rounding of the state explains, in units of the noise level times the state."""


class StageEquations:
    """The equations ``L_i = h b_i f(x + sum_j m_ij L_j)`` of one step for flat slopes ``(..., s n)``."""

    def __init__(
        self, method: StageMethod, x: Tensor, control: Tensor | None, error: Tensor | None = None
    ) -> None:
        """Bind the states ``(..., n)``, their rounding errors, and the inputs ``(..., s, m)`` of a step."""
        self.system, self.x, self.control, self.error = method.system, x, control, error
        self.weights = method.weights(x).unsqueeze(-1)
        self.groups = [(i, k, m.to(x.device)) for i, k, m in method.couplings(x.dtype)]

    def stages(self, flat: Tensor) -> Tensor:
        """States of the stages ``(..., s, n)``."""
        slopes = flat.unflatten(-1, (len(self.weights), self.x.shape[-1]))
        parts = [m @ slopes[..., i:k] for i, k, m in self.groups]
        sums = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return self.x.unsqueeze(-2) + (sums if self.error is None else sums - self.error.unsqueeze(-2))

    def sweep(self, flat: Tensor) -> Tensor:
        """The right-hand side."""
        return (self.weights * self.system.field(self.stages(flat), self.control)).flatten(-2)

    def inverse(self, at: Tensor) -> Tensor:
        """Inverse of one minus the derivative of ``sweep``, the field's derivative taken at given stages."""
        local = jacobian(lambda y: self.system.field(y, self.control), at).detach()
        local = self.weights.unsqueeze(-1) * local
        blocks = [local[..., :, :, None, i:k] * m[:, None, :, None] for i, k, m in self.groups]
        n = len(self.weights) * self.x.shape[-1]
        whole = torch.cat(blocks, -1).reshape(*self.x.shape[:-1], n, n)
        return torch.linalg.inv_ex(torch.eye(n, dtype=at.dtype, device=at.device) - whole).inverse

    @staticmethod
    def newton(sweep: Function, inverse: Tensor) -> Function:
        """Newton's step with a constant matrix."""
        return lambda flat: flat + (inverse @ (sweep(flat) - flat).unsqueeze(-1)).squeeze(-1)
