"""Structure-preserving dynamics: learn a motion on its Lie group and roll it out for millions of steps.

Example:
    >>> from geomlearn import LieFVIN, lie
    >>> model = LieFVIN(lie.SO3, h=0.02, inertia=[[1.0, 0, 0], [0, 2.0, 0], [0, 0, 2.5]])
    >>> model.space
    StateSpace(R: 3x3, omega: 3)
"""

from ._guard import require_own

require_own("lie")
require_own("integrators")

import integrators  # noqa: E402
import lie  # noqa: E402
from integrators import certify, load_rollout, rollout  # noqa: E402

from . import data, export, interop, losses, nn, optim, spd, training  # noqa: E402
from .data import Windows  # noqa: E402
from .nn import LieFVIN  # noqa: E402
from .training import fit, load, save  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "LieFVIN",
    "Windows",
    "certify",
    "data",
    "export",
    "fit",
    "integrators",
    "interop",
    "lie",
    "load",
    "load_rollout",
    "losses",
    "nn",
    "optim",
    "rollout",
    "save",
    "spd",
    "training",
]
