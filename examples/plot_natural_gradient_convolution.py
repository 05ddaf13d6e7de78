"""
Natural gradient: a small convolutional network
===============================================

Two convolutions with batch norm and two linear layers read the digits of scikit-learn. The factors of a
convolution act on patches of its input and on its output channels; those of a norm layer on its channels.
Every optimizer has the same number of trials, chosen by the training loss at the end, for equal numbers of
steps and again for equal processor times; then the best is run with other seeds.

Run ``python examples/plot_natural_gradient_convolution.py --size full``; it writes
``natural_gradient_convolution.png``. It needs scikit-learn, ``pip install geomlearn[data]``, and the file
``examples/_comparison.py``.

.. image:: /_static/natural_gradient_convolution.png
   :alt: Training losses of a convolutional network by steps and by seconds
"""
# sphinx_gallery_thumbnail_path = '_static/natural_gradient_convolution.png'

# %%
# The task
# --------
# Pictures are turned and shifted anew in each batch, so that they cannot be learned by heart.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import torch
from _comparison import Task, adamw, compare, draw, muon, natural, nesterov, options
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

arguments = options("natural_gradient_convolution.png")
trials, seeds, steps, every = {"full": (10, 4, 200, 10), "medium": (5, 3, 100, 10), "small": (1, 2, 10, 5)}[
    arguments.size
]
digits = load_digits()
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
x = torch.as_tensor(digits.images, dtype=torch.float32)[order, None] / 16
y = torch.as_tensor(digits.target)[order]
train, test = ((x[part], y[part]) for part in (slice(1300), slice(1300, None)))


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 24, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(384, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def batches() -> Iterator[Any]:
    while True:
        for batch in torch.randperm(1300).split(100):
            angle = 0.25 * torch.randn(len(batch))
            turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).reshape(-1, 2, 2)
            view = torch.cat([turn, 0.1 * torch.randn(len(batch), 2, 1)], -1)
            grid = F.affine_grid(view, [len(batch), 1, 8, 8], align_corners=False)
            yield F.grid_sample(train[0][batch], grid, align_corners=False), train[1][batch]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


@torch.no_grad()
def judge(model: nn.Module) -> float:
    model.eval()
    return float((model(test[0]).argmax(1) != test[1]).float().mean())


task = Task(network, batches, loss, judge, "share of test pictures read wrongly", steps, every)

# %%
# The optimizers
# --------------
# The second number is the weight decay of AdamW and Muon, the momentum of SGD, and the damping of the natural
# gradient. Muon refuses convolutions and vectors, which AdamW takes at a tenth of the rate.
METHODS = {
    "AdamW": adamw(),
    "SGD, Nesterov": nesterov(),
    "Muon": muon(lambda name: True),
    "IKFAC, dense": natural("dense"),
    "INGD, dense": natural("dense", "ingd"),
    "IKFAC, dense, reduce": natural("dense", approximation="reduce"),
    "IKFAC, block": natural("block"),
    "IKFAC, diagonal": natural("diagonal"),
}
compared = compare(task, METHODS, trials, seeds)

# %%
# What came out
# -------------
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
draw(task, compared, panels)
figure.savefig(arguments.figure, dpi=110)
