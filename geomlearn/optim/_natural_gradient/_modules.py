"""The modules of torch that have layers with curvature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive entries of a parameter along its first dimension, all of them where ``rows`` is None.

    Attributes:
        name: Qualified name of the parameter.
        parameter: The parameter.
        rows: First of the entries, and the one behind the last.
    """

    name: str
    parameter: Tensor
    rows: tuple[int, int] | None = None

    def of(self, whole: Tensor) -> Tensor:
        """Take the part of a tensor like the parameter, as a view."""
        return whole if self.rows is None else whole[self.rows[0] : self.rows[1]]


class Candidate(NamedTuple):
    """A weight and a bias of a module that may be a layer.

    Attributes:
        name: Name of the layer.
        module: Name of the module.
        kind: "linear", "conv", "embedding" or "norm".
        weight: The weight.
        bias: The bias, or None.
        groups: Number of groups of channels.
    """

    name: str
    module: str
    kind: str
    weight: Part
    bias: Part | None
    groups: int = 1


def candidates(name: str, module: nn.Module) -> Iterator[Candidate]:
    """Find the layers of a module, those of its submodules left out.

    Args:
        name: Qualified name of the module.
        module: The module.

    Yields:
        The layers that it has by its type, whether trained or not.
    """
    if isinstance(module, nn.MultiheadAttention):
        yield from _projections(name, module)
        return
    kind = _kind(module)
    # A parametrised weight is computed: the module has no parameter of that name.
    weight = None if kind is None else module._parameters.get("weight")
    if kind is None or weight is None:
        return
    bias = module._parameters.get("bias")
    groups = module.groups if isinstance(module, _CONVOLUTIONS) else 1
    yield Candidate(
        name,
        name,
        kind,
        Part(_join(name, "weight"), weight),
        None if bias is None else Part(_join(name, "bias"), bias),
        groups,
    )


def _kind(module: nn.Module) -> str | None:
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, _CONVOLUTIONS):
        return "conv"
    if isinstance(module, nn.Embedding):
        return None if module.scale_grad_by_freq else "embedding"
    return "norm" if isinstance(module, _NORMS) else None


def _projections(name: str, module: nn.MultiheadAttention) -> Iterator[Candidate]:
    """The projections of queries, keys and values, from packed or separate weights."""
    size = module.embed_dim
    for number, letter in enumerate("qkv"):
        rows = (number * size, (number + 1) * size)
        packed = module._parameters.get("in_proj_weight")
        separate = module._parameters.get(f"{letter}_proj_weight")
        bias = module._parameters.get("in_proj_bias")
        if packed is not None:
            weight = Part(_join(name, "in_proj_weight"), packed, rows)
        elif separate is not None:
            weight = Part(_join(name, f"{letter}_proj_weight"), separate)
        else:
            continue
        shift = None if bias is None else Part(_join(name, "in_proj_bias"), bias, rows)
        yield Candidate(_join(name, letter), name, "linear", weight, shift)


def _join(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
