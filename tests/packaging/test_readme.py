"""The commands that README.md shows exist, and its Python snippet is the public interface."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import geomlearn

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def make_targets(text: str) -> set[str]:
    """Targets of the lines `make target ...` in fenced and indented blocks."""
    return set(re.findall(r"^\s*(?:\$ )?make ([a-z]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_make_commands_are_targets_of_the_makefile(text: str) -> None:
    shown = make_targets(text)
    assert shown
    assert shown <= set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))


def test_files_named_in_shell_blocks_exist() -> None:
    shell = "\n".join(blocks(README, "(?:sh|bash|console)"))
    assert "make demo" in shell
    for path in re.findall(r"(?:examples|benchmarks|tests)/[\w./]+", shell):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_files_named_in_the_text_exist(text: str) -> None:
    named = re.findall(r"(?:examples|benchmarks|tests|docs|lie|geomlearn)/[\w./]+\.(?:py|md|png)", text)
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_files_that_the_text_links_to_exist() -> None:
    linked = re.findall(r"\]\(([\w./-]+)\)", README)
    assert "docs/_static/main_job.png" in linked
    for path in linked:
        assert (ROOT / path).is_file(), path


def test_names_imported_by_the_snippets_are_public() -> None:
    snippets = blocks(README, "python")
    assert snippets
    for snippet in snippets:
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.ImportFrom) and node.module == "geomlearn":
                for alias in node.names:
                    assert hasattr(geomlearn, alias.name), alias.name


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in make_commands(README)
    assert "make test" in make_commands((ROOT / ".ci" / "run").read_text(encoding="utf-8"))


def make_commands(text: str) -> set[str]:
    """The `make target` commands of a text."""
    return {f"make {target}" for target in make_targets(text)}


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citation = re.search(r"^version: (.+)$", cited, re.MULTILINE)
    assert citation is not None
    assert geomlearn.__version__ == project["version"] == citation.group(1)


def test_sub_folders_of_tests_are_packages() -> None:
    """Without `__init__.py` everywhere a folder such as tests/lie shadows the package of that name."""
    folders = [path for path in (ROOT / "tests").rglob("*") if path.is_dir() and list(path.glob("*.py"))]
    assert folders
    assert [str(path) for path in folders if not (path / "__init__.py").is_file()] == []


def test_no_example_shadows_a_package() -> None:
    for name in ("lie", "integrators", "geomlearn"):
        assert not (ROOT / "examples" / name).exists()
        assert not (ROOT / "examples" / f"{name}.py").exists()
