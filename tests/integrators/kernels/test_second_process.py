"""A process that finds its kernel on disk compiles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STEP = """
import json, os, pathlib, sys, torch
from integrators import Hamiltonian, Verlet, rollout
from integrators.kernels import load_kernel
flow = Verlet(Hamiltonian("p**2/2 + q**2/2"), 0.1)
run = rollout(flow, torch.tensor([1.0, 0.0], dtype=torch.float64), 1, backend="numba")
kernel = load_kernel(flow.kernel_program([]), 1)
count = lambda kind: sum(
    sum(getattr(f.stats, kind).values()) for f in vars(kernel).values() if hasattr(f, "overloads")
)
print(json.dumps({"hits": count("cache_hits"), "misses": count("cache_misses"), "q": run.final.tolist()}))
"""


@pytest.mark.slow
def test_second_process_steps_without_compiling(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"GEOMLEARN_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}

    def step() -> dict[str, object]:
        command = [sys.executable, "-c", STEP]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        return json.loads(out)

    def files() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("*.nb?")}

    first, written = step(), files()
    second = step()
    assert first["misses"]
    assert written
    assert (second["misses"], second["q"]) == (0, first["q"])
    assert second["hits"]
    assert files() == written
