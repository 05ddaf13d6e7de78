"""Training data: windows and recordings, readers, simulated and recomputed data sets."""

from ._arrays import from_arrays
from ._coupled_oscillators import coupled_oscillator_windows
from ._csv import from_csv
from ._hdf5 import from_hdf5, load_recordings, save_recordings
from ._mujoco import simulate
from ._mujoco_model import RigidBodyParameters, rigid_body_parameters, spherical_pendulum_xml
from ._planar_pendulum import planar_pendulum_recordings, planar_pendulum_windows
from ._recording import Recording, windows
from ._resample import estimate_velocities, resample
from ._rotations import random_rotations
from ._solved import solved_windows
from ._windows import Windows

__all__ = [
    "Recording",
    "RigidBodyParameters",
    "Windows",
    "coupled_oscillator_windows",
    "estimate_velocities",
    "from_arrays",
    "from_csv",
    "from_hdf5",
    "load_recordings",
    "planar_pendulum_recordings",
    "planar_pendulum_windows",
    "random_rotations",
    "resample",
    "rigid_body_parameters",
    "save_recordings",
    "simulate",
    "solved_windows",
    "spherical_pendulum_xml",
    "windows",
]
