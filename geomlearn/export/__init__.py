"""Flow maps and systems as graphs that run without Python: ``torch.export`` programs and ONNX files.

A controller or a simulator in another language takes a step of a trained map, its next states or the field
of a learned energy from one file. Derivatives inside a model, such as the gradient of a learned Hamiltonian,
are written out as ordinary operations of the graph.

Examples:
    >>> import torch
    >>> from geomlearn import export
    >>> from integrators import ModuleHamiltonian, RungeKutta4
    >>> energy = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    >>> step = RungeKutta4(ModuleHamiltonian(energy, degrees=1), h=0.1)
    >>> x = torch.tensor([[0.3, -0.2], [0.1, 0.0]], dtype=torch.float64)
    >>> bool(torch.allclose(export.to_program(step).module()(x), step(x)))
    True
"""

from ._description import describe
from ._errors import ExportError
from ._onnx import to_onnx
from ._program import to_program

__all__ = ["ExportError", "describe", "to_onnx", "to_program"]
