"""
Natural gradient: a small transformer
=====================================

A transformer with two layers predicts the next character of English text, the help pages that Python brings
along. Its embedding, attention projections, layer norms and linear layers all have curvature, collected by
one scope around the loss; the learned positions are a plain parameter and are stepped as AdamW does, inside
the same optimizer. Every optimizer has the same number of trials, chosen by the training loss at the end,
for equal numbers of steps and again for equal processor times; then the best is run with other seeds.

Run ``python examples/plot_natural_gradient_transformer.py --size full``; it writes
``natural_gradient_transformer.png``. It needs the file ``examples/_comparison.py``.

.. image:: /_static/natural_gradient_transformer.png
   :alt: Training losses of a transformer by steps and by seconds
"""
# sphinx_gallery_thumbnail_path = '_static/natural_gradient_transformer.png'

# %%
# Text
# ----
# Lower-case letters, the space and the most frequent marks; everything else is one more character.
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import torch
from _comparison import Task, adamw, compare, draw, muon, natural, nesterov, options
from torch import Tensor, nn
from torch.nn import functional as F

arguments = options("natural_gradient_transformer.png")
trials, seeds, steps, every = {"full": (6, 3, 300, 10), "medium": (3, 2, 100, 10), "small": (1, 2, 10, 5)}[
    arguments.size
]
length, width = 32, 48
text = " ".join(" ".join(topics.values()).lower().split())
known = {letter: k for k, (letter, _) in enumerate(Counter(text).most_common(47))}
codes = torch.tensor([known.get(letter, 47) for letter in text])
train, held_out = codes[: len(codes) * 9 // 10], codes[len(codes) * 9 // 10 :]


def windows(source: Tensor, starts: Tensor) -> Tensor:
    """Characters from each start on, (count, length + 1)."""
    return source[starts[:, None] + torch.arange(length + 1)]


# %%
# The model
# ---------
class Transformer(nn.Module):
    """Characters (N, length) to the logits of those that follow, (N, length, 48)."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(48, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 48)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, letters: Tensor) -> Tensor:
        """Predict each next character from those before."""
        x = self.letters(letters) + self.positions
        for layer in self.layers:
            x = layer(x, src_mask=self.mask, is_causal=True)
        logits: Tensor = self.head(self.norm(x))
        return logits


def batches() -> Iterator[Tensor]:
    while True:
        yield windows(train, torch.randint(len(train) - length, (16,)))


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    return F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def judge(model: nn.Module) -> float:
    return float(loss(model, windows(held_out, torch.arange(0, 400 * length, length))))


task = Task(Transformer, batches, loss, judge, "loss on held-out text", steps, every, terms=16 * length)

# %%
# The optimizers
# --------------
# The second number is the weight decay of AdamW and Muon, the momentum of SGD, and the damping of the natural
# gradient. Muon has the matrices between embedding and head, AdamW the rest at a tenth of the rate. The loss
# is a mean over all characters of all windows, which the scope is told by ``samples=16 * length``.
METHODS = {
    "AdamW": adamw(),
    "SGD, Nesterov": nesterov(),
    "Muon": muon(lambda name: name.startswith("layers")),
    "IKFAC, dense": natural("dense"),
    "INGD, dense": natural("dense", "ingd"),
    "IKFAC, hierarchical": natural("hierarchical"),
    "IKFAC, diagonal": natural("diagonal"),
}
compared = compare(task, METHODS, trials, seeds)

# %%
# What came out
# -------------
figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
draw(task, compared, panels)
figure.savefig(arguments.figure, dpi=110)
