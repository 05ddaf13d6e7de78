"""Changes of a recorded graph that leave its values as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Node, map_arg

aten = torch.ops.aten

_OPERANDS = {
    aten.add.Tensor: (aten.add.Tensor, 0, 1),
    aten.add.Scalar: (aten.add.Tensor, 0, 1),
    aten.sub.Tensor: (aten.sub.Tensor, 0, 1),
    aten.sub.Scalar: (aten.sub.Tensor, 0, 1),
    aten.rsub.Tensor: (aten.sub.Tensor, 1, 0),
    aten.rsub.Scalar: (aten.sub.Tensor, 1, 0),
    aten.mul.Tensor: (aten.mul.Tensor, 0, 1),
    aten.mul.Scalar: (aten.mul.Tensor, 0, 1),
    aten.div.Tensor: (aten.div.Tensor, 0, 1),
    aten.div.Scalar: (aten.div.Tensor, 0, 1),
    aten.pow.Tensor_Scalar: (aten.pow.Tensor_Tensor, 0, 1),
    aten.pow.Scalar: (aten.pow.Tensor_Tensor, 0, 1),
    aten.lt.Scalar: (aten.lt.Tensor, 0, 1),
    aten.le.Scalar: (aten.le.Tensor, 0, 1),
    aten.gt.Scalar: (aten.gt.Tensor, 0, 1),
    aten.ge.Scalar: (aten.ge.Tensor, 0, 1),
}
"""The form for tensors of operations of two operands, and places of operands; ``alpha`` is the second's."""
_PRODUCTS = {aten.addcmul.default: aten.mul.Tensor, aten.addcdiv.default: aten.div.Tensor}


def fold_constants(graph: GraphModule) -> None:
    """Evaluate what depends on weights alone, such as the inverse of a learned mass.

    Args:
        graph: The graph; it is changed, unless it changes tensors in place.
    """
    if any(_is_mutable(node) for node in graph.graph.nodes):
        return
    values: dict[Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            values[node] = getattr(graph, str(node.target))
        elif _is_repeatable(node) and all(source in values for source in node.all_input_nodes):
            args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
            with torch.no_grad():
                values[node] = node.target(*args, **kwargs)
    for node, value in values.items():
        outside = any(user not in values for user in node.users)
        if node.op == "call_function" and outside and isinstance(value, Tensor):
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(_constant(graph, value.clone(), node.meta))


def lift_numbers(graph: GraphModule) -> None:
    """Make tensors of the numbers in arithmetic that float32 does not hold.

    The exporter of torch 2.13 rounds numbers to float32 on their way to ONNX, but not tensors.

    Args:
        graph: The graph; it is changed.
    """
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or not any(map(_is_rounded, _numbers(node))):
            continue
        with graph.graph.inserting_before(node):
            if node.target in _OPERANDS:
                operation, *places = _OPERANDS[node.target]
                first, second = (node.args[place] for place in places)
                alpha = node.kwargs.get("alpha", 1)
                if alpha != 1:
                    second = _call(graph, node, aten.mul.Tensor, second, alpha)
                new = _call(graph, node, operation, first, second)
            elif node.target in _PRODUCTS:
                start, *factors = node.args
                product = _call(graph, node, _PRODUCTS[node.target], *factors)
                scaled = _call(graph, node, aten.mul.Tensor, product, node.kwargs["value"])
                new = _call(graph, node, aten.add.Tensor, start, scaled)
            else:
                continue
        node.replace_all_uses_with(new)


def spread_factors(graph: GraphModule) -> None:
    """Make vectors of single factors in float64 that float32 does not hold.

    onnxruntime, up to 1.31 at least, joins a single factor with a product of matrices and rounds it to
    float32.

    Args:
        graph: The graph; it is changed.
    """
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mul.Tensor, aten.div.Tensor):
            continue
        last = (1, *node.meta["val"].shape)[-1]
        for source in node.all_input_nodes:
            value = getattr(graph, str(source.target)) if source.op == "get_attr" else None
            if value is None or value.numel() != 1 or value.dtype != torch.float64:
                continue
            if isinstance(last, int) and last > 1 and _is_rounded(float(value)):
                with graph.graph.inserting_before(node):
                    node.replace_input_with(source, _constant(graph, value.reshape(1).repeat(last), {}))


def drop_checks(graph: GraphModule) -> None:
    """Take out checks that raise, which a graph cannot do; what they would refuse is not finite.

    Args:
        graph: The graph; it is changed.
    """
    for node in list(graph.graph.nodes):
        if node.target == aten._linalg_check_errors.default:
            graph.graph.erase_node(node)


def _is_repeatable(node: Node) -> bool:
    """Whether a node is an operation that draws no random numbers."""
    drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    return node.op == "call_function" and not drawn


def _is_mutable(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _numbers(node: Node) -> list[float]:
    return [entry for entry in (*node.args, *node.kwargs.values()) if type(entry) is float]


def _is_rounded(number: float) -> bool:
    return number == number and float(np.float32(number)) != number


def _call(graph: GraphModule, like: Node, operation: Any, *operands: Any) -> Node:
    """Insert an operation on nodes and numbers, which become constants of the dtype of the nodes."""
    dtype = next(entry for entry in like.all_input_nodes).meta["val"].dtype
    nodes = [
        entry if isinstance(entry, Node) else _constant(graph, torch.tensor(entry, dtype=dtype), {})
        for entry in operands
    ]
    new = graph.graph.call_function(operation, tuple(nodes))
    new.meta = dict(like.meta)
    return new


def _constant(graph: GraphModule, value: Tensor, meta: dict[str, Any]) -> Node:
    name = f"constant_{sum(1 for _ in graph.buffers())}"
    graph.register_buffer(name, value)
    node = graph.graph.get_attr(name)
    node.meta = {**meta, "val": meta.get("val", value)}
    return node
