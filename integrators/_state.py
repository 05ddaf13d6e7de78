"""Named layouts of flat state vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lie import LieGroup


@dataclass(frozen=True)
class Part:
    """One named block of a flat state.

    Attributes:
        name: Name by which the block is viewed and packed, such as ``"omega"``.
        manifold: The Lie group on which the block lives, or ``None`` for a plain vector.
        shape: Shape of one element of the block; derived from the group when there is one.
        unit: Unit of the entries, for files and plots.
        frame: Frame in which the entries are expressed (``"world"``, ``"body"``), if any.
    """

    name: str
    manifold: LieGroup | None = None
    shape: tuple[int, ...] = ()
    unit: str = "1"
    frame: str = ""

    def __post_init__(self) -> None:
        """Take the shape from the group."""
        if self.manifold is not None:
            object.__setattr__(self, "shape", self.manifold.element_shape)

    @property
    def size(self) -> int:
        """Number of entries that the block takes in the flat state."""
        return math.prod(self.shape)


def vector(name: str, size: int, unit: str = "1", frame: str = "") -> Part:
    """Describe a block of ``size`` plain numbers.

    Args:
        name: Name of the block.
        size: Number of entries.
        unit: Unit of the entries.
        frame: Frame in which they are expressed.

    Returns:
        The part.
    """
    return Part(name, None, (size,), unit, frame)


class StateSpace:
    """The layout of a flat state ``(..., size)``: named parts, their shapes and their manifolds.

    The same layout is used by torch code, compiled kernels, data files and checkpoints. Matrices are stored
    row by row.

    Example:
        >>> from lie import SO3
        >>> space = StateSpace(Part("R", SO3), vector("omega", 3, unit="rad/s", frame="body"))
        >>> space.size
        12
    """

    def __init__(self, *parts: Part) -> None:
        """Join the parts in the order given.

        Args:
            *parts: The blocks of the state.

        Raises:
            ValueError: If two parts have the same name or there is none.
        """
        names = [part.name for part in parts]
        if not parts or len(set(names)) != len(names):
            raise ValueError(f"StateSpace: expected one or more parts with distinct names, got {names}")
        self.parts = parts
        self.slices: dict[str, slice] = {}
        start = 0
        for part in parts:
            self.slices[part.name] = slice(start, start + part.size)
            start += part.size
        self.size = start

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts, in order."""
        return tuple(part.name for part in self.parts)

    def __eq__(self, other: object) -> bool:
        """Spaces are equal when their parts are."""
        return isinstance(other, StateSpace) and self.parts == other.parts

    def fits(self, other: StateSpace) -> bool:
        """Tell whether states of one space can be read as states of the other.

        Args:
            other: Another layout.

        Returns:
            Whether names, manifolds and shapes agree, and units and frames where both spaces state them.

        Example:
            >>> StateSpace(vector("q", 1, unit="rad")).fits(StateSpace(vector("q", 1)))
            True
        """
        if [(p.name, p.manifold, p.shape) for p in self.parts] != [
            (p.name, p.manifold, p.shape) for p in other.parts
        ]:
            return False
        pairs = list(zip(self.parts, other.parts, strict=True))
        units = all(a.unit == b.unit or "1" in (a.unit, b.unit) for a, b in pairs)
        return units and all(a.frame == b.frame or not (a.frame and b.frame) for a, b in pairs)

    def __hash__(self) -> int:
        """Hash of the parts."""
        return hash(self.parts)

    def __repr__(self) -> str:
        """List the parts with their shapes."""
        inside = ", ".join(f"{p.name}: {'x'.join(map(str, p.shape)) or 'scalar'}" for p in self.parts)
        return f"StateSpace({inside})"

    def labels(self) -> list[str]:
        """Name every entry of the flat state, for column headings: ``R[0,1]``, ``omega[2]``."""
        labels = []
        for part in self.parts:
            for flat in range(part.size):
                index, rest = [], flat
                for length in reversed(part.shape):
                    index.append(str(rest % length))
                    rest //= length
                labels.append(f"{part.name}[{','.join(reversed(index))}]" if index else part.name)
        return labels

    def view(self, x: Tensor) -> dict[str, Tensor]:
        """Look at a flat state by name.

        Args:
            x: States ``(..., size)``.

        Returns:
            For each part a view ``(..., *shape)``.

        Raises:
            ValueError: If the last dimension is not ``size``.
        """
        if x.ndim == 0 or x.shape[-1] != self.size:
            raise ValueError(f"x: expected shape (..., {self.size}) for {self}, got {tuple(x.shape)}")
        views = {}
        for part in self.parts:
            block = x[..., self.slices[part.name]]
            views[part.name] = block.unflatten(-1, part.shape) if part.shape else block.squeeze(-1)
        return views

    def pack(self, **blocks: Tensor) -> Tensor:
        """Join named blocks into a flat state, broadcasting their batch dimensions.

        Args:
            **blocks: One tensor ``(..., *shape)`` for each part.

        Returns:
            States ``(..., size)``.

        Raises:
            ValueError: If a part is missing or unknown, or a shape does not end in the part's.
        """
        if set(blocks) != set(self.names):
            raise ValueError(f"pack: expected the parts {self.names}, got {tuple(blocks)}")
        flat = []
        for part in self.parts:
            block = blocks[part.name]
            depth = len(part.shape)
            if block.ndim < depth or tuple(block.shape[block.ndim - depth :]) != part.shape:
                raise ValueError(
                    f"{part.name}: expected shape (..., {', '.join(map(str, part.shape))}),"
                    f" got {tuple(block.shape)}"
                )
            flat.append(block.flatten(-depth) if depth else block.unsqueeze(-1))
        batch = torch.broadcast_shapes(*(block.shape[:-1] for block in flat))
        return torch.cat([block.expand(*batch, block.shape[-1]) for block in flat], dim=-1)

    def check(self, x: Tensor, name: str = "x", tol: float | None = None) -> None:
        """Refuse a tensor that is not a batch of states.

        Args:
            x: Candidate states ``(..., size)``.
            name: Name of the argument, for the message.
            tol: How far a block may be from its group; by default the group's own tolerance.

        Raises:
            TypeError: If ``x`` is not a float32 or float64 tensor.
            ValueError: If the shape is wrong, an entry is not finite, or a block is off its manifold.
        """
        if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
            got = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(
                f"{name}: expected a float32 or float64 tensor, got {got}; convert it, e.g. {name}.double()"
            )
        blocks = self.view(x) if x.ndim and x.shape[-1] == self.size else None
        if blocks is None:
            raise ValueError(f"{name}: expected shape (..., {self.size}) for {self}, got {tuple(x.shape)}")
        bad = ~torch.isfinite(x)
        if bad.any():
            *batch, column = (int(i) for i in bad.nonzero()[0])
            raise ValueError(
                f"{name}: expected finite states, got {float(x[(*batch, column)])} in {self.labels()[column]}"
                f" at batch index {tuple(batch)}"
            )
        for part in self.parts:
            if part.manifold is not None:
                part.manifold.check(blocks[part.name], name=f"{name}.{part.name}", tol=tol)
