"""Loads what torch 2.13 loads with a warning about its own torch.jit.script on the first use of forward mode."""

from __future__ import annotations

import importlib
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")
