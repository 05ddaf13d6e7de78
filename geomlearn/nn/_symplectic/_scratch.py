"""Rows of a kernel that several layers use."""

from __future__ import annotations

from integrators.kernels import KernelBuilder, Rows


class Scratch:
    """Rows of a kernel that layers use for a moment, and share."""

    def __init__(self) -> None:
        """Start with none."""
        self._rows: dict[tuple[str, int], Rows] = {}

    @classmethod
    def rows(cls, builder: KernelBuilder, name: str, count: int) -> Rows:
        """Rows of a name, reserved when they are asked for the first time.

        Args:
            builder: The kernel under construction.
            name: What they are for.
            count: How many.

        Returns:
            Consecutive rows.
        """
        own = builder.shared(cls, cls)._rows
        if (name, count) not in own:
            own[name, count] = builder.rows(count)
        return own[name, count]
