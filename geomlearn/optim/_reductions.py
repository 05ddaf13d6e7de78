"""Inner products and norms of lists of tensors, over devices and dtypes, in float64 at the end."""

from __future__ import annotations

import torch
from torch import Tensor


def products(gradients: list[Tensor], velocities: list[Tensor], device: torch.device) -> Tensor:
    """Compute ⟨g, v⟩, ‖g‖ and ‖v‖ over all tensors of two lists of real tensors.

    Tensors of half precision are summed in float32, everything across tensors in float64.

    Args:
        gradients: The tensors g.
        velocities: The tensors v, of the same shapes.
        device: Where the result is wanted.

    Returns:
        The three numbers, shape (3,), float64.
    """
    if not gradients:
        return torch.zeros(3, dtype=torch.float64, device=device)
    inner = [_inner(g, v).to(device, torch.float64) for g, v in zip(gradients, velocities, strict=True)]
    return torch.stack([torch.stack(inner).sum(), _norm(gradients, device), _norm(velocities, device)])


def _inner(g: Tensor, v: Tensor) -> Tensor:
    wide = torch.promote_types(g.dtype, torch.float32)
    return torch.dot(g.detach().reshape(-1).to(wide), v.detach().reshape(-1).to(wide))


def _norm(tensors: list[Tensor], device: torch.device) -> Tensor:
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel():
            kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor.detach())
    norms = [
        norm.to(device, torch.float64)
        for (_, dtype), kind in kinds.items()
        for norm in torch._foreach_norm(kind, 2, torch.promote_types(dtype, torch.float32))
    ]
    if not norms:
        return torch.zeros((), dtype=torch.float64, device=device)
    return torch.linalg.vector_norm(torch.stack(norms))
