"""Long trajectories: chunked execution in torch or in compiled kernels, observers, files."""

from ._result import Rollout
from ._run import rollout

__all__ = ["Rollout", "rollout"]
