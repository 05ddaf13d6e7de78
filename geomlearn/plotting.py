"""Pictures of rollouts, certificates and methods: phase portraits, invariants and errors over long times.

Every function draws into axes that it is given. Matplotlib is needed: ``pip install geomlearn[plot]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ._plot_diagnostics import plot_certificate, plot_work_precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PALETTE",
    "deviation_over_time",
    "error_over_time",
    "learned_against_truth",
    "phase_portrait",
    "plot_certificate",
    "plot_work_precision",
]

PALETTE = ("#1b4965", "#d1495b", "#8d99ae", "#edae49", "#2a9d8f")
"""Line colours, dark blue first; distinguishable in grey and by colour-blind readers."""

Curves = Mapping[str, tuple[Tensor, Tensor]]
Colors = Mapping[str, str]


def _color(k: int, label: str, colors: Colors | None) -> str:
    return (colors or {}).get(label, PALETTE[k % len(PALETTE)])


def _numbers(values: Tensor) -> np.ndarray:
    array: np.ndarray = torch.as_tensor(values).detach().cpu().numpy()
    return array


def phase_portrait(
    axes: Axes, curves: Curves, *, coordinate: str, rate: str, colors: Colors | None = None
) -> None:
    """Draw rate against coordinate, one curve for each trajectory; the first is drawn thickest.

    Args:
        axes: Where to draw.
        curves: For each label the coordinates ``(T,)`` and their rates ``(T,)``.
        coordinate: Label of the horizontal axis, with its unit.
        rate: Label of the vertical axis, with its unit.
        colors: Colours of some labels.
    """
    for k, (label, (q, v)) in enumerate(curves.items()):
        style: dict[str, Any] = {"lw": 4.5, "alpha": 0.4} if k == 0 else {"lw": 1.2}
        axes.plot(_numbers(q), _numbers(v), color=_color(k, label, colors), label=label, **style)
    axes.set_xlabel(coordinate)
    axes.set_ylabel(rate)
    axes.legend(loc="best")


def deviation_over_time(
    axes: Axes, curves: Curves, *, scale: float, limit: float, quantity: str, colors: Colors | None = None
) -> None:
    """Draw how far a conserved quantity strays from its first value, in per cent of a scale.

    Curves that leave the window are cut at its edge and marked there.

    Args:
        axes: Where to draw.
        curves: For each label times ``(T,)`` in seconds and values ``(T,)``.
        scale: What counts as 100 per cent, in the unit of the values.
        limit: Half height of the window, in per cent.
        quantity: Name of the quantity.
        colors: Colours of some labels.
    """
    for k, (label, (times, values)) in enumerate(curves.items()):
        t, y = _numbers(times), _numbers(values)
        percent = 100 * (y - y[0]) / scale
        outside = np.flatnonzero(~(np.abs(percent) <= limit))
        end = int(outside[0]) + 1 if outside.size else len(t)
        colour = _color(k, label, colors)
        axes.plot(t[:end], np.clip(percent[:end], -limit, limit), color=colour, lw=0.7, label=label)
        if outside.size:
            edge = limit if percent[end - 1] > 0 else -limit
            axes.plot(t[end - 1], edge, marker="x", ms=9, mew=2.5, color=colour, clip_on=False, zorder=5)
    axes.set_ylim(-limit, limit)
    axes.set_xlabel("time (s)")
    axes.set_ylabel(f"{quantity} deviation (%)")
    axes.legend(loc="best")


def error_over_time(axes: Axes, curves: Curves, *, quantity: str, colors: Colors | None = None) -> None:
    """Draw positive errors on logarithmic axes.

    Args:
        axes: Where to draw.
        curves: For each label times ``(T,)`` in seconds and errors ``(T,)``; zeros are drawn as 1e-17.
        quantity: Name of the error.
        colors: Colours of some labels.
    """
    for k, (label, (times, errors)) in enumerate(curves.items()):
        shown = np.maximum(_numbers(errors), 1e-17)
        axes.loglog(_numbers(times), shown, color=_color(k, label, colors), lw=1.2, label=label)
    axes.set_xlabel("time (s)")
    axes.set_ylabel(quantity)
    axes.legend(loc="best")


def learned_against_truth(
    axes: Axes, curves: Mapping[str, tuple[Tensor, Tensor, Tensor]], *, at: str, of: str
) -> None:
    """Draw true functions as lines and learned ones as dots, shifted to the same mean.

    Args:
        axes: Where to draw.
        curves: For each label the arguments ``(K,)``, true values ``(K,)`` and learned values ``(K,)``.
        at: Label of the horizontal axis.
        of: Label of the vertical axis.
    """
    for k, (label, (argument, truth, learned)) in enumerate(curves.items()):
        colour = PALETTE[k % len(PALETTE)]
        x, y, guess = _numbers(argument), _numbers(truth), _numbers(learned)
        axes.plot(x, y, color=colour, lw=1.2, label=f"{label}, true")
        axes.plot(
            x,
            guess - guess.mean() + y.mean(),
            "o",
            ms=3.5,
            mfc="none",
            color=colour,
            label=f"{label}, learned",
        )
    axes.set_xlabel(at)
    axes.set_ylabel(of)
    axes.legend(loc="best")
