"""Groups of parameters: those of layers with curvature, and those that are stepped by AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import require, require_one_number
from .._manifold_parameter import ManifoldParameter
from ._updates import FALLBACK, check_fallback

NATURAL, ADAMW = "natural", "adamw"
"""Methods of groups."""

_NATURAL = ("lr", "momentum", "weight_decay")


def named_parameters(params: object, names: Mapping[Tensor, str], first: int) -> list[tuple[str, Tensor]]:
    """Give names to the parameters of a group.

    Args:
        params: A tensor, an iterable of tensors, or one of pairs of names and tensors.
        names: Names that are known.
        first: Number of the first parameter without one.

    Returns:
        Pairs of names and tensors.

    Raises:
        TypeError: If there is something else.
        ValueError: If a parameter has no values yet.
    """
    if isinstance(params, Tensor):
        params = [params]
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors "
            "in sets will change between runs. Please use a list instead."
        )
    if not isinstance(params, Iterable):
        raise TypeError(f"params: expected tensors or named tensors, got {type(params).__name__}.")
    named = []
    for number, entry in enumerate(params, first):
        name, p = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, entry)
        if not isinstance(p, Tensor):
            raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p)}")
        if isinstance(p, nn.parameter.UninitializedParameter):
            raise ValueError(
                f"params: {name or names.get(p, number)} is not initialized yet; call the model once before "
                "the optimizer is made."
            )
        named.append((name or names.get(p) or f"parameter{number}", p))
    return named


def split_group(
    group: Mapping[str, Any],
    named: list[tuple[str, Tensor]],
    curved: Iterable[Tensor],
    fallback: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Split a group into one of parameters with curvature and one of others; the empty ones are left out.

    Options that the group gives are for all its parameters.

    Args:
        group: Options, without the parameters.
        named: Parameters with their names.
        curved: Parameters of layers with curvature.
        fallback: Options of the fallback where the group gives none.

    Returns:
        The groups, with unchecked options.
    """
    known = set(curved)
    layers = [pair for pair in named if pair[1] in known]
    others = [pair for pair in named if pair[1] not in known]
    groups = []
    if layers:
        groups.append({**group, "params": layers, "method": NATURAL})
    if others:
        _refuse_manifolds(others)
        groups.append({**FALLBACK, **fallback, **group, "params": others, "method": ADAMW})
    return groups


def check_group(group: dict[str, Any]) -> None:
    """Refuse options out of range.

    Args:
        group: A group with all its options.
    """
    if group["method"] == ADAMW:
        check_fallback(group)
        return
    require_one_number(group, "lr")
    for name in _NATURAL:
        require(group, name, bool(group[name] >= 0), "a number >= 0")
    require(group, "momentum", group["momentum"] < 1, "a number < 1")


def described(group: Mapping[str, Any]) -> str:
    """Describe a group in words."""
    options = [
        "lr",
        *(("betas", "eps") if group["method"] == ADAMW else ("momentum",)),
        "weight_decay",
        "maximize",
    ]
    words = ", ".join(f"{key}={group[key]!r}" for key in options)
    return f"{group['method']}, {len(group['params'])} parameters, {words}"


def _refuse_manifolds(named: list[tuple[str, Tensor]]) -> None:
    for name, p in named:
        if isinstance(p, ManifoldParameter):
            raise ValueError(
                f"params: {name} is on {p.manifold!r}, off which the steps of this optimizer would move it; "
                "leave it out (params=...) and give it to RiemannianAdam, RiemannianSGD or SPDMomentum."
            )


def gradients_of(groups: Iterable[Mapping[str, Any]]) -> dict[Tensor, Tensor]:
    """Collect the gradients that parameters hold.

    Args:
        groups: Groups of parameters.

    Returns:
        The gradients by parameter, where there are any.

    Raises:
        RuntimeError: If one is sparse.
    """
    found = {}
    for group in groups:
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.layout is not torch.strided:
                raise RuntimeError(
                    "StructuredNaturalGradient does not take sparse gradients; use sparse=False, or "
                    "torch.optim.SparseAdam for that parameter."
                )
            found[p] = p.grad
    return found


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no entry is infinite or NaN; one word from each device for each dtype."""
    alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel():
            alike.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return all(_finite(some) for some in alike.values())


def _finite(alike: list[Tensor]) -> bool:
    """The same for tensors of one device and dtype, by norms, which read them several times faster."""
    wide = torch.promote_types(alike[0].dtype, torch.float32)
    if bool(torch.stack(torch._foreach_norm(alike, 2, dtype=wide)).isfinite().all()):
        return True
    # The norm of finite entries may overflow.
    return bool(torch.stack([x.isfinite().all() for x in alike]).all())
