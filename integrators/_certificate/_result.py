"""What ``certify`` returns."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ._drift import Drift
from ._growth import Growth


@dataclass(frozen=True)
class MomentumDrift:
    """Drift of one component of a momentum.

    Attributes:
        drift: Largest deviation from its first value, over all trajectories.
        scale: Largest absolute value of the momentum.
        conserved: Whether the potential is symmetric in this direction and no force acts; ``None`` if not
            known.
    """

    drift: float
    scale: float
    conserved: bool | None


@dataclass(frozen=True)
class InvariantDrift:
    """Change of an invariant of the system.

    Attributes:
        name: Its name.
        change: Largest deviation from the first value, over all trajectories and components.
        scale: Largest absolute value.
    """

    name: str
    change: float
    scale: float


@dataclass(frozen=True)
class Certificate:
    """Structure of a flow map, measured at given states; what does not apply or is not known is ``None``.

    Attributes:
        flow: Name of the class of the map.
        h: Step length.
        steps: Length of the rollout.
        trajectories: Number of trajectories.
        failed: How many of them failed in the rollout.
        eps: Rounding unit of the states.
        symplectic_defect: Largest entry of ``D^T after D - before`` of one step; 0 for a symplectic map.
        form_scale: Largest entry of the symplectic form, at least 1, by which the defect is judged.
        poisson_defect: Largest entry of ``D B(x) D^T - B(y)`` of one step from ``x`` to ``y``; 0 for a
            Poisson map.
        structure_scale: Largest entry of ``B``, at least 1, by which that is judged.
        state_scale: Largest entry of the states, at least 1, by which reversibility and inverse are judged.
        volume_defect: ``| |det D| - 1 |`` of one step; 0 where phase volume is kept.
        group_error: For each part on a group, its distance from the group at the end.
        group_growth: For each part on a group, the growth of that distance per step.
        constraint_residual: Largest violation of the constraints of the system along the rollout.
        solver_residual: Relative residual of the implicit equation of one step.
        energy: Drift of the energy on the trajectory where it is most significant.
        energy_growth: Law by which the energy error grows, over all trajectories.
        momentum: Drift of each component of the momentum.
        invariants: Change of each invariant of the system.
        reversibility: Largest entry of ``flip(step(flip(step(x)))) - x``.
        inverse: Largest entry of ``inverse(step(x)) - x``.
        order: Order of accuracy measured by halving the step.
        stated_order: Order of accuracy that the map states.
    """

    flow: str
    h: float
    steps: int
    trajectories: int
    failed: int
    eps: float
    symplectic_defect: float | None
    form_scale: float
    poisson_defect: float | None
    structure_scale: float
    state_scale: float
    volume_defect: float | None
    group_error: dict[str, float]
    group_growth: dict[str, float]
    constraint_residual: float | None
    solver_residual: float | None
    energy: Drift | None
    energy_growth: Growth | None
    momentum: tuple[MomentumDrift, ...]
    invariants: tuple[InvariantDrift, ...]
    reversibility: float | None
    inverse: float | None
    order: float | None
    stated_order: int | None

    @property
    def symplectic(self) -> bool | None:
        """Whether the step is symplectic to rounding."""
        return self._exact(self.symplectic_defect, self.form_scale)

    @property
    def poisson(self) -> bool | None:
        """Whether the step is a Poisson map to rounding."""
        return self._exact(self.poisson_defect, self.structure_scale)

    @property
    def volume_preserving(self) -> bool | None:
        """Whether the step keeps phase volume to rounding."""
        return self._exact(self.volume_defect)

    @property
    def reversible(self) -> bool | None:
        """Whether flipping the velocities turns the step into its inverse, to rounding."""
        return self._exact(self.reversibility, self.state_scale)

    @property
    def on_group(self) -> bool | None:
        """Whether all parts stay on their groups, up to rounding that adds up over the steps."""
        if not self.group_error:
            return None
        return max(self.group_error.values()) <= 10 * self.eps * (100 + self.steps)

    @property
    def energy_drifts(self) -> bool | None:
        """Whether the energy has a drift that neither its oscillation nor rounding explains."""
        return None if self.energy is None else self.energy.significant

    @property
    def momentum_conserved(self) -> bool | None:
        """Whether the components that should be conserved are, up to rounding that adds up over the steps."""
        expected = [m for m in self.momentum if m.conserved]
        if not expected:
            return None
        return all(self._kept(m) for m in expected)

    def _kept(self, m: MomentumDrift) -> bool:
        return self._adds_up(m.drift, m.scale)

    def keeps(self, name: str) -> bool:
        """Whether an invariant of the system is kept, up to rounding that adds up over the steps.

        Args:
            name: Name of the invariant.

        Returns:
            Whether it is.

        Raises:
            ValueError: If the system has no such invariant.
        """
        for invariant in self.invariants:
            if invariant.name == name:
                return self._adds_up(invariant.change, max(invariant.scale, 1e-300))
        raise ValueError(f"name: expected one of {tuple(i.name for i in self.invariants)}, got {name!r}")

    def _adds_up(self, change: float, scale: float) -> bool:
        return change <= 10 * self.eps * (100 + self.steps) * scale

    @property
    def on_constraints(self) -> bool | None:
        """Whether the constraints hold to rounding."""
        return self._exact(self.constraint_residual, self.state_scale)

    @property
    def invertible(self) -> bool | None:
        """Whether ``inverse`` undoes a step to rounding."""
        return self._exact(self.inverse, self.state_scale)

    @property
    def solved(self) -> bool | None:
        """Whether the implicit equation of a step is solved to rounding."""
        return self._exact(self.solver_residual)

    def _exact(self, defect: float | None, scale: float = 1.0) -> bool | None:
        return None if defect is None else defect <= 1e4 * self.eps * scale

    def rows(self) -> list[tuple[str, str, str]]:
        """Quantity, value and finding of every measurement that applies."""
        rows = [
            ("failed trajectories", f"{self.failed} of {self.trajectories}", "" if self.failed else "none")
        ]
        rows += _row("symplectic defect of a step", self.symplectic_defect, self.symplectic, "symplectic")
        rows += _row("Poisson defect of a step", self.poisson_defect, self.poisson, "Poisson")
        rows += _row(
            "volume defect of a step", self.volume_defect, self.volume_preserving, "volume-preserving"
        )
        rows += _row("solver residual (relative)", self.solver_residual, self.solved, "solved")
        rows += _row("reversibility of a step", self.reversibility, self.reversible, "reversible")
        rows += _row("inverse of a step", self.inverse, self.invertible, "inverted")
        for name, error in self.group_error.items():
            growth = f"{error:.2e} (+{self.group_growth[name]:.1e} per step)"
            rows.append(
                (f"distance of {name} from its group", growth, "on the group" if self.on_group else "OFF")
            )
        rows += _row("residual of the constraints", self.constraint_residual, self.on_constraints, "kept")
        rows += self._energy_rows()
        for k, m in enumerate(self.momentum):
            finding = "no symmetry" if m.conserved is False else ""
            if m.conserved:
                finding = "conserved" if self._kept(m) else "NOT conserved, though a symmetry"
            rows.append((f"momentum {k}: largest change", f"{m.drift:.2e} of {m.scale:.2g}", finding))
        for i in self.invariants:
            finding = "conserved" if self.keeps(i.name) else "changes"
            rows.append(
                (f"{i.name.replace('_', ' ')}: largest change", f"{i.change:.2e} of {i.scale:.2g}", finding)
            )
        if self.order is not None:
            rows.append(("order by step halving", f"{self.order:.2f}", f"stated {self.stated_order}"))
        return rows

    def _energy_rows(self) -> list[tuple[str, str, str]]:
        e, growth = self.energy, self.energy_growth
        if e is None:
            return []
        slope = f"{e.slope:.2e} ± {e.standard_error:.1e} (t = {e.t_statistic:.1f})"
        rows = [
            ("energy: drift per unit of time", slope, "DRIFTS" if e.significant else "no drift"),
            ("energy: band / scale, largest change", f"{e.band:.2e}, {e.largest:.2e}", ""),
        ]
        if growth is not None and growth.law != "zero":
            power = f"t^({growth.exponent:.2f} ± {growth.standard_error:.2f})"
            rows.append(("energy: growth of the error", power, growth.law))
        return rows

    def table(self) -> Table:
        """A ``rich`` table of the measurements."""
        table = Table(
            title=f"{self.flow}, h = {self.h:g}, {self.steps} steps, {self.trajectories} trajectories"
        )
        for heading in ("quantity", "measured", "finding"):
            table.add_column(heading)
        for row in self.rows():
            table.add_row(*row)
        return table

    def __str__(self) -> str:
        """The table as plain text."""
        console = Console(file=io.StringIO(), width=110, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()


def _row(name: str, value: float | None, holds: bool | None, word: str) -> list[tuple[str, str, str]]:
    if value is None:
        return []
    return [(name, f"{value:.2e}", word if holds else f"NOT {word}")]
