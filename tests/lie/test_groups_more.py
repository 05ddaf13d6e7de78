"""The planar groups, extended poses and similarities against the laws of a Lie group."""

from __future__ import annotations

from lie import SE2, SE23, SO2, Sim3
from lie.testing import MatrixLieGroupSuite


class TestSO2(MatrixLieGroupSuite):
    group = SO2
    compiled = ("exp", "log", "inverse", "cayley")  # the others are constant


class TestSE2(MatrixLieGroupSuite):
    group = SE2
    compiled = ("exp", "log", "Ad", "left_jacobian_inverse")


class TestSE23(MatrixLieGroupSuite):
    group = SE23
    compiled = ("exp", "log", "left_jacobian_inverse")


class TestSim3(MatrixLieGroupSuite):
    group = Sim3
    compiled = ("exp", "log", "left_jacobian_inverse")
