"""A compiled method that stands still and observes what a system writes, to hold kernels against torch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from integrators import rollout
from integrators._method import StepCode, SystemMethod
from integrators.kernels import KernelBuilder, Rows
from integrators.systems import System

Write = Callable[[KernelBuilder, int, Rows, Rows, list[str]], None]


class Probe(SystemMethod):
    def __init__(self, system: System, write: Write, size: int) -> None:
        super().__init__(system, 1.0)
        self.write, self.observables = write, {"written": size}

    def written(self, x: Tensor) -> Tensor:
        return x.new_zeros(*x.shape[:-1], self.observables["written"])

    def advance(self, carry: Tensor, control: Tensor | None, constants: None) -> Tensor:
        return carry

    def emit_step(self, code: StepCode) -> None:
        code.builder.lanes(f"@{code.state[0]} = @{code.state[0]}")

    def emit_observable(self, code: StepCode, name: str, targets: list[str]) -> None:
        self.write(code.builder, code.offset, code.state, code.control, targets)


def evaluate(system: System, write: Write, size: int, x: Tensor, control: Tensor | None = None) -> Tensor:
    """Run what ``write(builder, offset, x, control, targets)`` emits on states ``(L, n)``."""
    run = rollout(
        Probe(system, write, size), x, steps=1, controls=None if control is None else control[None],
        observe=["written"], observe_every=1, backend="numba",
    )  # fmt: skip
    return run.observations["written"][-1].reshape(len(x), size)
