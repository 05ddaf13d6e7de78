"""Sphinx configuration; build with `make docs`."""

from __future__ import annotations

import importlib
import pkgutil
import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "geomlearn"
author = "geomlearn contributors"
copyright = "2026, geomlearn contributors"
version = release = installed_version("geomlearn")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "accuracy_table.md"]
default_role = "code"
root_doc = "index"

html_theme = "furo"
html_title = f"geomlearn {release}"
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Every name is documented under the package that users import it from, in the order of its `__all__`.
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autoclass_content = "both"  # arguments are described where they are: in the class or in its __init__
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}  # its definition in numpy is a paragraph long
add_module_names = False
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # an attribute described in a class docstring is not described a second time
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    # Scripts that train for minutes are shown as they are, with a picture of docs/_static where there is one.
    "filename_pattern": r"/plot_(fput|groups|long_run|orthogonal|pendulum_chain|wide_steps|work_precision)",
    "ignore_pattern": r"^_",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
}


def escape_formulas(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Keep `|x|` and a lone `*batch` from being read as markup, and drop what torch says of every module."""
    lines[:] = [line for line in lines if not line.startswith("Initialize internal Module state, shared")]
    for number, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")):
            continue
        pieces = line.split("`")
        for outside in range(0, len(pieces), 2):
            bars = re.sub(r"(?<!\\)\|", r"\\|", pieces[outside])
            pieces[outside] = re.sub(r"(?<![\w*\\])\*(?=\w[^*]*$|\w+[,)\s])", r"\\*", bars)
        lines[number] = "`".join(pieces)


PACKAGES = ("lie", "integrators", "geomlearn")
ORIGIN: dict[tuple[str, str], str] = {}
"""Where an object that a package exports is defined, by package and name."""


def adopt_exports() -> None:
    """Let every object say that it belongs to the shallowest package that exports it."""
    names = list(PACKAGES)
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        names += [f"{package}.{info.name}" for info in pkgutil.iter_modules(path) if info.name[0] != "_"]
    adopted: set[int] = set()
    for name in names:
        module = importlib.import_module(name)
        for entry in getattr(module, "__all__", []):
            value = getattr(module, entry)
            home = getattr(value, "__module__", "")
            if isinstance(home, str) and home.split(".")[0] in PACKAGES and id(value) not in adopted:
                adopted.add(id(value))
                ORIGIN[name, entry] = home
                if isinstance(value, type) or callable(value):
                    value.__module__ = name


def skip_adopted_elsewhere(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Describe an object once, in the package that it belongs to."""
    if what != "module" or not isinstance(getattr(obj, "__module__", None), str):
        return None
    here = app.env.temp_data.get("autodoc:module")
    return True if here is not None and obj.__module__ != here else None


def find_origin(app: Sphinx, module: str, attribute: str) -> str | None:
    """Lead a link to the source to the module that holds it."""
    return ORIGIN.get((module, attribute.split(".")[0]))


def shorten_types(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Show a type alias by its name."""
    alias = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    return signature and alias.sub(r"\1", signature), returns and alias.sub(r"\1", returns)


def setup(app: Sphinx) -> None:
    """Connect the hooks."""
    adopt_exports()
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", shorten_types)
    app.connect("autodoc-skip-member", skip_adopted_elsewhere)
    app.connect("viewcode-follow-imported", find_origin)
