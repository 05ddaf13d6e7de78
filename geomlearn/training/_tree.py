"""Nested Python values with tensors inside, such as an optimizer's state, as JSON beside named tensors."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor


def encode(value: Any, tensors: dict[str, Tensor], prefix: str) -> Any:
    """Turn a nested value into plain JSON, moving its tensors into a dictionary.

    Numbers keep every bit: JSON writes the shortest text that reads back to the same float.

    Args:
        value: Dictionaries with text or integer keys, lists, tuples, tensors, numbers, texts, booleans,
            ``None``.
        tensors: Receives the tensors.
        prefix: First word of the names of the tensors.

    Returns:
        A value of plain JSON types.

    Raises:
        TypeError: If something else is inside.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, Tensor):
        name = f"{prefix}.{len(tensors)}"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"{prefix}: expected keys that are texts or integers, got {key!r}")
        return {"dict": [[key, encode(item, tensors, prefix)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [encode(item, tensors, prefix) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else {"list": items}
    raise TypeError(
        f"{prefix}: expected tensors, numbers, texts, lists, tuples or dictionaries, got"
        f" {type(value).__name__}"
    )


def decode(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Undo ``encode``.

    Args:
        tree: What ``encode`` returned.
        tensors: The tensors it moved.

    Returns:
        The nested value.

    Raises:
        ValueError: If the tree is not of this form or names a tensor that is missing.
    """
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if not isinstance(tree, dict) or len(tree) != 1:
        raise ValueError(f"tree: expected one tagged value, got {tree!r}")
    (tag, content), *_ = tree.items()
    if tag == "float":
        return float(content)
    if tag == "tensor":
        if content not in tensors:
            raise ValueError(f"tree: names the tensor {content!r}, which is missing")
        return tensors[content]
    if tag == "dict":
        return {key: decode(item, tensors) for key, item in content}
    if tag in ("list", "tuple"):
        items = [decode(item, tensors) for item in content]
        return tuple(items) if tag == "tuple" else items
    raise ValueError(f"tree: expected a tag among float, tensor, dict, list, tuple, got {tag!r}")
