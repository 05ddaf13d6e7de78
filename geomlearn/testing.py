"""The conformance suites of the library: subclass one in a pytest module to test a part of your own.

    from geomlearn.testing import MatrixLieGroupSuite

    class TestMyGroup(MatrixLieGroupSuite):
        group = MyGroup()

They need pytest.
"""

from lie.testing import LieGroupSuite, MatrixLieGroupSuite, RiemannianManifoldSuite

__all__ = ["LieGroupSuite", "MatrixLieGroupSuite", "RiemannianManifoldSuite"]
