"""Kernels of layers one after another: layers of one kind become one loop."""

from __future__ import annotations

from collections.abc import Sequence

from integrators.kernels import KernelBuilder, Rows

from ._layer import SymplecticLayer

Item = tuple[SymplecticLayer, str]
LONGEST_PERIOD = 4
"""Layers after which a pattern may repeat."""


def emit_layers(
    builder: KernelBuilder,
    layers: Sequence[SymplecticLayer],
    z: Rows,
    strengths: Sequence[str],
    inverse: bool = False,
    control: Rows | None = None,
) -> None:
    """Write layers one after another, in place, in the current section.

    Layers that differ in their numbers alone, or patterns of up to four of them such as alternating shears,
    are written once, in a loop over their numbers.

    Args:
        builder: The kernel under construction.
        layers: The layers in the order in which the map applies them.
        z: Rows of the state.
        strengths: Text of the strength of each layer.
        inverse: Whether to write the inverse of the whole: the inverses in reverse order.
        control: Rows of the parameters.
    """
    items = list(zip(layers, strengths, strict=True))
    if inverse:
        items.reverse()
    rows = control or []
    first = 0
    while first < len(items):
        period, times = _repeats(items[first:])
        pattern = items[first : first + period]
        run = items[first : first + period * times]
        first += len(run)
        offset = builder.parameter_count
        for layer, _ in run:
            for value in layer.kernel_numbers():
                builder.parameter(value)
        places, width = [offset], 0
        for layer, _ in pattern:
            width += sum(value.numel() for value in layer.kernel_numbers())
            places.append(offset + width)
        if times == 1:
            for (layer, strength), place in zip(pattern, places):
                layer.emit_at(builder, z, str(place), strength, inverse, rows[: layer.control_size])
            continue
        with builder.loop(f"for run in range({times}):"):
            for k, (layer, strength) in enumerate(pattern):
                builder.line(f"place_{k} = {places[k]} + {width} * run")
                layer.emit_at(builder, z, f"place_{k}", strength, inverse, rows[: layer.control_size])


def _repeats(items: Sequence[Item]) -> tuple[int, int]:
    """Length of the pattern at the beginning that covers most layers, and how often it stands there."""
    keys = [(layer.kernel_key(), strength) for layer, strength in items]
    best = (1, 1)
    for period in range(1, min(LONGEST_PERIOD, len(keys)) + 1):
        times = 1
        while keys[times * period : (times + 1) * period] == keys[:period]:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    return best
