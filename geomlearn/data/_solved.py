"""Windows of solutions of a known system."""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from integrators import StepError
from integrators.systems import System

from ._windows import Windows


def solved_windows(
    system: System, starts: Tensor, h: float, samples: int = 2, rtol: float = 1e-13, atol: float = 1e-14
) -> Windows:
    """Integrate a system from many starts to rounding error, as labels for a map of a given step.

    All starts are integrated together in float64 by DOP853, which stops at every sample; the tolerances hold
    for the root mean square over all of them. Labels in float32 would put a floor under the loss.

    Args:
        system: Any system without inputs.
        starts: States ``(N, n)`` at the first sample, float64.
        h: Time between samples.
        samples: Samples ``T`` per window; 2 gives pairs of one step.
        rtol: Relative tolerance of a step of the solver.
        atol: Absolute tolerance of a step of the solver.

    Returns:
        Windows with states ``(N, T, n)``.

    Raises:
        StepError: If the solver gives up.
        TypeError: If the starts are not float64.
        ValueError: If shapes or numbers do not fit.

    Example:
        >>> import torch
        >>> from integrators import zoo
        >>> pendulum = zoo.pendulum()
        >>> solved_windows(pendulum.system, pendulum.start.unsqueeze(0), 0.5, samples=3)
        Windows(1 of 3 samples, h=0.5 s, no controls, 1 recordings, torch.float64, StateSpace(q: 1, p: 1))
    """
    if starts.dtype != torch.float64:
        raise TypeError(f"starts: expected float64, got {starts.dtype}; convert them, starts.double()")
    if starts.ndim != 2 or starts.shape[0] < 1 or starts.shape[1] != system.space.size:
        raise ValueError(f"starts: expected shape (N, {system.space.size}), got {tuple(starts.shape)}")
    if samples < 2 or not 0 < h < float("inf"):
        raise ValueError(
            f"samples, h: expected at least 2 samples and a positive step, got {samples} and {h}"
        )
    shape = tuple(starts.shape)

    def field(_: float, y: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            slope: np.ndarray = system.field(torch.from_numpy(y).view(shape)).reshape(-1).numpy()
        return slope

    states, y = [starts], starts.reshape(-1).numpy()
    for _ in range(samples - 1):
        run = solve_ivp(field, (0.0, h), y, method="DOP853", rtol=rtol, atol=atol, t_eval=[h])
        if not run.success:
            raise StepError(f"starts: DOP853 gave up between two samples: {run.message}")
        y = np.ascontiguousarray(run.y[:, -1])
        states.append(torch.from_numpy(y).view(shape))
    return Windows(torch.stack(states, 1), None, h, system.space)
