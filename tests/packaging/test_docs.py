"""The documentation names tests, modules and objects that exist, and its programs run."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import integrators
import integrators.systems
import lie

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("lie", "integrators", "geomlearn")

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="needs the source tree")


def page(name: str) -> str:
    """Text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def public_modules() -> set[str]:
    """The three packages and every module or package below them without a leading underscore in its name."""
    found = set(PACKAGES)
    for package in PACKAGES:
        module = importlib.import_module(package)
        for info in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not any(part.startswith("_") for part in info.name.split(".")):
                found.add(info.name)
    return found


def test_every_test_that_the_audit_names_exists() -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", page("audit.md"))
    assert named
    for file, function in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, file


def test_rows_of_the_audit_are_numbered_and_shown_by_something() -> None:
    rows = [
        line.strip("| ").split(" | ") for line in page("audit.md").splitlines() if re.match(r"\| \d", line)
    ]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        assert "::" in row[-1] or row[-1].startswith("reading of the"), row


def test_every_public_name_is_in_the_reference() -> None:
    """A module is shown itself, or all its names are shown as those of the package above it."""
    shown: set[str] = set()
    for path in (DOCS / "api").glob("*.md"):
        shown |= set(re.findall(r"automodule:: ([\w.]+)", path.read_text(encoding="utf-8")))
    assert shown <= public_modules()
    for name in public_modules() - shown:
        parent = importlib.import_module(name.rpartition(".")[0])
        assert parent.__name__ in shown
        assert set(importlib.import_module(name).__all__) <= set(parent.__all__), name


@pytest.mark.parametrize("name", sorted(public_modules()))
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    exported = {entry: getattr(module, entry) for entry in getattr(module, "__all__", [])}
    undocumented = [
        entry
        for entry, value in exported.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not value.__doc__
    ]
    assert undocumented == []


def program(file: Path) -> str:
    """The Python blocks of a page, one after the other."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", file.read_text("utf-8"), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "docs/quickstart.md",
        "docs/extending.md",
        "docs/concepts/groups.md",
        "docs/concepts/systems.md",
        "docs/concepts/methods.md",
        "docs/concepts/rollouts.md",
        "docs/concepts/certificates.md",
        "docs/concepts/constraints.md",
        "docs/concepts/projection.md",
        "docs/concepts/energy.md",
        "docs/concepts/least_squares.md",
        "docs/concepts/natural_gradient.md",
        "docs/concepts/optimizers.md",
        "docs/concepts/spd.md",
        "docs/concepts/symplectic_networks.md",
        "docs/concepts/gyroceptron.md",
        "docs/concepts/export.md",
    ],
)
def test_a_page_runs_from_top_to_bottom(file: str, tmp_path: Path) -> None:
    code = program(ROOT / file)
    assert re.search(r"\b(rollout|certify|to_onnx|step|fit_\w+|lie\.\w+(\(\d+\))?\.exp)\(", code)
    for needed in re.findall(r"^import (onnx\w+)", code, re.MULTILINE):
        pytest.importorskip(needed, reason="needs the extra onnx")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    (tmp_path / "page.py").write_text(code, encoding="utf-8")  # functions in kernels are read from their file
    done = subprocess.run(
        [sys.executable, "-W", "error", "page.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_table_of_groups_says_what_they_are() -> None:
    rows = re.findall(
        r"^\| `([^`]+)`[^|]*\| `\(([^`]+)\)`[^|]*\|[^|]*\|[^|]*\| (yes|no|n = 2)",
        page("concepts/groups.md"),
        re.M,
    )
    made = {"SO(n)": "SO(5)", "SL(n)": "SL(3)", "Sp(2n)": "Sp(4)", "Euclidean(n)": "Euclidean(6)"}
    seen = set()
    for name, shape, cayley in rows:
        group = eval("lie." + made.get(name, name), {"lie": lie})
        assert len(group.element_shape) == shape.count(",")
        if shape.replace(" ", "").replace("...,", "").replace(",", "").isdigit():
            assert group.element_shape == tuple(int(n) for n in shape.replace(" ", "").split(",")[1:])
        assert group.cayley_closed == (cayley == "yes")
        seen.add(name)
    assert {"SO2", "SO3", "UnitQuaternion", "SE2", "SE3", "SE23", "Sim3", *made} == seen
    assert lie.SL(2).cayley_closed


def test_first_page_shows_the_program_of_the_readme() -> None:
    assert program(DOCS / "index.md") == program(ROOT / "README.md")


def made_for_the_table(name: str, systems: str) -> integrators.FlowMap:
    """A method on a system of the kind that its row names first."""
    zoo = integrators.zoo
    made = {
        "T + V": lambda: zoo.henon_heiles().system,
        "quadratic T": lambda: zoo.henon_heiles().system,
        "any H": lambda: zoo.charged_particle().system,
        "any": lambda: zoo.henon_heiles().system,
        "constraints": lambda: integrators.ConstrainedHamiltonian("(p1**2 + p2**2)/2", ["q1**2 + q2**2 - 1"]),
        "Lie group": lambda: zoo.heavy_top().system,
    }
    flow: integrators.FlowMap = getattr(integrators, name)(made[systems.split(",")[0]](), 0.1)
    return flow


def test_table_of_methods_says_what_they_are() -> None:
    text = page("concepts/methods.md")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\d+) \| (\d+|varies) \| ([SRE ]*)\|", text, re.MULTILINE)
    assert len(rows) > 40
    for name, systems, order, evaluations, keeps in rows:
        flow = made_for_the_table(name, systems)
        assert flow.order == int(order), name
        assert flow.evaluations == (None if evaluations == "varies" else int(evaluations)), name
        if systems != "any H" or name == "Tao":  # a magnetic field turns round when velocities do
            flags = (flow.symplectic, flow.reversible, flow.energy_preserving)
            assert {letter for letter, holds in zip("SRE", flags, strict=True) if holds} == set(
                keeps.split()
            ), name
        if systems == "quadratic T":
            with pytest.raises(ValueError, match=r"quadratic|T = p"):
                getattr(integrators, name)(integrators.Hamiltonian("sqrt(1 + p**2) + q**2/2"), 0.1)


def test_every_method_is_on_the_page_of_methods_and_every_problem_on_that_of_systems() -> None:
    text = page("concepts/methods.md")
    methods = {
        name
        for name in integrators.__all__
        if isinstance(value := getattr(integrators, name), type) and issubclass(value, integrators.FlowMap)
    }
    assert {name for name in methods - {"FlowMap"} if f"`{name}`" not in text} == set()
    text = page("concepts/systems.md")
    systems = {
        name
        for name in integrators.__all__
        if isinstance(value := getattr(integrators, name), type)
        and issubclass(value, integrators.systems.System)
    }
    named = systems - {"ConstrainedSystem", "PoincareTransformed", "GroupSystem"}
    problems = set(integrators.zoo.__all__) - {"Problem", "quadrotor_integrator"}
    assert {name for name in named | problems if f"`{name}`" not in text} == set()
