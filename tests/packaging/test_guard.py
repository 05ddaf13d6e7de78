"""A foreign `lie` or `integrators` is refused with a message that names it, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import geomlearn
import integrators
import lie

SITE = Path(geomlearn.__file__).resolve().parents[1]
GUARD = SITE / "geomlearn" / "_guard.py"


def python(code: str, *path: Path, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which the given folders come first on the path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=path[0],
        check=False,
    )


def guarded(folder: Path, name: str, options: tuple[str, ...] = ()) -> str:
    """Last error of `require_own(name)` with a folder first on the path; the guard is loaded on its own."""
    code = (
        "import importlib.util as u\n"
        f"s = u.spec_from_file_location('guard', {str(GUARD)!r})\n"
        "m = u.module_from_spec(s); s.loader.exec_module(m)\n"
        f"m.require_own({name!r})\n"
    )
    done = python(code, folder, options=options)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["lie", "integrators"])
def test_import_geomlearn_refuses_a_file_beside_the_script(name: str, tmp_path: Path) -> None:
    foreign = tmp_path / f"{name}.py"
    foreign.write_text("answer = 42\n")
    done = python("import geomlearn", tmp_path, SITE)
    assert done.returncode == 1
    assert f"ImportError: geomlearn needs its own package '{name}'" in done.stderr
    assert str(foreign) in done.stderr
    assert f"python -m pip uninstall -y {name}\n" in done.stderr
    assert "python -m pip install --force-reinstall --no-deps geomlearn\n" in done.stderr


@pytest.mark.parametrize("line", ["import not_there_either", "raise RuntimeError('old numba')", "x = = 1"])
def test_a_foreign_package_that_fails_to_import_is_named(line: str, tmp_path: Path) -> None:
    foreign = tmp_path / "integrators" / "__init__.py"
    foreign.parent.mkdir()
    foreign.write_text(line + "\n")
    error = guarded(tmp_path, "integrators")
    assert f"finds another one:\n    {foreign}\n" in error


def test_overwritten_package_is_named(tmp_path: Path) -> None:
    """The case of the PyPI project `integrators`: its `__init__.py` replaces ours, our modules stay."""
    shutil.copytree(SITE / "integrators", tmp_path / "integrators")
    overwritten = tmp_path / "integrators" / "__init__.py"
    overwritten.write_text("__version__ = '0.1.1'\n")
    assert f"finds another one:\n    {overwritten}\n" in guarded(tmp_path, "integrators")


def test_folder_without_init_is_named(tmp_path: Path) -> None:
    (tmp_path / "lie").mkdir()
    assert str(tmp_path / "lie") in guarded(tmp_path, "lie", options=("-S",))


def test_missing_package_is_said_to_be_missing(tmp_path: Path) -> None:
    error = guarded(tmp_path, "lie", options=("-S",))
    assert "geomlearn needs its own package 'lie', which is not installed." in error
    assert "uninstall" not in error


def test_a_missing_dependency_of_our_own_package_is_not_disguised(tmp_path: Path) -> None:
    package = tmp_path / "lie" / "__init__.py"
    package.parent.mkdir()
    package.write_text("__geomlearn_distribution__ = 'geomlearn'\nimport torch_is_not_here\n")
    error = guarded(tmp_path, "lie")
    assert error.rstrip().endswith("ModuleNotFoundError: No module named 'torch_is_not_here'")
    assert "finds another one" not in error


@pytest.mark.parametrize("module", [lie, integrators], ids=["lie", "integrators"])
def test_our_packages_carry_the_mark(module: ModuleType) -> None:
    assert module.__geomlearn_distribution__ == "geomlearn"
