"""Long trajectories: chunked execution in torch or in compiled kernels, observers, files."""

from ._load import load_rollout
from ._result import Rollout
from ._run import rollout

__all__ = ["Rollout", "load_rollout", "rollout"]
