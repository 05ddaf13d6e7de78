"""Shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled kernels go into a folder that the processes of this session share, unless one is named."""
    if os.environ.get("GEOMLEARN_CACHE"):
        yield
        return
    base = tmp_path_factory.getbasetemp()
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOMLEARN_CACHE", str(session / "kernels"))
        yield
