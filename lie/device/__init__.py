"""Group functions of one body for kernels: tuples of floats in, tuples of floats out, ``math`` alone.

They are the functions of ``lie.SO3``, ``lie.SE3`` and ``lie.UnitQuaternion`` written for one element, right
to rounding at every angle like those, and plain Python:

    >>> from lie import device
    >>> R = device.so3_exp((0.0, 0.0, 0.5))
    >>> device.so3_log(R)
    (0.0, 0.0, 0.5)

``integrators.kernels.device_functions`` compiles them, in float32 or float64, for kernels of one's own on the
CPU and in CUDA.

A ``Vector`` is a tuple of 3, a ``Quaternion`` is (x, y, z, w), a ``Matrix`` has the 9 entries of a rotation
row by row, a ``Motion`` the 12 entries of the first three rows of a rigid motion (the fourth is 0, 0, 0, 1),
a ``Twist`` is (translation, rotation). Nothing is checked. In Python a division by zero raises; compiled, it
gives an infinity or NaN.
"""

from ._quaternion import (
    quaternion_act,
    quaternion_Ad,
    quaternion_cayley,
    quaternion_cayley_inverse,
    quaternion_compose,
    quaternion_exp,
    quaternion_exp_vjp,
    quaternion_inverse,
    quaternion_log,
    quaternion_log_vjp,
)
from ._se3 import (
    se3_act,
    se3_Ad,
    se3_cayley,
    se3_cayley_inverse,
    se3_compose,
    se3_exp,
    se3_exp_vjp,
    se3_from_parts,
    se3_inverse,
    se3_left_jacobian,
    se3_left_jacobian_inverse,
    se3_log,
    se3_log_vjp,
    se3_rotation,
    se3_translation,
)
from ._series import PowerSeries
from ._so3 import (
    so3_act,
    so3_Ad,
    so3_cayley,
    so3_cayley_inverse,
    so3_compose,
    so3_exp,
    so3_exp_vjp,
    so3_from_quaternion,
    so3_inverse,
    so3_left_jacobian,
    so3_left_jacobian_inverse,
    so3_log,
    so3_log_vjp,
    so3_to_quaternion,
)
from ._vector import Matrix, Motion, Quaternion, Twist, Vector

__all__ = [
    "Matrix",
    "Motion",
    "PowerSeries",
    "Quaternion",
    "Twist",
    "Vector",
    "quaternion_Ad",
    "quaternion_act",
    "quaternion_cayley",
    "quaternion_cayley_inverse",
    "quaternion_compose",
    "quaternion_exp",
    "quaternion_exp_vjp",
    "quaternion_inverse",
    "quaternion_log",
    "quaternion_log_vjp",
    "se3_Ad",
    "se3_act",
    "se3_cayley",
    "se3_cayley_inverse",
    "se3_compose",
    "se3_exp",
    "se3_exp_vjp",
    "se3_from_parts",
    "se3_inverse",
    "se3_left_jacobian",
    "se3_left_jacobian_inverse",
    "se3_log",
    "se3_log_vjp",
    "se3_rotation",
    "se3_translation",
    "so3_Ad",
    "so3_act",
    "so3_cayley",
    "so3_cayley_inverse",
    "so3_compose",
    "so3_exp",
    "so3_exp_vjp",
    "so3_from_quaternion",
    "so3_inverse",
    "so3_left_jacobian",
    "so3_left_jacobian_inverse",
    "so3_log",
    "so3_log_vjp",
    "so3_to_quaternion",
]
