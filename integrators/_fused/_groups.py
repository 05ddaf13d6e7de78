"""Groups whose operations run as one compiled loop over the batch."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from lie import SE3, SO3, LieGroup, UnitQuaternion

from . import _quaternion_elements, _se3_elements, _so3_elements
from ._operation import Operation
from ._tables import Layout, adjoint, distance, inverse, operations

_Group = TypeVar("_Group", bound=LieGroup)


class FusedGroup(LieGroup):
    """What the fused groups share; ``_plain`` is the group in torch, ``_operations`` replaces its methods."""

    _plain: LieGroup
    _operations: dict[str, Operation]

    def __repr__(self) -> str:
        return f"integrators.fused({self._plain!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) in (type(self), type(self._plain))

    def __hash__(self) -> int:
        return hash(self._plain)

    def __reduce__(self) -> tuple[Any, ...]:
        return fused, (self._plain,)

    def exp(self, xi: Tensor) -> Tensor:
        return self._operations["exp"](xi)

    def log(self, g: Tensor, *, check: bool = True) -> Tensor:
        return self._operations["log"](g, check=check)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self._operations["compose"](a, b)

    def inverse(self, g: Tensor) -> Tensor:
        own = self._operations.get("inverse")
        return self._plain.inverse(g) if own is None else own(g)

    def act(self, g: Tensor, points: Tensor) -> Tensor:
        return self._operations["act"](g, points)

    def Ad(self, g: Tensor) -> Tensor:
        own = self._operations.get("Ad")
        return self._plain.Ad(g) if own is None else own(g)

    def plus(self, g: Tensor, xi: Tensor) -> Tensor:
        return self._operations["plus"](g, xi)

    def minus(self, h: Tensor, g: Tensor, *, check: bool = True) -> Tensor:
        return self._operations["minus"](h, g, check=check)

    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        own = self._operations.get("distance")
        if own is None:
            return torch.linalg.vector_norm(self._step(x, y, check), dim=-1)
        return own(x, y, check=check)

    def interpolate(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        step = self._step(x, y, check)
        s = s if isinstance(s, Tensor) else torch.tensor(s, dtype=step.dtype, device=step.device)
        return self.plus(x, s.unsqueeze(-1) * step)

    def _difference(self, h: Tensor, g: Tensor, name: str, check: bool) -> Tensor:
        return self._operations["minus"](h, g, check=False)

    def _step(self, x: Tensor, y: Tensor, check: bool) -> Tensor:
        """The logarithm of x^-1 y, the elements checked in the same loop."""

        def refuse() -> None:
            self._require_pair(x, "x", y, "y", True)

        return self._operations["minus"](y, x, check=check, refuse=refuse)


class _SquaredDistance(FusedGroup):
    """Of groups whose squared distance is that of the logarithm."""

    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        return self._step(x, y, check).square().sum(-1)


class FusedRotations(FusedGroup, type(SO3)):  # type: ignore[misc]
    """``lie.SO3`` with compiled loops; ``inverse`` and ``Ad`` are views there already."""

    def __init__(self) -> None:
        super().__init__()
        self._plain, layout = SO3, Layout("so3", _so3_elements, (3, 3), (3, 3))
        self._operations = {**operations(SO3, layout), "distance": distance(SO3, layout)}


class FusedRigidMotions(_SquaredDistance, type(SE3)):  # type: ignore[misc]
    """``lie.SE3`` with compiled loops."""

    def __init__(self) -> None:
        super().__init__()
        self._plain, layout = SE3, Layout("se3", _se3_elements, (3, 4), (4, 4), (0.0, 0.0, 0.0, 1.0))
        self._operations = {
            **operations(SE3, layout),
            "inverse": inverse(SE3, layout),
            "Ad": adjoint(SE3, layout),
        }


class FusedQuaternions(_SquaredDistance, type(UnitQuaternion)):  # type: ignore[misc]
    """``lie.UnitQuaternion`` with compiled loops."""

    def __init__(self) -> None:
        super().__init__()
        self._plain, layout = UnitQuaternion, Layout("quaternion", _quaternion_elements, (1, 4), (1, 4))
        self._operations = {
            **operations(UnitQuaternion, layout),
            "inverse": inverse(UnitQuaternion, layout),
            "Ad": adjoint(UnitQuaternion, layout),
            "distance": distance(UnitQuaternion, layout),
        }


_FUSED: dict[type[LieGroup], FusedGroup] = {
    type(group._plain): group for group in (FusedRotations(), FusedRigidMotions(), FusedQuaternions())
}


def fused(group: _Group) -> _Group:
    """Give a group whose operations run as one compiled loop over the batch instead of a chain of torch ones.

    The result is used like the group: same methods, shapes, dtypes, messages and values up to rounding. On
    plain CPU tensors ``exp``, ``log``, ``compose``, ``inverse``, ``act``, ``Ad``, ``plus``, ``minus`` and
    ``distance`` are compiled with numba, and so are their gradients; batches of many elements use as many
    threads as torch does. Inside ``torch.func`` transforms, ``torch.compile``, forward mode and autocast, for
    CUDA tensors and for derivatives of derivatives the group's torch operations run, with the same results.
    The last row of rigid motions is taken to be 0, 0, 0, 1, and gradients are 0 there.

    The first call of an operation compiles it, a second or two in each direction; the result is kept on disk,
    in ``integrators.kernels.cache_folder``.

    Args:
        group: ``lie.SO3``, ``lie.SE3`` or ``lie.UnitQuaternion``.

    Returns:
        The fused group: an instance of the group's class, equal to it.

    Raises:
        ValueError: If the group is another.

    Example:
        >>> import lie, torch
        >>> SE3 = fused(lie.SE3)
        >>> SE3
        integrators.fused(lie.SE3)
        >>> SE3 == lie.SE3
        True
        >>> SE3.exp(torch.zeros(5, 6)).shape
        torch.Size([5, 4, 4])
    """
    if isinstance(group, FusedGroup):
        return group
    found = _FUSED.get(type(group))
    if found is None:
        raise ValueError(
            f"group must be lie.SO3, lie.SE3 or lie.UnitQuaternion, got {group!r}; use {group!r} as it is."
        )
    return cast(_Group, found)
