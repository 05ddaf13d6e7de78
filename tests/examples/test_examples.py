"""Every example runs at its small size, without a warning, and draws its picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the source tree")


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_example_runs_and_draws(script: Path, tmp_path: Path) -> None:
    for needed in ("matplotlib", "mujoco", "sklearn"):
        pytest.importorskip(needed)
    from matplotlib.image import imread

    figure = tmp_path / "figure.png"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), "--size", "small", "--figure", str(figure)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == [figure]
    picture: np.ndarray = imread(figure)
    assert min(picture.shape[:2]) >= 400
    ink: np.ndarray = np.min(picture[..., :3], axis=-1) < 0.9
    for half in (ink[:, : ink.shape[1] // 2], ink[:, ink.shape[1] // 2 :]):
        assert 0.005 < half.mean() < 0.5
