"""
Accuracy for work
=================

Which method is the cheapest for an accuracy? One orbit of Hénon and Heiles is integrated by eight methods
with several steps each. The error of the final state and the largest error of the energy over every step
stand against the number of force evaluations; ``work="seconds"`` draws them against the CPU time, which is
printed below. Then two of them show their certificates: the energy error over time, and the defects of their
structure.

Run ``python examples/plot_work_precision.py``; it writes ``work_precision.png``.
"""

# %%
# Runs
# ----
from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from geomlearn import integrators as gi
from geomlearn import plotting

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "small"), default="full")
parser.add_argument("--figure", type=Path, default=Path("work_precision.png"))
arguments, _ = parser.parse_known_args()
full = arguments.size == "full"

problem = gi.zoo.henon_heiles()
methods: list[type[gi.FlowMap]] = [gi.RungeKutta4, gi.Suzuki4, gi.BlanesMoanS6, gi.KahanLi8]
if full:
    methods += [gi.VerletDriftFirst, gi.Yoshida4, gi.SRKN6, gi.SRKN11]
counts = [200, 400, 800, 1600, 3200] if full else [100, 200, 400]
result = gi.work_precision(problem, methods, counts, duration=200.0 if full else 20.0)
print(result)

# %%
# The structure of two of them
# ----------------------------
steps = 20_000 if full else 500
certificates = {}
for method in (gi.RungeKutta4, gi.BlanesMoanS6):
    flow = method(problem.system, 0.2)
    run = gi.rollout(flow, problem.start, steps, observe=["energy"])
    certificates[method.__name__] = (gi.certify(flow, problem.start, steps=steps), run)
    print(certificates[method.__name__][0])

# %%
# Pictures
# --------
figure, panels = plt.subplots(3, 2, figsize=(11, 11.5), layout="constrained")
plotting.plot_work_precision(panels[0, 0], result)
plotting.plot_work_precision(panels[0, 1], result, error="energy_error")
for row, (certificate, run) in zip(panels[1:], certificates.values(), strict=True):
    plotting.plot_certificate(row, certificate, run, unit="dimensionless")
figure.savefig(arguments.figure, dpi=130)
