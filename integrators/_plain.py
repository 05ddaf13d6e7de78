"""Whether hand-written derivatives may stand in for torch operations."""

from __future__ import annotations

import torch
from torch import Tensor

_ORDINARY = (Tensor, torch.nn.Parameter)


def runs_plainly(*tensors: Tensor) -> bool:
    """Whether operations on these tensors are only carried out, and at most recorded by autograd.

    Then a result may come from outside torch, or from an ``autograd.Function`` with a derivative written by
    hand. Otherwise, that is under ``torch.func`` transforms, forward mode, batched cotangents,
    ``torch.compile``, tracing, dispatch modes, autocast and for subclasses of tensors, only torch operations
    do what is asked for.

    Args:
        *tensors: The operands.

    Returns:
        Whether nothing transforms, traces, converts or intercepts the operations.

    Example:
        >>> x = torch.zeros(3)
        >>> runs_plainly(x)
        True
        >>> torch.func.vmap(lambda v: v * runs_plainly(v))(x + 1)
        tensor([0., 0., 0.])
    """
    if torch.compiler.is_compiling():
        return False
    for tensor in tensors:
        if type(tensor) not in _ORDINARY or torch._C._functorch.is_legacy_batchedtensor(tensor):
            return False
    return not (
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack()
        or torch._C._is_any_autocast_enabled()
        or torch._C._get_tracing_state() is not None
    )
