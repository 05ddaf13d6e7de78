"""Parameters of vector spaces, stepped by torch's own function of lists."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.sgd import sgd


def step_flat(optimizer: Optimizer, group: dict[str, Any], parameters: list[Tensor], moment: str) -> None:
    """Step parameters as ``torch.optim.SGD`` does.

    Args:
        optimizer: Whose state holds the momentum buffers.
        group: Options; without dampening or nesterov there is none.
        parameters: The parameters, with gradients.
        moment: Key of the momentum buffers.
    """
    buffers = [optimizer.state[p].get(moment) for p in parameters]
    gradients = [p.grad for p in parameters if p.grad is not None]
    sgd(
        parameters,
        gradients,
        buffers,
        foreach=group["foreach"],
        weight_decay=group["weight_decay"],
        momentum=group["momentum"],
        lr=group["lr"],
        dampening=group.get("dampening", 0.0),
        nesterov=group.get("nesterov", False),
        maximize=group["maximize"],
    )
    if group["momentum"]:
        for p, buffer in zip(parameters, buffers, strict=True):
            optimizer.state[p][moment] = buffer
