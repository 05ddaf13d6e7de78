"""What every space of the package has: elements that are plain tensors, membership, distance, mean."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ._checks import require_shape
from ._constants import is_readable

MEMBER_TOLERANCE = 1e-3  # rounding and drift stay far below, another kind of matrix far above


class Manifold(ABC):
    """A space whose elements are tensors with ``element_shape`` last and any batch dimensions before.

    All leading dimensions broadcast; results have the dtype that ``torch.result_type`` gives; float32 and
    float64 are supported. Functions with the argument ``check`` read values: they refuse what is no element,
    or where they have no answer, with a ``ValueError`` that names the argument and the place.
    ``check=False`` spares the reading in hot loops; the answer is then NaN where there is none. Inside
    ``torch.compile`` and the transforms of ``torch.func``, where values cannot be read, nothing is checked.

    Attributes:
        name: Name used in messages.
        dim: Dimension of the space.
        element_shape: Trailing dimensions of an element.
    """

    name: str
    dim: int
    element_shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"lie.{self.name}"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Manifold) and other.name == self.name

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """Compute how far tensors are from the space, shape (...); NaN where an entry is not finite."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Compute elements near to tensors of the right shape, (..., *element_shape)."""

    @abstractmethod
    def random(
        self,
        *batch: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw elements, shape (*batch, *element_shape)."""

    @abstractmethod
    def distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the distance of two elements, shape (...)."""

    @abstractmethod
    def squared_distance(self, x: Tensor, y: Tensor, *, check: bool = True) -> Tensor:
        """Compute the squared distance of two elements, shape (...): twice differentiable at x = y."""

    @abstractmethod
    def interpolate(self, x: Tensor, y: Tensor, s: Tensor | float, *, check: bool = True) -> Tensor:
        """Compute the point at share s, of shape (...), of the way from x to y, (..., *element_shape)."""

    @abstractmethod
    def mean(self, points: Tensor, weights: Tensor | None = None, *, check: bool = True) -> Tensor:
        """Compute the mean of points (..., N, *element_shape), with weights (..., N)."""

    def check(self, x: Tensor, name: str = "x", tol: float | None = None) -> None:
        """Refuse tensors that are not elements.

        It reads values, so it is not for use inside ``vmap`` or ``torch.compile``.

        Args:
            x: Elements, shape (..., *element_shape).
            name: Name of the argument in the message.
            tol: Largest residual accepted; None means the square root of the dtype's epsilon.

        Raises:
            ValueError: If the shape is wrong, an entry is not finite or a residual exceeds the tolerance.
        """
        self._require_element(x, name)
        self._refuse_strangers(x, name, torch.finfo(x.dtype).eps ** 0.5 if tol is None else tol)

    def _require_element(self, x: Tensor, name: str) -> None:
        require_shape(x, self.element_shape, name, f"elements of {self.name}")

    def _require_member(self, x: Tensor, name: str, check: bool) -> None:
        """Check the shape and, if asked for and possible, that tensors are elements, up to a coarse bound."""
        self._require_element(x, name)
        if check and is_readable(x):
            self._refuse_strangers(x, name, MEMBER_TOLERANCE)

    def _refuse_strangers(self, x: Tensor, name: str, tol: float) -> None:
        defect = self.residual(x.detach())
        good = defect <= tol
        if bool(good.all()):
            return
        where, index = first_bad(good, name)
        if not bool(torch.isfinite(x[index]).all()):
            raise ValueError(
                f"{where} has entries that are not finite; {name} must hold elements of {self.name}."
            )
        raise ValueError(
            f"{where} is not in {self.name}: its defect is {float(defect[index]):.3g}, more than {tol:.3g}. "
            f"Bring it back with lie.{self.name}.project, or pass a larger tol to check."
        )

    def _refuse_unsolved(self, result: Tensor, good: Tensor, name: str, reason: str) -> None:
        """Refuse elements for which an operation has no answer.

        Args:
            result: The answer, which tells whether values can be read.
            good: Mask, shape (...): true where there is one.
            name: Name of the argument.
            reason: What is wrong with it, and the mend.

        Raises:
            ValueError: If the mask is false anywhere.
        """
        if is_readable(result) and not bool(good.all()):
            raise ValueError(f"{first_bad(good, name)[0]} {reason}")


def first_bad(good: Tensor, name: str) -> tuple[str, tuple[int, ...]]:
    """Name the first false entry of a mask.

    Args:
        good: Mask, with a false entry.
        name: Name of the argument whose batch the mask has.

    Returns:
        Text such as ``g[0, 3]``, and the index.
    """
    index = tuple(torch.nonzero(~good)[0].tolist())
    return (f"{name}[{', '.join(map(str, index))}]" if index else name), index
