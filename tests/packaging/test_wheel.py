"""What a user gets: the contents of wheel and sdist, and the packages imported from an installed wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lie", "integrators", "geomlearn")
SOURCES = (*PACKAGES, "tests", "examples", "benchmarks")

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, without the outer environment's Python variables; its output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a wheel and an sdist built from a copy of the source tree."""
    tree = tmp_path_factory.mktemp("build") / "tree"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    (tree / "lie_scratch").mkdir()
    (tree / "lie_scratch" / "__init__.py").touch()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tree / "dist", tree, cwd=tree)
    return tree / "dist"


def wheel_in(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def test_wheel_has_exactly_the_three_packages(dist: Path) -> None:
    with zipfile.ZipFile(wheel_in(dist)) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_wheel_has_every_file_of_the_packages(dist: Path) -> None:
    with zipfile.ZipFile(wheel_in(dist)) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    tree = dist.parent
    source = {
        path.relative_to(tree).as_posix()
        for package in PACKAGES
        for path in (tree / package).rglob("*")
        if path.is_file()
    }
    assert {f"{package}/py.typed" for package in PACKAGES} <= source
    assert shipped == source


def test_sdist_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    out = tmp_path / "out"
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, tree, cwd=tree)
    with zipfile.ZipFile(wheel_in(dist)) as first, zipfile.ZipFile(wheel_in(out)) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with our wheel and, through the path alone, the outer dependencies.

    Entries of a .pth file come after the environment's own site-packages, and the .pth files inside the
    folder they name (an editable install of geomlearn among them) are not read.
    """
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    with zipfile.ZipFile(wheel_in(dist)) as archive:
        archive.extractall(site)
    (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Path(sysconfig.get_path("scripts", "venv", vars=scheme)) / "python"


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        (
            "lie",
            {"integrators", "geomlearn", "numba", "sympy", "scipy.optimize", "h5py", "rich", "matplotlib"},
        ),
        ("integrators", {"geomlearn", "matplotlib", "mujoco", "torchdiffeq"}),
        ("geomlearn", {"matplotlib", "mujoco", "torchdiffeq", "pytest", "hypothesis"}),
    ],
)
def test_each_package_imports_alone_from_the_wheel(
    name: str, unwanted: set[str], installed: Path, tmp_path: Path
) -> None:
    """It is the installed copy and loads nothing it can do without, apart from what torch loads itself."""
    code = f"import sys, torch; before = set(sys.modules); import {name}; "
    code += f"print({name}.__file__, *(set(sys.modules) - before), sep='\\n')"
    file, *loaded = run(installed, "-W", "error", "-c", code, cwd=tmp_path).split("\n")
    assert Path(file).is_relative_to(installed.parents[1])
    assert name in loaded
    assert not set(loaded) & unwanted
