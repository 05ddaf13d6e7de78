"""Derivative of a flow map in the tangent coordinates of its state space."""

from __future__ import annotations

import torch
from torch import Tensor

from .._flow import FlowMap
from .._state import StateSpace


def tangent_size(space: StateSpace) -> int:
    """Dimension of the manifold of states.

    Args:
        space: The layout.

    Returns:
        Sum of the dimensions of the parts.
    """
    return sum(part.size if part.manifold is None else part.manifold.dim for part in space.parts)


def displace(space: StateSpace, x: Tensor, delta: Tensor) -> Tensor:
    """State at tangent coordinates ``delta`` around ``x``: ``g exp(xi)`` on groups, a sum elsewhere.

    Args:
        space: The layout.
        x: States ``(..., n)``.
        delta: Coordinates ``(..., d)``.

    Returns:
        States ``(..., n)``.
    """
    view, blocks, first = space.view(x), {}, 0
    for part in space.parts:
        size = part.size if part.manifold is None else part.manifold.dim
        step = delta[..., first : first + size]
        first += size
        if part.manifold is None:
            blocks[part.name] = view[part.name] + step.reshape(*step.shape[:-1], *part.shape)
        else:
            blocks[part.name] = part.manifold.plus(view[part.name], step)
    return space.pack(**blocks)


def local(space: StateSpace, origin: Tensor, y: Tensor) -> Tensor:
    """Tangent coordinates of ``y`` around ``origin``.

    Args:
        space: The layout.
        origin: States ``(..., n)``.
        y: States ``(..., n)``.

    Returns:
        Coordinates ``(..., d)``.
    """
    base, view, blocks = space.view(origin), space.view(y), []
    for part in space.parts:
        if part.manifold is None:
            blocks.append((view[part.name] - base[part.name]).reshape(*y.shape[:-1], -1))
        else:
            blocks.append(part.manifold.minus(view[part.name], base[part.name], check=False))
    return torch.cat(blocks, dim=-1)


def tangent_map(flow: FlowMap, x: Tensor, control: Tensor | None = None) -> Tensor:
    """Derivative of one step in tangent coordinates.

    Args:
        flow: The map.
        x: States ``(batch, n)``.
        control: Inputs ``(batch, m)``.

    Returns:
        ``(batch, d, d)``.
    """
    d = tangent_size(flow.space)
    with torch.enable_grad():
        delta = torch.zeros(len(x), d, dtype=x.dtype, device=x.device, requires_grad=True)
        y = flow(displace(flow.space, x.detach(), delta), control)
        coordinates = local(flow.space, y.detach(), y)
        rows = [
            torch.autograd.grad(coordinates[:, i].sum(), delta, retain_graph=i + 1 < d)[0] for i in range(d)
        ]
    return torch.stack(rows, dim=-2)
