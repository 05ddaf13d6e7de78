"""Shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled kernels go into a folder of this session, unless the environment names one."""
    if os.environ.get("GEOMLEARN_CACHE"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOMLEARN_CACHE", str(tmp_path_factory.mktemp("kernels")))
        yield
