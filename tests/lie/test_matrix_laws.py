"""SO(n), SL(n) and Sp(2n) against the laws of a group of matrices.

``compiled`` names each kind of operation once: the logarithm of Sp(4) is that of SL(3) too.
"""

from __future__ import annotations

from lie import SL, SO, Sp
from lie.testing import MatrixLieGroupSuite


class TestSO4(MatrixLieGroupSuite):
    group = SO(4)
    compiled = ("exp", "log", "Ad", "ad")


class TestSO5(MatrixLieGroupSuite):
    group = SO(5)
    compiled = ("inverse",)


class TestSL2(MatrixLieGroupSuite):
    group = SL(2)
    compiled = ("exp", "log", "inverse")


class TestSL3(MatrixLieGroupSuite):
    group = SL(3)
    compiled = ("exp", "left_jacobian_inverse")


class TestSp2(MatrixLieGroupSuite):
    group = Sp(2)
    compiled = ("inverse",)


class TestSp4(MatrixLieGroupSuite):
    group = Sp(4)
    compiled = ("log", "inverse", "Ad", "ad")
