"""Loads what torch 2.13 loads, with a warning about torch.jit.script, when forward mode is first used."""

from __future__ import annotations

import importlib
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")
