"""What optimizers that keep a tangent vector for each parameter have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import StateDict

from ._checks import refuse_changed_shapes


class TangentOptimizer(Optimizer):
    """Base: the closure of a step, and states that fit the parameters.

    Attributes:
        moment: Key of the state that is the tangent vector.
    """

    moment: str

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take the state of another optimizer of this kind, to go on bit for bit.

        Args:
            state_dict: What ``state_dict`` returned.

        Raises:
            ValueError: If the groups differ in number or size, or a parameter has changed its shape; nothing
                has then been loaded.
        """
        refuse_changed_shapes(self, state_dict, self.moment)
        super().load_state_dict(state_dict)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step with the gradients that the parameters hold.

        Args:
            closure: Function that computes the gradients anew and returns the loss.

        Returns:
            The loss of the closure, if there is one.

        Raises:
            RuntimeError: If a gradient is sparse, or infinite or NaN. The Bregman optimizers look at all
                gradients where that does not wait for a device (not with capturable, differentiable or
                compiled), the others at those of parameters on manifolds. Nothing has then been changed.
            ValueError: If the function restart has no closure.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._move_parameters(loss)
        return loss

    @abstractmethod
    def _move_parameters(self, loss: float | Tensor | None) -> None:
        """Make the step."""
