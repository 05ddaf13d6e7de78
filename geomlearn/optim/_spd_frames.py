"""How the parameters of an optimizer are factored, and whether their factors still belong to them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lie import SPDManifold, StructuredFactor, StructuredSPD

from ._manifold_parameter import ManifoldParameter
from ._spd_core import first_factor, matrix_of
from ._spd_rule import approximation_on, frame_of, require_safe


class Frame(NamedTuple):
    """How a parameter is factored."""

    manifold: SPDManifold | StructuredSPD
    factor: StructuredFactor
    h: str | None
    inverse: bool


def frame_for(p: Tensor, group: dict[str, Any]) -> Frame | None:
    """Find how a parameter is factored.

    Args:
        p: The parameter.
        group: Options of its group.

    Returns:
        The frame; None for a parameter of a vector space.

    Raises:
        ValueError: If it is on another manifold, or its structure does not go with the options.
    """
    if not isinstance(p, ManifoldParameter):
        return None
    M = p.manifold
    if not isinstance(M, SPDManifold | StructuredSPD):
        raise ValueError(
            f"params: SPDMomentum moves SPD matrices and parameters of vector spaces, not a ManifoldParameter"
            f" on {M!r}; give it to RiemannianSGD or RiemannianAdam"
        )
    factor, h = frame_of(M, group["inverse"]), approximation_on(M, group["h"])
    require_safe(factor, h, group["h"], group["step_bound"])
    return Frame(M, factor, h, group["inverse"])


def factor_and_momentum(
    frame: Frame, p: Tensor, state: dict[str, Any] | None, moment: str, *, known: bool
) -> tuple[Tensor, Tensor | None]:
    """Give the factor of a parameter and its momentum, the factor anew if it belongs to another matrix.

    Args:
        frame: How the parameter is factored.
        p: The parameter.
        state: Its state, None or empty before its first step.
        moment: Key of the momentum.
        known: Whether nobody else has written to the parameter since its last step.

    Returns:
        The factor, and the momentum or None where there is none.

    Raises:
        ValueError: If the parameter has been made what it must not be.
    """
    if not state:
        return first_factor(frame.manifold, p.detach(), inverse=frame.inverse), None
    A, z = state["factor"], state.get(moment)
    if known:
        return A, z
    near = A.to(p)
    if _belongs(frame, near, p, A.dtype):
        return near, None if z is None else z.to(p)
    return first_factor(frame.manifold, p.detach(), inverse=frame.inverse), None


def _belongs(frame: Frame, A: Tensor, p: Tensor, kept: torch.dtype) -> bool:
    """Whether a factor belongs to a parameter, up to the rounding of the dtype in which it was kept."""
    if not torch.equal(frame.factor.nearest(A), A):
        return False
    eps = max(torch.finfo(p.dtype).eps, torch.finfo(kept).eps)
    error = (matrix_of(frame.factor, A, inverse=frame.inverse) - p).abs()
    return bool((error <= 100 * frame.factor.n * eps * p.abs().amax((-2, -1), keepdim=True)).all())


def version(p: Tensor) -> tuple[int, int]:
    """What changes when a parameter is written to, or given other storage."""
    return p._version, p.data_ptr()
