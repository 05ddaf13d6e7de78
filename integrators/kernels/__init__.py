"""Generated Numba kernels: assembly of source text, compilation and the rollout loop."""

from ._builder import KernelBuilder, KernelField, KernelPotential, Rows, lane_text
from ._device import device_functions
from ._driver import (
    BLOCK_LANES,
    KernelProgram,
    cache_folder,
    load_kernel,
    load_source,
    module_source,
)
from ._linear import emit_linear_solve
from ._mlp import ACTIVATIONS, EmittedLayers, Layers

__all__ = [
    "ACTIVATIONS",
    "BLOCK_LANES",
    "EmittedLayers",
    "KernelBuilder",
    "KernelField",
    "KernelPotential",
    "KernelProgram",
    "Layers",
    "Rows",
    "cache_folder",
    "device_functions",
    "emit_linear_solve",
    "lane_text",
    "load_kernel",
    "load_source",
    "module_source",
]
