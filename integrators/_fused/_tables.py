"""The operations of each group: their loops, and what those of the cotangents read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from lie import LieGroup, device

from ..kernels._lane_math import LARGEST_ANGLE
from ._kernel import Kernel
from ._operation import COTANGENT, RESULT, Operation, Pullback

MEMBER = 5e-4
"""A sum of defects up to which elements are members; beyond it the group, with its wider bound, decides."""

_ANGLES = {dtype: angle * angle for dtype, angle in LARGEST_ANGLE.items()}
_DEFECTS = {torch.float32: MEMBER, torch.float64: MEMBER}
_POINT, _NUMBER = (1, 3), (1, 1)


@dataclass(frozen=True)
class Layout:
    """How the elements of a group lie in memory.

    Attributes:
        prefix: What the names of its functions begin with.
        elements: Those that ``lie.device`` does not have.
        element: Rows and columns that its functions read.
        whole: Rows and columns that tell whether an element is in the group.
        bottom: Entries of a result after those.
    """

    prefix: str
    elements: ModuleType
    element: tuple[int, int]
    whole: tuple[int, int]
    bottom: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of entries that the functions read."""
        return self.element[0] * self.element[1]

    def function(self, name: str) -> Callable[..., Any]:
        """Find a function of the group.

        Args:
            name: Its name without the prefix.

        Returns:
            The function.
        """
        full = f"{self.prefix}_{name}"
        found: Callable[..., Any] = getattr(self.elements, full, None) or getattr(device, full)
        return found

    def value(
        self,
        name: str,
        *reads: tuple[int, int],
        bounds: dict[torch.dtype, float] | None = None,
        lanes: bool = False,
    ) -> Kernel:
        """Make the loop whose result is an element of the group, or one of its cotangents where none is bad.

        Args:
            name: Name of the function.
            *reads: What it reads.
            bounds: Of a value, the bounds of the number that tells bad ones.
            lanes: Whether blocks are transposed.

        Returns:
            The loop.
        """
        return Kernel(self.function(name), reads, self.size, self.bottom, bounds, lanes)

    def cotangent(self, name: str, *reads: tuple[int, int], lanes: bool = False) -> Kernel:
        """Make the loop whose result is the cotangent of an element.

        Args:
            name: Name of the function.
            *reads: What it reads.
            lanes: Whether blocks are transposed.

        Returns:
            The loop.
        """
        return Kernel(self.function(name), reads, self.size, (0.0,) * len(self.bottom), None, lanes)


def operations(group: LieGroup, layout: Layout) -> dict[str, Operation]:
    """Make the operations that every group has.

    Args:
        group: The group.
        layout: Its layout.

    Returns:
        The operations by the names of the group's methods.
    """
    element, whole, tangent = layout.element, layout.whole, (1, group.dim)
    g, xi, p = group.element_shape, (group.dim,), (3,)
    f, dim = layout.function, group.dim
    quaternion = layout.prefix == "quaternion"
    act_left = (0, 1, COTANGENT) if quaternion else (1, COTANGENT)
    both = (element, element, tangent, tangent)
    return {
        "exp": Operation(
            group.exp, (xi,), g,
            layout.value("exp_checked", tangent, bounds=_ANGLES, lanes=True),
            (Pullback(Kernel(f("exp_vjp"), (tangent, element), dim, lanes=True), (0, COTANGENT)),),
        ),
        "log": Operation(
            group.log, (g,), xi,
            Kernel(f("log_checked"), (whole,), dim, bounds=_DEFECTS, lanes=True),
            (Pullback(
                layout.cotangent("log_vjp", element, tangent, tangent, lanes=True), (0, RESULT, COTANGENT)
            ),),
            checks=True,
        ),
        "compose": Operation(
            group.compose, (g, g), g,
            layout.value("compose", element, element),
            (
                Pullback(layout.cotangent("compose_left", element, element), (1, COTANGENT)),
                Pullback(layout.cotangent("compose_right", element, element), (0, COTANGENT)),
            ),
        ),
        "act": Operation(
            group.act, (g, p), p,
            Kernel(f("act"), (element, _POINT), 3),
            (
                Pullback(
                    layout.cotangent("act_left", *([element] if quaternion else []), _POINT, _POINT), act_left
                ),
                Pullback(Kernel(f("act_right"), (element, _POINT), 3), (0, COTANGENT)),
            ),
        ),
        "plus": Operation(
            group.plus, (g, xi), g,
            layout.value("plus_checked", element, tangent, bounds=_ANGLES, lanes=True),
            (
                Pullback(layout.cotangent("plus_left", tangent, element, lanes=True), (1, COTANGENT)),
                Pullback(
                    Kernel(f("plus_right"), (element, tangent, element), dim, lanes=True), (0, 1, COTANGENT)
                ),
            ),
        ),
        "minus": Operation(
            group.minus, (g, g), xi,
            Kernel(f("minus_checked"), (whole, whole), dim, bounds=_DEFECTS, lanes=True),
            (
                Pullback(layout.cotangent("minus_left", *both, lanes=True), (0, 1, RESULT, COTANGENT)),
                Pullback(layout.cotangent("minus_right", *both, lanes=True), (0, 1, RESULT, COTANGENT)),
            ),
            checks=True,
        ),
    }  # fmt: skip


def inverse(group: LieGroup, layout: Layout) -> Operation:
    """Make the inverse of a group where it is no view.

    Args:
        group: The group.
        layout: Its layout.

    Returns:
        The operation.
    """
    element, g = layout.element, group.element_shape
    quaternion = layout.prefix == "quaternion"
    reads = (COTANGENT,) if quaternion else (0, COTANGENT)
    pulled = layout.cotangent("inverse" if quaternion else "inverse_vjp", *[element] * len(reads))
    return Operation(group.inverse, (g,), g, layout.value("inverse", element), (Pullback(pulled, reads),))


def adjoint(group: LieGroup, layout: Layout) -> Operation:
    """Make the adjoint of a group where it is no view.

    Args:
        group: The group.
        layout: Its layout.

    Returns:
        The operation.
    """
    element, g, square = layout.element, group.element_shape, (group.dim, group.dim)
    return Operation(
        group.Ad, (g,), square,
        Kernel(layout.function("Ad"), (element,), group.dim**2),
        (Pullback(layout.cotangent("Ad_vjp", element, square), (0, COTANGENT)),),
    )  # fmt: skip


def distance(group: LieGroup, layout: Layout) -> Operation:
    """Make the distance of a group of rotations.

    Args:
        group: The group.
        layout: Its layout.

    Returns:
        The operation.
    """
    element, whole, g = layout.element, layout.whole, group.element_shape
    return Operation(
        group.distance, (g, g), (),
        Kernel(layout.function("distance_checked"), (whole, whole), 1, bounds=_DEFECTS, lanes=True),
        tuple(
            Pullback(
                layout.cotangent(f"distance_{side}", element, element, _NUMBER, lanes=True), (0, 1, COTANGENT)
            )
            for side in ("left", "right")
        ),
        checks=True,
    )  # fmt: skip
