"""Fused groups against the laws of a Lie group, their loops run by Python."""

from __future__ import annotations

import pytest

from integrators import fused
from integrators._fused._kernel import Kernel
from lie import SE3, SO3, UnitQuaternion
from lie.testing import LieGroupSuite, MatrixLieGroupSuite

from ._interpreted_loops import interpreted

COMPILED = ("exp", "log")


@pytest.fixture(autouse=True)
def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "run", interpreted)


class TestRotations(MatrixLieGroupSuite):
    group = fused(SO3)
    compiled = COMPILED


class TestRigidMotions(MatrixLieGroupSuite):
    group = fused(SE3)
    compiled = COMPILED


class TestQuaternions(LieGroupSuite):
    group = fused(UnitQuaternion)
    compiled = COMPILED
