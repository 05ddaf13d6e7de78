"""What goes wrong on the way into a file."""

from __future__ import annotations


class ExportError(RuntimeError):
    """A model has no graph, the graph has no counterpart in ONNX, or the file gives other numbers."""
