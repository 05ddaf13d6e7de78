"""Kernel code of learned potentials that see the quaternion of the rotation."""

from __future__ import annotations

from integrators.kernels import EmittedLayers, KernelBuilder, Rows


def emit_even_value(builder: KernelBuilder, net: EmittedLayers, position: Rows, rotation: Rows) -> int:
    """Add code for the mean of a network over the quaternion and its negative.

    Args:
        builder: The kernel under construction.
        net: Network of ``(x, q)``.
        position: Rows of ``x``, none on SO(3).
        rotation: Rows of ``R``.

    Returns:
        Row of the mean.
    """
    total = builder.rows(1)[0]
    plus, minus = _quaternion_inputs(builder, position, rotation)
    builder.lanes(f"@{total} = 0.5 * @{_value(net, plus)}")
    builder.lanes(f"@{total} += 0.5 * @{_value(net, minus)}")
    return total


def emit_even_gradient(
    builder: KernelBuilder, net: EmittedLayers, position: Rows, rotation: Rows
) -> tuple[Rows, Rows]:
    """Add code for the gradient of the mean over the quaternion and its negative.

    Args:
        builder: The kernel under construction.
        net: Network of ``(x, q)``.
        position: Rows of ``x``, none on SO(3).
        rotation: Rows of ``R``.

    Returns:
        Rows of ``dU/dx`` and of ``dU/dR``, the latter tangent to the group.
    """
    n = len(position)
    plus, minus = _quaternion_inputs(builder, position, rotation)
    mean = builder.rows(n + 4)
    for inputs, first in ((plus, True), (minus, False)):
        net.emit_forward(inputs)
        slope = net.emit_backward()
        signs = ["" if first or k < n else "-" for k in range(n + 4)]
        operator = "=" if first else "+="
        builder.lanes(
            *[f"@{row} {operator} 0.5 * ({s}@{k})" for row, s, k in zip(mean, signs, slope, strict=True)]
        )
    slope_r = builder.rows(9)
    _emit_tangent_slope(builder, mean[n:], plus[n:], rotation, slope_r)
    return mean[:n], slope_r


def _value(net: EmittedLayers, inputs: Rows) -> int:
    return net.emit_forward(inputs)[0]


def _emit_tangent_slope(
    builder: KernelBuilder, slope: Rows, quaternion: Rows, rotation: Rows, target: Rows
) -> None:
    """Body torque from the slope in the quaternion, and from it ``dU/dR = -R S(torque) / 2``."""
    (a, b, c, d), (x, y, z, w) = [[f"@{row}" for row in rows] for rows in (slope, quaternion)]
    builder.lanes(
        f"t0 = -0.5 * ({w} * {a} + {b} * {z} - {c} * {y} - {d} * {x})",
        f"t1 = -0.5 * ({w} * {b} + {c} * {x} - {a} * {z} - {d} * {y})",
        f"t2 = -0.5 * ({w} * {c} + {a} * {y} - {b} * {x} - {d} * {z})",
        *[
            f"@{target[3 * i + j]} = 0.5 * (t{(j + 1) % 3} * @{rotation[3 * i + (j + 2) % 3]}"
            f" - t{(j + 2) % 3} * @{rotation[3 * i + (j + 1) % 3]})"
            for i in range(3)
            for j in range(3)
        ],
    )


def _quaternion_inputs(builder: KernelBuilder, position: Rows, rotation: Rows) -> tuple[Rows, Rows]:
    """Rows of ``(x, q)`` and ``(x, -q)``."""
    n = len(position)
    plus, minus = builder.rows(n + 4), builder.rows(n + 4)
    for rows in (plus, minus):
        if n:
            builder.lanes(*[f"@{a} = @{b}" for a, b in zip(rows[:n], position, strict=True)])
    _emit_quaternion(builder, rotation, (plus[n:], minus[n:]))
    return plus, minus


def _emit_quaternion(builder: KernelBuilder, rotation: Rows, sign_rows: tuple[Rows, Rows]) -> None:
    """Unit quaternion of ``R`` and its negative, from the largest of its four components."""
    r = [f"@{row}" for row in rotation]
    trace = f"({r[0]} + {r[4]} + {r[8]})"
    skew = (f"({r[7]} - {r[5]})", f"({r[2]} - {r[6]})", f"({r[3]} - {r[1]})")
    pivot_w = (*skew, f"1.0 + {trace}")
    pivot_x = (f"1.0 + {r[0]} - {r[4]} - {r[8]}", f"{r[1]} + {r[3]}", f"{r[2]} + {r[6]}", skew[0])
    pivot_y = (f"{r[1]} + {r[3]}", f"1.0 - {r[0]} + {r[4]} - {r[8]}", f"{r[5]} + {r[7]}", skew[1])
    pivot_z = (f"{r[2]} + {r[6]}", f"{r[5]} + {r[7]}", f"1.0 - {r[0]} - {r[4]} + {r[8]}", skew[2])
    lines = [f"best = max(max({trace}, {r[0]}), max({r[4]}, {r[8]}))"]
    for k in range(4):
        lines.append(
            f"q{k} = ({pivot_w[k]}) if {trace} == best else (({pivot_x[k]}) if {r[0]} == best"
            f" else (({pivot_y[k]}) if {r[4]} == best else ({pivot_z[k]})))"
        )
    lines.append("scale = 1.0 / math.sqrt(q0 * q0 + q1 * q1 + q2 * q2 + q3 * q3)")
    for k in range(4):
        lines.append(f"@{sign_rows[0][k]} = q{k} * scale\n@{sign_rows[1][k]} = -q{k} * scale")
    builder.lanes(*lines)
