"""Exact flows given by a formula."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from .._flow import FlowMap
from .._state import StateSpace


class ExactFlow(FlowMap):
    """The exact flow of a part of a system, from a torch function of states and time.

    What is exact is symmetric: the flow backwards is the inverse. Whether it also preserves the symplectic
    form has to be said.

    Example:
        >>> import torch
        >>> from integrators import StateSpace, vector
        >>> decay = ExactFlow(StateSpace(vector("x", 1)), lambda x, h: x * torch.exp(x.new_tensor(-h)), h=0.5)
        >>> round(float(decay(torch.ones(1))), 6)
        0.606531
    """

    symmetric = True
    exact = True

    def __init__(
        self,
        space: StateSpace,
        function: Callable[[Tensor, float], Tensor],
        h: float,
        symplectic: bool = False,
        name: str = "",
    ) -> None:
        """Wrap a function.

        Args:
            space: Layout of the states.
            function: ``(x, h) -> y`` for states ``(..., n)`` and any ``h``; an ``nn.Module`` keeps its
                parameters.
            h: Step; negative steps go back in time.
            symplectic: Whether the flow is symplectic.
            name: Name for messages.

        Raises:
            ValueError: If the step is zero or not finite.
        """
        super().__init__()
        if not 0 < abs(h) < math.inf:
            raise ValueError(f"h: expected a finite step that is not zero, got {h}")
        self.space, self.function, self.h = space, function, float(h)
        self.symplectic, self.name = symplectic, name

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        """Apply the function.

        Args:
            carry: States ``(..., n)``.
            control: Not used.
            constants: Not used.

        Returns:
            States ``(..., n)`` one step later.

        Raises:
            ValueError: If the function returns another shape.
        """
        y = self.function(carry, self.h)
        if y.shape != carry.shape:
            raise ValueError(
                f"function: expected states {tuple(carry.shape)} from {self.name or 'the flow'}, got "
                f"{tuple(y.shape)}"
            )
        return y

    def inverse(self, y: Tensor, control: Tensor | None = None) -> Tensor:
        """Undo one step: the flow backwards."""
        before: Tensor = self.with_step(-self.h)(y)
        return before
