"""How a step can fail, per trajectory, and the errors that say so."""

from __future__ import annotations

import warnings
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor


class Status(IntEnum):
    """State of one trajectory; anything from ``NOT_CONVERGED`` on stopped it."""

    OK = 0
    LARGE_STEP = 1
    NOT_CONVERGED = 2
    UNSOLVABLE = 3
    NON_FINITE = 4

    @property
    def failed(self) -> bool:
        """Whether the trajectory could not go on."""
        return self >= Status.NOT_CONVERGED

    @property
    def explanation(self) -> str:
        """What happened and how to mend it."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Status.OK: "every step was solved",
    Status.LARGE_STEP: "a step turned the body by more than 0.8 rad: it was solved, but near the edge of the"
    " solvable domain; use a smaller h",
    Status.NOT_CONVERGED: "the implicit equation of a step was not solved to rounding level; use a smaller h,"
    " or solver='newton' where a method has it",
    Status.UNSOLVABLE: "the implicit equation of a step has no admissible solution: the momentum asks for"
    " more than about 1 rad in one step; use a smaller h, or, on SO(3) and SE(3), kinetic='cayley' whose"
    " domain is wider",
    Status.NON_FINITE: "a state, force or control became NaN or infinite; check the initial state, the"
    " controls and the potential",
}


class StepError(ArithmeticError):
    """A step could not be taken; the message names the trajectories and the mend."""


class LargeStepWarning(UserWarning):
    """A step was solved close to the edge of the solvable domain."""


def describe_failures(status: Tensor) -> str:
    """Say how many trajectories failed, how the first one did, and what to do.

    Args:
        status: Codes of ``Status``, any shape, at least one of them a failure.

    Returns:
        One sentence.
    """
    failed = status >= int(Status.NOT_CONVERGED)
    first = tuple(int(i) for i in failed.nonzero()[0])
    code = Status(int(status[first]))
    return (
        f"{int(failed.sum())} of {status.numel()} trajectories failed, the first at batch index {first}:"
        f" {code.explanation}"
    )


def report(status: Tensor) -> None:
    """Raise or warn for the worst status of a batch; inside ``torch.compile``, which can do neither, pass.

    Args:
        status: Codes of ``Status``, any shape.

    Raises:
        StepError: If a trajectory failed.
    """
    if torch.compiler.is_compiling():
        return
    if torch._C._are_functorch_transforms_active():
        _Report.apply(status)
    else:
        _look(status)


def _look(status: Tensor) -> None:
    worst = int(status.max()) if status.numel() else 0
    if worst >= Status.NOT_CONVERGED:
        raise StepError(f"step: {describe_failures(status)}")
    if worst == Status.LARGE_STEP:
        warnings.warn(Status.LARGE_STEP.explanation, LargeStepWarning, stacklevel=3)


class _Report(torch.autograd.Function):
    """Looks at the values of a status, also under ``vmap``."""

    @staticmethod
    def forward(status: Tensor) -> Tensor:
        _look(status)
        return status.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None], status: Tensor) -> tuple[Tensor, int | None]:
        return _Report.apply(status), in_dims[0]
