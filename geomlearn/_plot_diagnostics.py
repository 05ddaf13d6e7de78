"""Pictures of certificates and of work-precision runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from integrators import Certificate, Rollout, WorkPrecision, WorkPrecisionPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREY = "#1b4965", "#d1495b", "#8d99ae"
MARKERS = "os^Dv<>P*X"


def plot_certificate(
    axes: Sequence[Axes], certificate: Certificate, run: Rollout | None = None, unit: str = "units of h"
) -> None:
    """Draw the energy error of a run over time and the measured defects as bars against rounding.

    Blue bars hold to rounding, red ones do not; the grey line is ten thousand rounding units, from which on a
    defect counts.

    Args:
        axes: Two axes: for the energy and for the defects.
        certificate: From ``certify``.
        run: A rollout that observed ``"energy"``; without one the law of the certificate is drawn.
        unit: Unit of time.

    Raises:
        ValueError: If there are not two axes, or the run did not observe the energy.
    """
    if len(axes) != 2:
        raise ValueError(f"axes: expected two, got {len(axes)}")
    _draw_energy(axes[0], certificate, run, unit)
    _draw_defects(axes[1], certificate)


def _draw_energy(axes: Axes, certificate: Certificate, run: Rollout | None, unit: str) -> None:
    if run is not None and "energy" not in run.observations:
        raise ValueError('run: expected observe=["energy"], got ' + repr(sorted(run.observations)))
    growth = certificate.energy_growth
    if run is not None:
        values = run.observations["energy"].double().cpu().reshape(len(run.observation_times), -1).numpy()
        times = run.observation_times.numpy()[1:]
        errors = np.abs(values[1:] - values[:1]).max(1)
        shown = errors > 0
        axes.loglog(times[shown], errors[shown], ".", color=BLUE, ms=2, alpha=0.5, label="each sample")
        axes.loglog(times, np.maximum.accumulate(errors), color=RED, lw=1.5, label="largest so far")
        axes.legend(loc="best", fontsize=8)
    elif growth is not None and not math.isnan(growth.exponent) and certificate.energy is not None:
        times = np.geomspace(certificate.energy.duration / 64, certificate.energy.duration, 50)
        axes.loglog(times, growth.size * (times / times[-1]) ** growth.exponent, color=BLUE)
    law = "" if growth is None else f": {growth.law}" + _power(growth.exponent)
    axes.set(xlabel=f"time ({unit})", ylabel="|energy - first energy|", title=f"{certificate.flow}{law}")


def _power(exponent: float) -> str:
    return "" if math.isnan(exponent) else f", $t^{{{exponent:.2f}}}$"


def _draw_defects(axes: Axes, certificate: Certificate) -> None:
    bars = [
        (name, value, holds)
        for name, value, holds in (
            ("symplectic", certificate.symplectic_defect, certificate.symplectic),
            ("Poisson", certificate.poisson_defect, certificate.poisson),
            ("volume", certificate.volume_defect, certificate.volume_preserving),
            ("reversible", certificate.reversibility, certificate.reversible),
            ("inverse", certificate.inverse, certificate.invertible),
            ("solver", certificate.solver_residual, certificate.solved),
            ("constraints", certificate.constraint_residual, certificate.on_constraints),
        )
        if value is not None
    ]
    bars += [(name, value, certificate.on_group) for name, value in certificate.group_error.items()]
    bars += [(i.name.replace("_", " "), i.change, certificate.keeps(i.name)) for i in certificate.invariants]
    least = certificate.eps / 10
    heights = [max(value, least) for _, value, _ in bars]
    axes.barh(range(len(bars)), heights, left=least / 10, color=[BLUE if ok else RED for *_, ok in bars])
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1e4 * certificate.eps, color=GREY, lw=1, ls="--")
    axes.set(xlabel="defect", xlim=(least / 10, max([*heights, 1e5 * certificate.eps]) * 10))


def plot_work_precision(
    axes: Axes, result: WorkPrecision, work: str = "evaluations", error: str = "error"
) -> None:
    """Draw error against work on logarithmic axes, one line for each method.

    Runs that failed, or whose work is not known, are left out.

    Args:
        axes: Where to draw.
        result: From ``integrators.work_precision``.
        work: ``"evaluations"`` of the force, ``"seconds"`` of CPU time or ``"steps"``.
        error: ``"error"`` of the final state or ``"energy_error"``.

    Raises:
        ValueError: If there is no such work or error.
    """
    if work not in ("evaluations", "seconds", "steps"):
        raise ValueError(f"work: expected 'evaluations', 'seconds' or 'steps', got {work!r}")
    if error not in ("error", "energy_error"):
        raise ValueError(f"error: expected 'error' or 'energy_error', got {error!r}")
    labels = {"evaluations": "force evaluations", "seconds": "CPU time (s)", "steps": "steps"}
    for k, method in enumerate(result.methods):
        pairs = [_pair(point, work, error) for point in result.of(method)]
        known = [(x, y) for x, y in pairs if x is not None and y > 0]
        if known:
            axes.loglog(
                *zip(*known, strict=True), marker=MARKERS[k % len(MARKERS)], ms=4, lw=1.2, label=method
            )
    name = "error of the final state" if error == "error" else "relative energy error"
    axes.set(xlabel=labels[work], ylabel=name, title=f"{result.problem}, {result.duration:g} units of time")
    axes.legend(loc="best", fontsize=8)


def _pair(point: WorkPrecisionPoint, work: str, error: str) -> tuple[float | None, float]:
    return getattr(point, work), getattr(point, error)
