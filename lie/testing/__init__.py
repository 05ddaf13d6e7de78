"""The laws of groups and manifolds as pytest suites: subclass one, name the space, and all of it is checked.

    from lie.testing import MatrixLieGroupSuite

    class TestMyGroup(MatrixLieGroupSuite):
        group = MyGroup()

The laws are the defining equations of ``LieGroup``, ``MatrixLieGroup`` and ``RiemannianManifold``;
derivatives are checked in reverse and forward mode, twice, at the identity and next to it; so are ``vmap``,
``torch.compile``, broadcasting, dtypes and refusals.
"""

from ._group_suite import LieGroupSuite
from ._manifold_suite import RiemannianManifoldSuite
from ._matrix_suite import MatrixLieGroupSuite

__all__ = ["LieGroupSuite", "MatrixLieGroupSuite", "RiemannianManifoldSuite"]
