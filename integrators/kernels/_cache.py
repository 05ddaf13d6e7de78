"""Generated modules on disk: a file under the hash of its text, and numba's own cache beside it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import torch

from ._program import KernelProgram

_loaded: dict[str, ModuleType] = {}


def cache_folder() -> Path:
    """Folder of the generated kernels: ``$GEOMLEARN_CACHE``, or ``geomlearn`` in the user's cache folder."""
    chosen = os.environ.get("GEOMLEARN_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "geomlearn"


def load_kernel(program: KernelProgram, lanes: int, dtype: torch.dtype = torch.float64) -> ModuleType:
    """Compile and import the rollout of a flow map.

    Args:
        program: The code.
        lanes: Number of trajectories in a block.
        dtype: Floating-point type in which it computes.

    Returns:
        The module with ``start_all``, ``read_all``, ``run_serial`` and ``run_parallel``.
    """
    return load_source(program.source(lanes, dtype))


def load_source(source: str) -> ModuleType:
    """Write a module under its content hash and import it; numba's on-disk cache then works across processes.

    Args:
        source: Text of the module.

    Returns:
        The module.

    Raises:
        ImportError: If the module cannot be imported.
    """
    name = "kernel_" + hashlib.sha256(source.encode()).hexdigest()[:20]
    if name in _loaded:
        return _loaded[name]
    path = _write(source, name)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import the generated kernel {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    _loaded[name] = module
    return module


def _write(source: str, name: str) -> Path:
    folder = cache_folder() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.py"
        if path.exists() and path.read_text(encoding="utf-8") == source:
            return path
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            f"cannot write the generated kernel to {folder}: {error}; set GEOMLEARN_CACHE to a writable"
            " folder"
        ) from error
    return path
