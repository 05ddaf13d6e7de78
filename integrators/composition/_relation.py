"""How two flow maps are related, which decides what a composition of them may claim and share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._flow import FlowMap

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_STEP = ("h", "stretch")


def same_but_step(a: FlowMap, b: FlowMap) -> bool:
    """Whether two maps differ at most in their steps, so that one can take over the carry of the other.

    Args:
        a: A map.
        b: Another.

    Returns:
        Whether they have the same class, settings, parameters and modules.
    """
    if a is b:
        return True
    if type(a) is not type(b) or a.step_in_carry:
        return False
    if "shares" in a.__dict__:
        parts = zip(a.maps, b.maps, strict=True)  # type: ignore[arg-type]
        return a.shares == b.shares and all(same_but_step(x, y) for x, y in parts)
    first, second = ({k: v for k, v in m.__dict__.items() if k not in (*_STEP, *_REGISTRIES)} for m in (a, b))
    if first.keys() != second.keys() or not all(_equal(v, second[k]) for k, v in first.items()):
        return False
    return all(_identical(a.__dict__[name], b.__dict__[name]) for name in _REGISTRIES)


def same_map(a: FlowMap, b: FlowMap) -> bool:
    """Whether two maps are the same up to rounding of their steps.

    Args:
        a: A map.
        b: Another.

    Returns:
        Whether they differ at most in the last digits of ``h``.
    """
    stretched = getattr(a, "stretch", None) is getattr(b, "stretch", None)
    return same_but_step(a, b) and stretched and abs(a.h - b.h) <= 1e-14 * abs(a.h)


def adjoint_to_each_other(a: FlowMap, b: FlowMap) -> bool:
    """Whether one map is the adjoint of the other.

    Args:
        a: A map.
        b: Another.

    Returns:
        Whether that is known.
    """
    if a.symmetric and b.symmetric:
        return same_map(a, b)
    try:
        return same_map(a.adjoint(), b) or same_map(a, b.adjoint())
    except NotImplementedError:
        return False


def _identical(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(a[name] is b[name] for name in a if name not in _STEP)


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, Tensor) or isinstance(b, Tensor) or type(a) is not type(b):
        return False
    try:
        return bool(a == b)
    except (TypeError, ValueError, RuntimeError):
        return False
