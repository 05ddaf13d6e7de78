"""Systems on Lie groups."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lie import Euclidean, LieGroup, Product

from .._state import Part, StateSpace, vector
from ..kernels import KernelBuilder, Rows
from ..systems import System

TRIVIALIZATIONS = ("left", "right")


class GroupSystem(System):
    """A motion on a Lie group times a vector space, ``Y' = Y hat(xi)`` or ``Y' = hat(xi) Y``, ``z' = zeta``.

    The methods of this package move ``Y`` by exponentials of combinations of slopes, and add to ``z``.
    A subclass gives the slopes.

    Attributes:
        group: The group.
        trivialization: ``"left"`` for ``Y hat(xi)``, with ``xi`` in the body frame on SO(3) and SE(3);
            ``"right"`` for ``hat(xi) Y``, with ``xi`` in the world frame.
        whole: The product of the group and the vector space, whose elements are the states.
    """

    group: LieGroup
    trivialization: str
    whole: Product

    def _set_layout(self, group: LieGroup, name: str, vectors: Sequence[Part], trivialization: str) -> None:
        """Lay out the state: the group, the vectors, time."""
        if not isinstance(group, LieGroup):
            raise TypeError(f"group: expected a Lie group such as lie.SO3, got {type(group).__name__}")
        if trivialization not in TRIVIALIZATIONS:
            raise ValueError(f"trivialization: expected 'left' or 'right', got {trivialization!r}")
        if any(part.manifold is not None for part in vectors):
            raise ValueError("vectors: expected plain vectors; put several groups into one with lie.Product")
        clock = [vector("t", 1)] if self.timed else []
        self.group, self.trivialization = group, trivialization
        self.space = StateSpace(Part(name, group), *vectors, *clock)
        rest = sum(part.size for part in self.space.parts[1:])
        self.whole = Product(group, *([Euclidean(rest)] if rest else []))

    @abstractmethod
    def slopes(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the tangent coordinates of the group and the slopes of the vectors, and one for time.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``, or ``None``.

        Returns:
            Shape ``(..., whole.dim)``.
        """

    def move(self, x: Tensor, xi: Tensor) -> Tensor:
        """Move states by an exponential, ``Y exp(xi)`` or ``exp(xi) Y``, and add to the vectors.

        Args:
            x: States ``(..., n)``.
            xi: Tangents ``(..., whole.dim)``.

        Returns:
            States ``(..., n)``.
        """
        step = self.whole.exp(xi)
        pair = (x, step) if self.trivialization == "left" else (step, x)
        return self.whole.compose(*pair)

    def bracket(self, a: Tensor, b: Tensor) -> Tensor:
        """Bracket of right-trivialised tangents, minus it for left-trivialised ones.

        Args:
            a: Tangents ``(..., whole.dim)``.
            b: Tangents ``(..., whole.dim)``.

        Returns:
            Shape ``(..., whole.dim)``, zero for the vectors.
        """
        n = self.group.dim
        turned = (self.group.ad(a[..., :n]) @ b[..., :n].unsqueeze(-1)).squeeze(-1)
        turned = -turned if self.trivialization == "left" else turned
        return torch.cat((turned, torch.zeros_like(b[..., n:])), -1)

    def field(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the time derivative of the entries of states.

        Args:
            x: States ``(..., n)``.
            control: Inputs ``(..., m)``, or ``None``.

        Returns:
            Shape ``(..., n)``.
        """
        slope = self.slopes(x, control)
        depth, n, size = len(self.group.element_shape), self.group.dim, self.space.parts[0].size
        y = x[..., :size].unflatten(-1, self.group.element_shape)
        pair = (y, self.group.hat(slope[..., :n]))
        moved = self.group.compose(*(pair if self.trivialization == "left" else pair[::-1]))
        return torch.cat((moved.flatten(-depth), slope[..., n:]), -1)

    def emit_slopes(
        self, builder: KernelBuilder, offset: int, x: Rows, control: Rows, targets: list[str]
    ) -> None:
        """Write the slopes: one statement per component, ``{}`` standing for its value."""
        raise TypeError(f"{type(self).__name__} has no kernel code; SymbolicGroupField has")


class GroupField(GroupSystem):
    """A system on a Lie group from a function, for torch.

    The function is given ``Y`` ``(..., *element_shape)``, the vectors by their order, time ``(..., 1)`` if
    the system is timed, and the inputs if there are any. It returns the tangent coordinates ``(..., dim)`` of
    the group, and where there are vectors a tuple of them and the slope of each vector.

    Example:
        >>> import torch
        >>> from integrators import RKMK4, GroupField
        >>> from lie import SO3
        >>> moments = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
        >>> def omega(R):  # from the momentum in the world, here along z
        ...     return R[..., 2, :] / moments
        >>> flow = RKMK4(GroupField(SO3, omega, name="R"), h=0.1)
        >>> SO3.residual(flow(torch.eye(3, dtype=torch.float64).flatten()).reshape(3, 3)) < 1e-15
        tensor(True)
    """

    def __init__(
        self,
        group: LieGroup,
        field: Callable[..., Tensor | tuple[Tensor, ...]],
        name: str = "Y",
        vectors: Sequence[Part] = (),
        timed: bool = False,
        control_size: int = 0,
        trivialization: str = "left",
        energy: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Describe the system.

        Args:
            group: Any group of ``lie``.
            field: The function; a module's parameters are registered.
            name: Name of the group's part of the state.
            vectors: Plain parts of the state that follow, such as ``vector("Pi", 3)``.
            timed: Whether time is the last entry of the state.
            control_size: Number of inputs.
            trivialization: ``"left"`` for ``Y' = Y hat(xi)``, ``"right"`` for ``Y' = hat(xi) Y``.
            energy: Energy ``(...)`` of states ``(..., n)``, to be observed.

        Raises:
            TypeError: If the field cannot be called or the group is none.
            ValueError: If the trivialization is unknown or a vector is not plain.
        """
        super().__init__()
        if not callable(field):
            raise TypeError(
                f"field: expected a function of the state, got {type(field).__name__}; expressions make a "
                "SymbolicGroupField"
            )
        self.timed, self.control_size, self.invariants = timed, control_size, {}
        self._set_layout(group, name, vectors, trivialization)
        self.function, self.energy_function = field, energy
        self.has_energy = energy is not None

    def slopes(self, x: Tensor, control: Tensor | None = None) -> Tensor:
        """Compute the tangent coordinates of the group and the slopes of the vectors, and one for time."""
        parts = list(self.space.view(x).values())
        if self.control_size:
            zero = x.new_zeros(*x.shape[:-1], self.control_size)
            parts.append(zero if control is None else control.expand_as(zero))
        values: Any = self.function(*parts)
        pieces = [values] if isinstance(values, Tensor) else list(values)
        sizes = [self.group.dim, *(p.size for p in self.space.parts[1 : len(self.space.parts) - self.timed])]
        got = [tuple(piece.shape) for piece in pieces]
        if [shape[-1:] for shape in got] != [(size,) for size in sizes]:
            raise ValueError(f"field: expected shapes (..., k) with k = {sizes}, got {got}")
        pieces = [piece.expand(*x.shape[:-1], -1) for piece in pieces]
        clock = [torch.ones_like(x[..., :1])] if self.timed else []
        return torch.cat([*pieces, *clock], -1)

    def energy(self, x: Tensor) -> Tensor:
        """Compute the energy of states ``(..., n)``, shape ``(...)``."""
        return super().energy(x) if self.energy_function is None else self.energy_function(x)

    def emit_parameters(self, builder: KernelBuilder) -> int:
        """Say that there is no kernel code."""
        raise TypeError(
            "GroupField holds a Python function; SymbolicGroupField takes expressions for kernels"
        )

    def extra_repr(self) -> str:
        """Name the group."""
        return "" if isinstance(self.function, nn.Module) else f"{self.group.name}, {self.trivialization}"
