"""Pictures show the numbers that they are given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from geomlearn import plotting
from integrators import Verlet, WorkPrecision, WorkPrecisionPoint, certify, rollout, zoo

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def axes() -> Iterator[list[Any]]:
    from matplotlib import pyplot

    with matplotlib.rc_context({"backend": "Agg"}):
        figure, pair = pyplot.subplots(1, 2)
        yield list(pair)
        pyplot.close(figure)


def test_a_certificate_as_a_picture(axes: list[Any]) -> None:
    kepler = zoo.kepler(0.3)
    flow = Verlet(kepler.system, 0.1)
    certificate = certify(flow, kepler.start, steps=400, backend="torch")
    run = rollout(flow, kepler.start, steps=400, observe=["energy"], backend="torch")
    plotting.plot_certificate(axes, certificate, run)
    samples, largest = (line.get_ydata() for line in axes[0].lines)
    assert np.max(samples) == pytest.approx(np.max(largest)) == pytest.approx(largest[-1])
    assert np.all(np.diff(largest) >= 0)
    names = [label.get_text() for label in axes[1].get_yticklabels()]
    assert names == [
        "symplectic",
        "volume",
        "reversible",
        "inverse",
        "angular momentum",
        "laplace runge lenz",
    ]
    colours = [patch.get_facecolor()[0] for patch in axes[1].patches]
    assert [colour > 0.5 for colour in colours] == [False] * 5 + [True]
    assert "bounded" in axes[0].get_title()
    axes[0].clear()
    plotting.plot_certificate(axes, certificate)
    assert len(axes[0].lines) == 1
    with pytest.raises(ValueError, match="axes: expected two"):
        plotting.plot_certificate(axes[:1], certificate)
    with pytest.raises(ValueError, match="run: expected observe"):
        plotting.plot_certificate(axes, certificate, rollout(flow, kepler.start, steps=2, backend="torch"))


def test_work_and_precision_as_a_picture(axes: list[Any]) -> None:
    points = (
        WorkPrecisionPoint("A", 0.1, 10, 10, 1e-2, 1e-3, 0.5),
        WorkPrecisionPoint("A", 0.05, 20, 20, 1e-3, 1e-4, 1.0),
        WorkPrecisionPoint("B", 0.1, 10, None, 1e-5, math.nan, 2.0),
        WorkPrecisionPoint("C", 0.1, 10, 40, math.nan, math.nan, 2.0),
    )
    result = WorkPrecision("test", 1.0, points)
    plotting.plot_work_precision(axes[0], result)
    (line,) = axes[0].lines
    assert list(line.get_xdata()) == [10, 20]
    assert list(line.get_ydata()) == [1e-2, 1e-3]
    plotting.plot_work_precision(axes[1], result, work="seconds", error="error")
    assert [line.get_label() for line in axes[1].lines] == ["A", "B"]
    with pytest.raises(ValueError, match="work: expected"):
        plotting.plot_work_precision(axes[0], result, work="minutes")
    with pytest.raises(ValueError, match="error: expected"):
        plotting.plot_work_precision(axes[0], result, error="luck")
