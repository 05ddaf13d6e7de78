"""
Minibatches: Bregman optimizers beside AdamW and Nesterov's momentum
====================================================================

A perceptron learns to read small pictures of digits, drawn from the letters of Matplotlib's fonts, turned,
shifted, stretched and covered with noise. Every optimizer has the same number of trials, at random settings
from ranges of the same size, chosen by the loss on held-out pictures; then the best is run again with other
seeds. The table is what it is: restarting and temporal looping help with full gradients, and do not make
the Bregman methods better than tuned momentum or AdamW on minibatches.

Run ``python examples/plot_optimizer_digits.py --size full``; it writes ``optimizer_digits.png``.
"""

# %%
# Pictures
# --------
# No data are downloaded: each digit of each font is drawn once, and each picture is a random affine view of
# one.
from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from geomlearn import plotting
from geomlearn.optim import BrAVO, BregmanSLC

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=("full", "medium", "small"), default="medium")
parser.add_argument("--figure", type=Path, default=Path("optimizer_digits.png"))
arguments, _ = parser.parse_known_args()
trials, seeds, epochs, pictures = {
    "full": (24, 5, 10, 3000),
    "medium": (8, 3, 5, 3000),
    "small": (2, 2, 1, 300),
}[arguments.size]
torch.set_num_threads(1)


def glyphs() -> Tensor:
    """Digits of six fonts, (10, 6, 64, 64), ink 1."""
    drawn = []
    for digit in range(10):
        for family in ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono"):
            for weight in ("normal", "bold"):
                figure = Figure(figsize=(1, 1), dpi=64)
                canvas = FigureCanvasAgg(figure)
                figure.text(
                    0.5, 0.5, str(digit), family=family, weight=weight, size=44, ha="center", va="center"
                )
                canvas.draw()
                drawn.append(1 - np.asarray(canvas.buffer_rgba())[..., 0] / 255.0)
    return torch.from_numpy(np.stack(drawn)).float().reshape(10, 6, 64, 64)


def pictures_of(shapes: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures, (count, 64), and their digits."""
    g = torch.Generator().manual_seed(seed)
    labels, fonts = torch.randint(10, (count,), generator=g), torch.randint(6, (count,), generator=g)
    angle = 0.12 * torch.randn(count, generator=g)
    stretch = 1 + 0.08 * torch.randn(count, 2, generator=g)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
    view = torch.cat([turn * stretch[:, None], 0.06 * torch.randn(count, 2, 1, generator=g)], -1)
    grid = F.affine_grid(view, [count, 1, 64, 64], align_corners=False)
    seen = F.grid_sample(shapes[labels, fonts][:, None], grid, align_corners=False)
    small = F.avg_pool2d(seen, 8).flatten(1) + 0.1 * torch.randn(count, 64, generator=g)
    return (small - 0.15) / 0.3, labels


shapes = glyphs()
train, held_out, test = (pictures_of(shapes, k, seed) for seed, k in enumerate((pictures, 500, 2000)))

# %%
# The optimizers and their ranges
# -------------------------------
# All of them draw two numbers: a rate from three decades, around where the method trains, and a momentum or,
# for AdamW, a weight decay. The Bregman methods are made from the first step and the momentum of heavy ball,
# which are translated to C and h.
Make = Callable[[Any, float, float], torch.optim.Optimizer]
METHODS: dict[str, tuple[Make, float]] = {  # and the largest rate
    "AdamW": (lambda p, rate, u: torch.optim.AdamW(p, lr=rate, weight_decay=10 ** (-4 + 3 * u)), 1e-1),
    "SGD, Nesterov": (
        lambda p, rate, u: torch.optim.SGD(p, lr=rate, momentum=0.8 + 0.19 * u, nesterov=True),
        1.0,
    ),
    "BrAVO, exponential": (lambda p, rate, u: BrAVO.from_step_and_momentum(p, rate, 0.8 + 0.19 * u), 1e-2),
    "BrAVO, polynomial": (
        lambda p, rate, u: BrAVO.from_step_and_momentum(p, rate, 0.8 + 0.19 * u, family="polynomial"),
        1e-1,
    ),
    "BregmanSLC": (
        lambda p, rate, u: BregmanSLC.from_step_and_momentum(
            p, rate, 0.8 + 0.19 * u, temporal_looping="continuous"
        ),
        1.0,
    ),
}


def run(make: Make, rate: float, second: float, seed: int) -> tuple[list[float], float, float]:
    """Mean training loss of each epoch, loss on held-out pictures, share of test pictures read rightly."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = make(model.parameters(), rate, second)
    losses: list[float] = []
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(train[0])).split(32):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(train[0][batch]), train[1][batch])
            if not bool(loss.isfinite()):
                return [*losses, *[float("inf")] * (epochs - len(losses))], float("inf"), 0.1
            loss.backward()
            try:
                optimizer.step()
            except RuntimeError as error:
                if "infinite or NaN" not in str(error):
                    raise
                return [*losses, *[float("inf")] * (epochs - len(losses))], float("inf"), 0.1
            total += float(loss.detach()) * len(batch) / len(train[0])
        losses.append(total)
    with torch.no_grad():
        validation = float(F.cross_entropy(model(held_out[0]), held_out[1]))
        right = float((model(test[0]).argmax(1) == test[1]).float().mean())
    return losses, validation if validation == validation else float("inf"), right


# %%
# Trials, then seeds
# ------------------
draws = torch.rand(trials, 2, generator=torch.Generator().manual_seed(1)).tolist()
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
print(f"{trials} trials each; mean and standard deviation of {seeds} seeds")
for k, (name, (make, largest)) in enumerate(METHODS.items()):
    settings = [(largest * 10 ** (-3 * a), b) for a, b in draws]
    scores = [run(make, *setting, seed=0)[1] for setting in settings]
    rate, second = settings[int(np.argmin(scores))]
    runs = [run(make, rate, second, seed) for seed in range(1, seeds + 1)]
    curves = torch.tensor([losses for losses, _, _ in runs])
    right = torch.tensor([share for _, _, share in runs])
    print(
        f"  {name:19s} loss {curves[:, -1].mean():.4f} ± {curves[:, -1].std():.4f}, test "
        f"{right.mean():.2%} ± {right.std():.2%}, rate {rate:.2g}, second number {second:.2f}"
    )
    x = torch.arange(1, epochs + 1)
    panels[0].semilogy(x, curves.mean(0), "o-", ms=3, color=plotting.PALETTE[k], label=name, lw=1.3)
    panels[1].errorbar([k], [1 - right.mean()], [right.std()], fmt="o", color=plotting.PALETTE[k], capsize=5)
panels[0].set(xlabel="epoch", ylabel="training loss", title="best setting of each, mean of the seeds")
panels[0].legend()
panels[1].set(ylabel="share of test pictures read wrongly", title=f"after {epochs} epochs")
panels[1].set_xticks(range(len(METHODS)), METHODS, rotation=20, ha="right")
panels[1].grid(axis="y")
figure.savefig(arguments.figure, dpi=110)
