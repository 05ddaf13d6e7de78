"""Checks of the options of the Bregman optimizers."""

from __future__ import annotations

from typing import Any

from ._bregman_rule import DEFAULTS, Scheme
from ._checks import require, require_one_number


def check_options(options: dict[str, Any], scheme: Scheme) -> None:
    """Refuse options that are out of range.

    Args:
        options: All options of a group.
        scheme: Which of the methods.

    Raises:
        ValueError: If an option is out of range; the message names it, what is expected and what came.
    """
    if options["family"] not in DEFAULTS:
        raise ValueError(f"family: expected one of {sorted(DEFAULTS)}, got {options['family']!r}")
    require_one_number(options, "lr")
    require_one_number(options, "C")
    require(options, "lr", options["lr"] >= 0, "a number >= 0")
    require(options, "C", options["C"] > 0, "a number > 0")
    if options["family"] == "exponential":
        require(options, "order", options["order"] > 0, "η > 0 for the exponential family")
    else:
        require(options, "order", options["order"] >= 1, "p >= 1 for the polynomial family")
    require(options, "beta", 0 <= options["beta"] <= 1, "a number between 0 and 1")
    require(options, "weight_decay", options["weight_decay"] >= 0, "a number >= 0")
    restart = options["restart"]
    require(
        options,
        "restart",
        restart in (None, "gradient", "function", "speed"),
        "None, 'gradient', 'function' or 'speed'",
    )
    require(
        options,
        "temporal_looping",
        options["temporal_looping"] in (True, False, "continuous"),
        "True, False or 'continuous'",
    )
    if options["differentiable"] and options["foreach"]:
        raise ValueError("foreach: its steps are made in place, which differentiable=True excludes")
    adaptive = options.get("adaptive")
    if adaptive is not None:
        require(options, "adaptive", adaptive > 0, "p̊ > 0, or None")
        if options["family"] != "polynomial":
            raise ValueError(
                "adaptive: for the exponential family adaptivity from η to η̊ only multiplies the time step"
                " by η̊/η; set lr, or take family='polynomial'"
            )
