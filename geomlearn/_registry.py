"""Names of model classes, so that a file can say what it holds without naming code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

_CLASSES: dict[str, type[nn.Module]] = {}

Model = TypeVar("Model", bound=type[nn.Module])


def register(name: str) -> Callable[[Model], Model]:
    """Make a class known under a name, as a decorator.

    The class has a method ``config() -> dict`` whose entry ``"type"`` is the name and whose other entries are
    plain JSON values, and a class method ``from_config(config)`` that builds it again.

    Args:
        name: Name written into files; it outlives renaming of the class.

    Returns:
        The decorator, which returns the class unchanged.
    """

    def decorate(cls: Model) -> Model:
        known = _CLASSES.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(
                f"name: {name!r} is already taken by {known.__qualname__}; register under another name"
            )
        if not callable(getattr(cls, "from_config", None)) or not callable(getattr(cls, "config", None)):
            raise TypeError(
                f"{cls.__qualname__}: expected methods config() and from_config(config) to register it"
            )
        _CLASSES[name] = cls
        return cls

    return decorate


def registered() -> tuple[str, ...]:
    """List the known names.

    Returns:
        The names in alphabetical order.
    """
    return tuple(sorted(_CLASSES))


def build(config: dict[str, Any]) -> nn.Module:
    """Build a model from its configuration.

    Args:
        config: What the model's ``config()`` returned.

    Returns:
        A fresh model; its weights are whatever the class starts with.

    Raises:
        ValueError: If no class is registered under ``config["type"]``.
    """
    name = config.get("type")
    if name not in _CLASSES:
        raise ValueError(
            f"config['type']: expected one of {registered()}, got {name!r}; import the module that"
            " registers it first"
        )
    model: nn.Module = _CLASSES[name].from_config(config)  # type: ignore[attr-defined]
    return model


def config_of(model: nn.Module) -> dict[str, Any] | None:
    """Ask a model for its configuration.

    Args:
        model: Any module.

    Returns:
        What ``config()`` returns, or ``None`` when the model has no such method.

    Raises:
        TypeError: If the configuration is not made of plain JSON values or has no ``"type"``.
    """
    method = getattr(model, "config", None)
    if not callable(method):
        return None
    config = method()
    try:
        plain = json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{type(model).__name__}.config(): expected plain JSON values; {error}") from error
    if not isinstance(plain, dict) or not isinstance(plain.get("type"), str):
        raise TypeError(
            f"{type(model).__name__}.config(): expected a dictionary with a text under 'type', got {config!r}"
        )
    return plain
