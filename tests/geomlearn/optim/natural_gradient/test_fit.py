"""The natural gradient by its name in fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from geomlearn.nn import DirectFlow
from geomlearn.optim import StructuredNaturalGradient
from geomlearn.training import fit, make_optimizer
from integrators import StateSpace, vector
from tests.geomlearn.training._double import H, data


def network() -> DirectFlow:
    space = StateSpace(vector("q", 1, unit="rad"), vector("v", 1, unit="rad/s"))
    return DirectFlow(space, H, hidden=(8, 8), controls=1, generator=torch.Generator().manual_seed(0))


def test_the_name_makes_it_of_the_whole_model() -> None:
    model = network()
    optimizer = make_optimizer("natural-gradient", model, lr=0.5, weight_decay=0.25)
    assert isinstance(optimizer, StructuredNaturalGradient)
    assert len(optimizer.layers) == 3
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


class Halted(Exception):
    pass


def test_a_network_is_fitted_and_a_halted_run_goes_on(tmp_path: Path) -> None:
    """Its curvature is read without a scope; a run halted between two refreshes goes on to the same bits."""

    def run(folder: str, stop: int, **more: Any) -> tuple[DirectFlow, list[float]]:
        def callback(info: Any) -> None:
            if info.step == stop:
                raise Halted

        model = network()
        history = fit(
            model,
            data(),
            optimizer="natural-gradient",
            batch_size=8,
            steps=60,
            checkpoint_dir=tmp_path / folder,
            checkpoint_every=5,
            progress=False,
            callbacks=[callback],
            **more,
        )
        return model, history.losses

    whole, losses = run("whole", 0)
    assert losses[-1] < 0.1 * losses[0]
    with pytest.raises(Halted):
        run("halted", 37)
    resumed, _ = run("halted", 0, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))
