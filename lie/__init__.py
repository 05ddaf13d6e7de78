"""Lie groups on plain torch tensors: closed forms that are right, in value and derivatives, at every angle.

A group is a stateless object whose methods act on tensors with leading batch dimensions:

    >>> import torch
    >>> from lie import SE3
    >>> xi = torch.tensor([1.0, 2.0, 3.0, 0.3, -0.5, 0.7], dtype=torch.float64)
    >>> bool(torch.allclose(SE3.log(SE3.exp(xi)), xi))
    True

Conventions: rotations map body to world; trivialisation is left (body); SE(3) tangents are (translation,
rotation); quaternions are x, y, z, w. Everything differentiates in reverse and forward mode, twice, under
``vmap`` and ``torch.compile``. A new group of matrices subclasses ``MatrixLieGroup``, gives a basis and
is checked by ``lie.testing``.
"""

from . import convert, quaternion, symmetric
from ._euclidean import Euclidean
from ._factors import StructuredFactor, StructuredSPD, structured_factor
from ._grassmann import Grassmann
from ._group import LieGroup
from ._manifold import Manifold
from ._matrix_group import MatrixLieGroup
from ._power import Power
from ._product import Product
from ._riemannian import RiemannianManifold
from ._se2 import SE2
from ._se3 import SE3
from ._se23 import SE23
from ._sim3 import Sim3
from ._sln import SL
from ._so2 import SO2
from ._so3 import SO3
from ._son import SO
from ._sp import Sp
from ._spd import SPD, SPDManifold
from ._sphere import Sphere
from ._stiefel import Stiefel
from ._unit_quaternion import UnitQuaternion
from .convert import (
    quat_wxyz_from_xyzw,
    quat_xyzw_from_wxyz,
    tangent_rot_trans_from_trans_rot,
    tangent_trans_rot_from_rot_trans,
)

__all__ = [
    "SE2",
    "SE3",
    "SE23",
    "SL",
    "SO",
    "SO2",
    "SO3",
    "SPD",
    "Euclidean",
    "Grassmann",
    "LieGroup",
    "Manifold",
    "MatrixLieGroup",
    "Power",
    "Product",
    "RiemannianManifold",
    "SPDManifold",
    "Sim3",
    "Sp",
    "Sphere",
    "Stiefel",
    "StructuredFactor",
    "StructuredSPD",
    "UnitQuaternion",
    "convert",
    "quat_wxyz_from_xyzw",
    "quat_xyzw_from_wxyz",
    "quaternion",
    "structured_factor",
    "symmetric",
    "tangent_rot_trans_from_trans_rot",
    "tangent_trans_rot_from_rot_trans",
]

# Read by geomlearn, which refuses a foreign package of this name.
__geomlearn_distribution__ = "geomlearn"
