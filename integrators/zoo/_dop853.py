"""High-precision states of systems without a closed solution."""

from __future__ import annotations

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from ..systems import System


def integrate(system: System, start: Tensor, times: list[float]) -> list[Tensor]:
    """Integrate a system by DOP853 with relative tolerance 1e-13 and absolute tolerance 1e-14.

    Source: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, 2nd ed. 1993, section II.10.

    Args:
        system: The system, without inputs or with inputs zero.
        start: State ``(n,)`` at time zero.
        times: Times, in any order.

    Returns:
        A state ``(n,)`` for each time.

    Raises:
        ArithmeticError: If the integration stops early, as it does at a collision.
    """
    control = torch.zeros(system.control_size, dtype=torch.float64) if system.control_size else None

    def field(_: float, x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            slope: np.ndarray = system.field(torch.from_numpy(x), control).numpy()
        return slope

    found: dict[float, np.ndarray] = {0.0: start.detach().double().numpy().copy()}
    for way in (sorted(t for t in times if t > 0), sorted((t for t in times if t < 0), reverse=True)):
        now = 0.0
        for t in way:
            if t != now:
                run = solve_ivp(field, (now, t), found[now], method="DOP853", rtol=1e-13, atol=1e-14)
                if not run.success:
                    raise ArithmeticError(f"reference: {run.message} (at time {run.t[-1]:g} of {t:g})")
                found[t] = run.y[:, -1]
            now = t
    return [torch.from_numpy(found[t].copy()) for t in times]
