"""What makes two runs the same run, so that only that run is continued."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._flow import FlowMap
from .._state import StateSpace
from ._controls import Controls
from ._observers import Observer
from ._plan import Plan
from ._torch_engine import TorchEngine

PROBED = 4


def digest(value: Tensor) -> str:
    """Checksum of dtype, shape and content.

    Args:
        value: A tensor.

    Returns:
        Hexadecimal digits.
    """
    array = value.detach().cpu().contiguous().numpy()
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.blake2b(head + array.tobytes(), digest_size=16).hexdigest()


def describe_space(space: StateSpace) -> list[dict[str, Any]]:
    """Layout of the states in plain data.

    Args:
        space: The layout.

    Returns:
        One entry for each part.
    """
    return [
        {
            "name": part.name,
            "manifold": None if part.manifold is None else part.manifold.name,
            "shape": list(part.shape),
            "unit": part.unit,
            "frame": part.frame,
        }
        for part in space.parts
    ]


def describe_flow(flow: FlowMap) -> dict[str, Any]:
    """Class, settings and checksums of the parameters of a map.

    Args:
        flow: The map.

    Returns:
        Plain data.
    """
    settings = {}
    for path, module in flow.named_modules():
        for name, value in vars(module).items():
            plain = _plain(value)
            if (
                not name.startswith("_")
                and name != "training"
                and (path or name != "h")
                and plain is not None
            ):
                settings[f"{path}.{name}" if path else name] = plain
        if path:
            settings[path] = type(module).__qualname__
    tensors = {**dict(flow.named_parameters()), **dict(flow.named_buffers())}
    return {
        "flow": type(flow).__qualname__,
        "h": flow.h,
        "settings": settings,
        "parameters": {name: digest(value) for name, value in tensors.items()},
    }


def _plain(value: Any) -> bool | int | float | str | None:
    """A setting in plain data, ``None`` for anything that is not a setting."""
    if isinstance(value, bool | int | float | str):
        return value
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return name
    return getattr(value, "__qualname__", None) if callable(value) else None


def describe_run(
    flow: FlowMap, x0: Tensor, controls: Controls, observers: Sequence[Observer], plan: Plan, backend: str
) -> dict[str, Any]:
    """Everything on which the samples of a run depend, except for its length.

    Args:
        flow: The map.
        x0: Initial states ``(*batch, n)``.
        controls: Controls of the batch.
        observers: What is followed.
        plan: What is kept.
        backend: What moves the states.

    Returns:
        Plain data.
    """
    return describe_flow(flow) | {
        "space": describe_space(flow.space),
        "backend": backend,
        "dtype": str(plan.dtype).removeprefix("torch."),
        "batch": list(plan.batch),
        "every": plan.every,
        "observe_every": plan.observe_every,
        "observe": {o.name: o.own or o.description for o in observers},
        "x0": digest(x0),
        "controls": describe_controls(controls, plan.steps),
        "first_step": _first_step(flow, x0, controls),
    }


def describe_controls(controls: Controls, steps: int) -> dict[str, Any] | None:
    """Controls of the first steps in plain data.

    Args:
        controls: Controls of the batch.
        steps: Number of steps that count.

    Returns:
        Their kind and checksum.
    """
    if controls.feedback is not None:
        return {"function": getattr(controls.feedback, "__qualname__", type(controls.feedback).__qualname__)}
    if controls.values is None:
        return None
    if controls.constant and steps != 1:
        return {"constant": digest(controls.values)}
    return {"steps": steps, "digest": digest(controls.values[:steps])}


def _first_step(flow: FlowMap, x0: Tensor, controls: Controls) -> list[float]:
    """First step of a few trajectories: it shows a change that no setting shows, such as in a function."""
    x = x0.detach().reshape(-1, x0.shape[-1])[:PROBED]
    if (
        not len(x)
        or controls.feedback is not None
        or (controls.values is not None and not len(controls.values))
    ):
        return []
    with torch.no_grad():
        few = controls.shard(0, len(x))
        few = few if few.values is None else Controls(few.values[:1])
        engine = TorchEngine(flow, x, few, (len(x),))
        engine.advance(1, 1)
        return engine.read().double().flatten().tolist()


def differences(stored: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """Name what differs between two descriptions.

    Args:
        stored: Description in a file.
        present: Description of the run that is asked for.

    Returns:
        One phrase for each difference.
    """
    found = []
    for key in (key for key in stored if key != "first_step"):
        old, new = stored[key], present.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            hashed = key in ("parameters", "controls")
            found += [
                f"{key}.{name}" if hashed else f"{key}.{name} ({_both(old, new, name)})" for name in names
            ]
        elif key in ("x0", "controls"):
            found.append(key)
        else:
            found.append(f"{key} (file: {old}, now: {new})")
    known = stored["first_step"] and present["first_step"]
    if not found and known and not _close(stored["first_step"], present["first_step"], present["dtype"]):
        found.append("the result of the first step, although all recorded settings are equal")
    return found


def _both(old: dict[str, Any], new: dict[str, Any], name: str) -> str:
    return f"file: {old.get(name)}, now: {new.get(name)}"


def _close(old: list[float], new: list[float], dtype: str) -> bool:
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    a, b = torch.tensor(old, dtype=torch.float64), torch.tensor(new, dtype=torch.float64)
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
