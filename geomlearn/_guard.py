"""Refuses a foreign package that answers to the name of one of ours.

`lie` and `integrators` are short names. PyPI has unrelated projects `LIE` and `integrators`, and installing
the second one later overwrites our files without a word; a user's own `lie.py` beside a script comes first on
the path. Each of our packages therefore carries a mark, and geomlearn looks for it before anything else.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

MARK = "__geomlearn_distribution__"
DISTRIBUTION = "geomlearn"


def require_own(name: str) -> ModuleType:
    """Import the top-level package `name` and make sure that it is the one geomlearn was installed with.

    Args:
        name: import name of a package of this distribution, such as `"lie"`.

    Returns:
        The imported package.

    Raises:
        ImportError: if no package of that name is found, or if what is found is not ours. The message names
            the file and the commands that mend it. An error that our own package raises while it is imported
            (a missing dependency, say) passes unchanged.
    """
    try:
        module = importlib.import_module(name)
    except Exception as error:
        if _carries_mark(name):
            raise
        raise ImportError(_explanation(name, _location(name)), name=name) from error
    if getattr(module, MARK, None) != DISTRIBUTION:
        raise ImportError(_explanation(name, _location(name, module)), name=name)
    return module


def _carries_mark(name: str) -> bool:
    """Whether the source found under `name` is ours although it failed to import."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return False
    return MARK in Path(spec.origin).read_text(encoding="utf-8", errors="replace")


def _location(name: str, module: ModuleType | None = None) -> str | None:
    """File or folders that `import name` finds, None if it finds nothing."""
    file = getattr(module, "__file__", None)
    if file is not None:
        return str(file)
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.origin is not None:
        return spec.origin
    return ", ".join(spec.submodule_search_locations or ()) or None


def _explanation(name: str, found: str | None) -> str:
    """What was found instead of our package `name`, and how to mend it."""
    reinstall = "    python -m pip install --force-reinstall --no-deps geomlearn"
    checkout = "(in a checkout of geomlearn: `-e .` in place of the last word)"
    if found is None:
        return (
            f"geomlearn needs its own package '{name}', which is not installed. "
            f"Install geomlearn again {checkout}:\n{reinstall}"
        )
    return (
        f"geomlearn needs its own package '{name}', but `import {name}` finds another one:\n"
        f"    {found}\n"
        f"If that file is yours, rename it or start Python elsewhere. If it comes from the unrelated PyPI "
        f"project '{name}', remove that project and restore ours {checkout}:\n"
        f"    python -m pip uninstall -y {name}\n{reinstall}"
    )
