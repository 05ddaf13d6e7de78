"""Generated Numba kernels: assembly of source text, compilation and the rollout loop."""

from ._builder import KernelBuilder, KernelField, KernelPotential, Rows, lane_text
from ._cache import cache_folder, load_kernel, load_source
from ._cuda import cuda_source, load_cuda_kernel
from ._device import device_functions
from ._linear import emit_linear_solve, gram_solve_text, symmetric_solve
from ._mlp import ACTIVATIONS, EmittedLayers, Layers
from ._module import module_source
from ._network import KernelNetwork, emit_network
from ._order import on_demand
from ._program import BLOCK_LANES, KernelProgram
from ._rescale import rescale_program

__all__ = [
    "ACTIVATIONS",
    "BLOCK_LANES",
    "EmittedLayers",
    "KernelBuilder",
    "KernelField",
    "KernelNetwork",
    "KernelPotential",
    "KernelProgram",
    "Layers",
    "Rows",
    "cache_folder",
    "cuda_source",
    "device_functions",
    "emit_linear_solve",
    "emit_network",
    "gram_solve_text",
    "lane_text",
    "load_cuda_kernel",
    "load_kernel",
    "load_source",
    "module_source",
    "on_demand",
    "rescale_program",
    "symmetric_solve",
]
