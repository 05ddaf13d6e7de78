"""The graph of a quantity: derivatives written out, weights folded into constants."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ._elimination import DECOMPOSITIONS
from ._errors import ExportError
from ._passes import drop_checks, fold_constants, lift_numbers, spread_factors
from ._target import Function, Target, frozen


class _Holder(nn.Module):
    """A model and one of its functions, as a module whose call is that function."""

    def __init__(self, model: nn.Module, function: Function) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def trace(target: Target, arguments: tuple[Tensor, ...], onnx: bool) -> GraphModule:
    """Record the operations of a quantity, for batches of any size.

    Args:
        target: What is traced.
        arguments: Example arguments with a batch of at least 2.
        onnx: Whether to write out what ONNX lacks, such as inverses of matrices.

    Returns:
        A graph of torch's own operations, free of automatic differentiation.

    Raises:
        ExportError: If the operations depend on the values of states.
        TypeError: If the quantity is no tensor.
    """
    model = frozen(target.model)
    holder = _Holder(model, target.function(model))
    numbers = {
        name: tensor.detach() for name, tensor in (*holder.named_parameters(), *holder.named_buffers())
    }

    def call(*inputs: Tensor) -> Tensor:
        value = torch.func.functional_call(holder, numbers, inputs)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"quantity: expected one whose values are tensors, but {target.quantity!r} of"
                f" {type(target.model).__name__} returns {type(value).__name__}"
            )
        return value

    record = make_fx(
        call,
        decomposition_table=DECOMPOSITIONS if onnx else {},
        tracing_mode="symbolic",
        _allow_non_fake_inputs=True,
    )
    try:
        # Under this flag the library's steps take the form without branches that compilers are given.
        with torch.compiler._compile_session_context():
            graph: GraphModule = record(*arguments)
    except GuardOnDataDependentSymNode as error:
        raise ExportError(_why(target)) from error
    drop_checks(graph)
    fold_constants(graph)
    if onnx:
        lift_numbers(graph)
        spread_factors(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _why(target: Target) -> str:
    """Say which part of a model looks at values, and what to export in its place."""
    solving = {type(part).__name__ for part in target.model.modules() if getattr(part, "implicit", False)}
    if solving:
        return (
            f"model: a step of {', '.join(sorted(solving))} solves equations by an iteration that ends when"
            " rounding stops it, and a graph has no loop whose length depends on the state; export an"
            " explicit method such as Verlet, BlanesMoanS6 or RungeKutta4, or the field,"
            " to_onnx(system, path), and solve where it is used"
        )
    return (
        f"model: {target.quantity!r} of {type(target.model).__name__} branches on the values of states, which"
        " a graph cannot; write the branch with torch.where"
    )
