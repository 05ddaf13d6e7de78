"""Parameters that stay on a manifold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from lie import LieGroup, RiemannianManifold, StructuredSPD

Space: TypeAlias = LieGroup | RiemannianManifold | StructuredSPD


class ManifoldParameter(nn.Parameter):
    """A parameter that the optimizers of this package keep on a manifold.

    In a module it is a parameter like any other: it is found, moved, saved and differentiated as one, its
    gradient is the Euclidean one, and other optimizers would move it off the manifold. The optimizers here
    turn its gradient into the Riemannian one and move it by the manifold's own operations: along geodesics of
    a sphere, by the retraction of frames and SPD matrices, by g exp(ξ) on a Lie group, whose inner product is
    that of the tangent coordinates ξ.

    On ``lie.SPD(n, structure=...)`` the parameter holds the SPD matrix tau = A A^T, not its structured factor
    A, and ``SPDMomentum`` moves it.

    Args:
        manifold: A Riemannian manifold or a Lie group of ``lie``, products and powers of groups included, or
            ``lie.SPD(n, structure=...)``.
        value: Elements, shape ``(..., *element_shape)``, float32 or float64; they are copied.
        requires_grad: Whether it is trained.

    Raises:
        TypeError: If the manifold is none, or value no tensor.
        ValueError: If an element is not on the manifold, or an SPD matrix is none that its structure can
            reach.

    Example:
        >>> import lie
        >>> frame = ManifoldParameter(lie.Stiefel(3, 2), torch.eye(3, 2))
        >>> frame.manifold
        lie.Stiefel(3, 2)
    """

    manifold: Space

    def __new__(cls, manifold: Space, value: Tensor, requires_grad: bool = True) -> Self:
        """Check the value and make the parameter."""
        if not isinstance(manifold, Space):
            raise TypeError(
                "manifold: expected a lie.LieGroup or a lie.RiemannianManifold such as lie.Stiefel(5, 2), got"
                f" {type(manifold).__name__}"
            )
        if not isinstance(value, Tensor):
            raise TypeError(f"value: expected a tensor, got {type(value).__name__}")
        if isinstance(manifold, StructuredSPD):
            manifold.factorize(value.detach())
        else:
            manifold.check(value.detach(), "value")
        return cls._of(manifold, value.detach().clone(), requires_grad)

    @classmethod
    def _of(cls, manifold: Space, data: Tensor, requires_grad: bool) -> Self:
        made = torch.Tensor._make_subclass(cls, data, requires_grad)
        made.manifold = manifold
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) not in memo:
            data = self.data.clone(memory_format=torch.preserve_format)
            memo[id(self)] = self._of(self.manifold, data, self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _restore, (type(self), self.manifold, self.data, self.requires_grad)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Name the manifold with the values."""
        return f"ManifoldParameter on {self.manifold!r} containing:\n{self.data!r}"


def _restore(
    cls: type[ManifoldParameter], manifold: Space, data: Tensor, requires_grad: bool
) -> ManifoldParameter:
    return cls._of(manifold, data, requires_grad)
