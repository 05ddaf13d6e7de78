"""The code of a flow map as a module that rolls it out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .._status import Status
from ._builder import KernelBuilder
from ._lane_text import NO_VERDICT_TEXT, ROWS_TEXT, VERDICT_TEXT, split
from ._loop_text import (
    CHECKED_BLOCK,
    CHUNK,
    DRIVERS,
    PAIRS_WITHOUT_CONTROLS,
    PLAIN_BLOCK,
    SINGLE_STEPS,
    STEPS_IN_PAIRS,
)
from ._module import module_source, number_type

BLOCK_LANES = 64
_FIRST_CACHE = 36_000
"""Bytes of the work array of a block, of which the fast memory next to the processor holds 32 kB or more."""
_LONGEST_PAIRED = 64
_INNER = ("advance_one_by_one", "run_block")
_MAP = ("start", "step", "step_twice", "finish", "observe")
_SMALL = (
    "read_rows",
    "write_rows",
    "load_controls",
    "record",
    "clear_verdict",
    "read_verdict",
    "worst_verdict",
    "finite_lanes",
    "run_chunk",
)


@dataclass
class KernelProgram:
    """The code of a flow map, ready to be compiled.

    Attributes:
        builder: Holds the sections ``start``, ``step``, ``finish`` and ``observe``.
        carry_size: Number of leading rows that hold the carry.
        state_row: First row of the state that ``finish`` writes and ``start`` reads.
        state_size: Number of entries of a state.
        control_row: First row of the controls.
        observed_row: First row of the observed values.
        observed_size: Their number.
        checked: Whether ``step`` itself finds the codes of the lanes and keeps the last good state, as an
            implicit step does. If not, blocks of steps run without a look, and one that ends in numbers that
            are not finite, or with a verdict, is run again step by step.
        verdict_row: Where ``checked`` is not set, a row in which ``step`` leaves the largest ``Status`` of
            each lane since it was cleared; ``None`` for steps that cannot fail.
        controlled: Whether the map has inputs.
        double: Whether it computes in float64 alone, as steps do that solve equations to rounding.
        apart: Whether its functions are compiled on their own, not written into each of their callers, which
            takes half the time to compile and, for steps as long as those that solve equations, none to run.
    """

    builder: KernelBuilder
    carry_size: int
    state_row: int
    state_size: int
    control_row: int
    observed_row: int
    observed_size: int
    checked: bool = True
    verdict_row: int | None = None
    controlled: bool = True
    double: bool = False
    apart: bool = False

    def dtype(self, states: torch.dtype) -> torch.dtype:
        """Choose the floating-point type in which states are advanced.

        Args:
            states: Their dtype.

        Returns:
            float32 for states in float32, unless the step decides lane by lane or needs float64.
        """
        single = states == torch.float32 and not self.checked and not self.double
        return torch.float32 if single else torch.float64

    def lanes(self, count: int, dtype: torch.dtype = torch.float64) -> int:
        """Choose the number of trajectories that are advanced together.

        Args:
            count: Number of trajectories.
            dtype: Floating-point type in which they are advanced.

        Returns:
            1 for one trajectory; otherwise ``BLOCK_LANES``, twice as many in float32, and half as many for
            many rows, where the step decides lane by lane, or for few trajectories.
        """
        if count == 1:
            return 1
        fits = 8 * BLOCK_LANES * self.builder.row_count <= _FIRST_CACHE
        lanes = BLOCK_LANES if fits and not self.checked else BLOCK_LANES // 2
        lanes = 2 * lanes if dtype == torch.float32 else lanes
        while lanes > BLOCK_LANES // 2 and count <= lanes // 2:
            lanes //= 2
        return lanes

    def source(self, lanes: int, dtype: torch.dtype = torch.float64) -> str:
        """Text of the module.

        Args:
            lanes: Number of trajectories in a block.
            dtype: Floating-point type in which it computes.

        Returns:
            Python source.
        """
        functions = [*self.map_functions(), *self._loop()]
        own = (*self.builder.functions, *(() if self.checked else _MAP))
        inlined, inner = (_SMALL, (*_INNER, *own)) if self.apart else ((*_SMALL, *own), _INNER)
        constants = self.constants(dtype)
        return module_source(functions, lanes, self.builder.row_count, inlined, inner, constants, dtype)

    def constants(self, dtype: torch.dtype = torch.float64) -> dict[str, object]:
        """What the functions of the map and of the loop read as constants.

        Args:
            dtype: Floating-point type in which they compute.

        Returns:
            Values by name.
        """
        number = number_type(dtype)
        return {
            "CARRY": self.carry_size,
            "STATE": self.state_row,
            "STATE_SIZE": self.state_size,
            "CONTROL": self.control_row,
            "OBSERVED": self.observed_row,
            "OBSERVED_SIZE": self.observed_size,
            "VERDICT": self.verdict_row,
            "CHUNK": CHUNK,
            "FLOAT": number,
            "LARGEST": f"{number}({min(1e300, torch.finfo(dtype).max)!r})",
            "NON_FINITE": int(Status.NON_FINITE),
        }

    def map_functions(self) -> list[str]:
        """Text of the functions of the map on one block, which every target has."""
        b = self.builder
        step = b.function("step", "A, P, code", "worst") if self.checked else b.function("step", "A, P")
        verdict = NO_VERDICT_TEXT if self.verdict_row is None else VERDICT_TEXT
        return [
            *b.functions.values(),
            b.function("start", "A, P"),
            step,
            b.function("finish", "A, P"),
            b.function("observe", "A, P"),
            *([] if self.checked else split(verdict)),
            *split(ROWS_TEXT),
        ]

    def _loop(self) -> list[str]:
        """Text of the loop on the CPU."""
        if self.checked:
            return split(CHECKED_BLOCK) + split(DRIVERS)
        twice = self.builder.function_twice("step", "A, P", _LONGEST_PAIRED)
        pairs = STEPS_IN_PAIRS if self.controlled else PAIRS_WITHOUT_CONTROLS
        chunk = [SINGLE_STEPS.strip()] if twice is None else [twice, pairs.strip()]
        return chunk + split(PLAIN_BLOCK) + split(DRIVERS)
