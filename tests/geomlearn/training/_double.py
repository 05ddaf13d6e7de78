"""A pendulum whose stiffness and input gain are learnable, its data, and a run of it as a program."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomlearn.training import StepInfo, fit, register
from integrators import FlowMap, StateSpace, vector

STIFFNESS, GAIN, H = 15.0, 3.0, 0.02


@register("test-leapfrog")
class Leapfrog(FlowMap):
    """Kick-drift-kick of ``q'' = -k sin q + g u``."""

    control_size = 1

    def __init__(
        self, stiffness: float = 10.0, gain: float = 1.0, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        self.h = H
        self.space = StateSpace(vector("q", 1, unit="rad"), vector("v", 1, unit="rad/s"))
        self.stiffness = nn.Parameter(torch.tensor([stiffness], dtype=dtype))
        self.gain = nn.Parameter(torch.tensor([gain], dtype=dtype))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def config(self) -> dict[str, Any]:
        return {"type": "test-leapfrog", "stiffness": 10.0, "gain": 1.0}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Leapfrog:
        return cls(config["stiffness"], config["gain"])

    def acceleration(self, q: Tensor, u: Tensor | None) -> Tensor:
        return -self.stiffness * torch.sin(q) + (0.0 if u is None else self.gain * u)

    def advance(self, carry: Tensor, control: Tensor | None, constants: Any = None) -> Tensor:
        q, v = carry.split(1, -1)
        v = v + self.h / 2 * self.acceleration(q, control)
        q = q + self.h * v
        return torch.cat([q, v + self.h / 2 * self.acceleration(q, control)], -1)

    def position_residual(
        self, q0: Tensor, q1: Tensor, q2: Tensor, u0: Tensor | None, u1: Tensor | None
    ) -> Tensor:
        mean = None if u0 is None or u1 is None else (u0 + u1) / 2
        return (q2 - 2 * q1 + q0) / self.h**2 - self.acceleration(q1, mean)


@dataclass(frozen=True)
class Data:
    """The part of ``Windows`` that training reads."""

    states: Tensor
    controls: Tensor | None
    h: float = H
    space: StateSpace | None = None


def data(seed: int = 0, windows: int = 24, length: int = 5, noise: float = 0.0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    start = 2 * torch.randn(windows, 2, generator=generator, dtype=torch.float64)
    controls = torch.randn(windows, length - 1, 1, generator=generator, dtype=torch.float64)
    true = Leapfrog(STIFFNESS, GAIN)
    with torch.no_grad():
        states = torch.cat([start[None], true.unroll(start, controls.transpose(0, 1))]).transpose(0, 1)
    states = states + noise * torch.randn(states.shape, generator=generator, dtype=torch.float64)
    return Data(states.contiguous(), controls, H, true.space)


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=5.0, momentum=0.9, nesterov=True)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "lr": 0.3, "batch_size": 5},
    "sgd": {"optimizer": momentum, "batch_size": 7, "gradient_clip": 0.05},
    "lbfgs": {"optimizer": "lbfgs", "lr": 0.2},
    "lm": {"optimizer": "levenberg-marquardt", "lr": 0.2},
}


def run(folder: Path, kind: str, **changes: Any) -> Leapfrog:
    model = Leapfrog()
    settings: dict[str, Any] = {
        "steps": 40,
        "validation": data(1, windows=6, noise=0.01),
        "validate_every": 3,
        "checkpoint_dir": folder,
        "checkpoint_every": 7,
        "resume": "auto",
        "progress": False,
        "seed": 3,
    }
    fit(model, data(0, noise=0.01), **{**settings, **OPTIMIZERS[kind], **changes})
    return model


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_at_step(folder: Path, kind: str, step: int) -> None:
    def callback(info: StepInfo) -> None:
        if info.step == step:
            _die()

    run(folder, kind, callbacks=[callback])


def _killed_at_call(folder: Path, kind: str, module: Any, name: str, count: int) -> None:
    """Die inside a system call of a write, the count-th one."""
    original = getattr(module, name)
    calls = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            _die()
        return original(*args, **kwargs)

    setattr(module, name, counting)
    run(folder, kind)


def main(root: Path) -> None:
    """Train in child processes, kill them at many instants, and let fresh ones finish."""

    def child(task: Any, *args: Any) -> int:
        pid = os.fork()
        if pid == 0:
            task(*args)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    # The first steps of a process import parts of torch; the children inherit them.
    for kind in OPTIMIZERS:
        run(root / "warm" / kind, kind, steps=2)
    for kind in OPTIMIZERS:
        whole = child(run, root / kind / "whole", kind)
        cases: dict[str, Any] = {f"step-{n}": (_killed_at_step, n) for n in (3, 23)}
        if kind == "adam":
            cases |= {f"fsync-{n}": (_killed_at_call, os, "fsync", n) for n in range(9, 18)}
            cases |= {f"rename-{n}": (_killed_at_call, Path, "replace", n) for n in range(3, 9)}
        for name, (task, *args) in cases.items():
            folder = root / kind / name
            killed = child(task, folder, kind, *args)
            between = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
            resumed = child(run, folder, kind)
            print(kind, name, whole, killed, resumed, ",".join(between) or "-", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
