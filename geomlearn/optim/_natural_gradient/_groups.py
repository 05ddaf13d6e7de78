"""Groups of parameters: those of layers with curvature, and those that are stepped by AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._checks import require, require_one_number
from .._manifold_parameter import ManifoldParameter
from ._updates import FALLBACK, check_fallback

NATURAL, ADAMW = "natural", "adamw"
"""Methods of groups."""

_NATURAL = ("lr", "momentum", "weight_decay")


def entries_of(params: object) -> list[Any]:
    """List the parameters of a group as they are given, tensors or pairs of names and tensors.

    Args:
        params: A tensor, or an ordered collection.

    Returns:
        The entries.

    Raises:
        TypeError: If it is no such collection, or an entry is no tensor.
    """
    if isinstance(params, Tensor):
        return [params]
    if isinstance(params, set) or not isinstance(params, Iterable):
        raise TypeError(f"params: expected an ordered collection of tensors, got {type(params).__name__}.")
    entries = list(params)
    for entry in entries:
        if not isinstance(parameter_of(entry), Tensor):
            raise TypeError(f"params: expected tensors or named tensors, got {entry!r}.")
    return entries


def parameter_of(entry: Any) -> Any:
    """The parameter of an entry, with or without its name."""
    return entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry


def split_group(
    group: Mapping[str, Any],
    entries: list[Any],
    curved: Iterable[Tensor],
    fallback: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Split a group into one of parameters with curvature and one of others; the empty ones are left out.

    Options that the group gives are for all its parameters.

    Args:
        group: Options, without the parameters.
        entries: Parameters, with or without names.
        curved: Parameters of layers with curvature.
        fallback: Options of the fallback where the group gives none.

    Returns:
        The groups, with unchecked options.
    """
    known = set(curved)
    layers = [entry for entry in entries if parameter_of(entry) in known]
    others = [entry for entry in entries if parameter_of(entry) not in known]
    groups = []
    if layers:
        groups.append({**group, "params": layers, "method": NATURAL})
    if others:
        _refuse_manifolds(map(parameter_of, others))
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


def _refuse_manifolds(parameters: Iterable[Tensor]) -> None:
    for p in parameters:
        if isinstance(p, ManifoldParameter):
            raise ValueError(
                f"params: a parameter of shape {tuple(p.shape)} is on {p.manifold!r}, off which the steps of "
                "this optimizer would move it; leave it out (params=...) and give it to RiemannianAdam, "
                "RiemannianSGD or SPDMomentum."
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
