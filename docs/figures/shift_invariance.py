"""How much a photograph, and what it is pooled to, change when it moves."""

import numpy as np
from figures.photo import GREY, edges

import pooltk

SIZE = 5.6, 6.4
WAYS = {
    "none": lambda x: x,
    "max 4 × 4": lambda x: pooltk.max_pool2d(x, 4),
    "average 4 × 4": lambda x: pooltk.avg_pool2d(x, 4),
    "global average": lambda x: pooltk.adaptive_avg_pool2d(x, 1),
}
SHIFTS = range(5)


def change(image, pool, shift):
    before, after = (pool(image[32:384, left : left + 544]) for left in (32, 32 + shift))
    varies = before.std() if before.size > 1 else before.item()
    return np.sqrt(np.mean((after - before) ** 2)) / varies


def draw(figure):
    images = {"a photo": GREY, "its edges": edges(GREY)}
    for ax, (title, image) in zip(figure.subplots(2, 1, sharex=True), images.items(), strict=True):
        for i, (name, pool) in enumerate(WAYS.items()):
            changes = [100 * change(image, pool, shift) for shift in SHIFTS]
            ax.plot(SHIFTS, changes, "o-", color=f"C{(5, 1, 0, 2)[i]}", label=name)
        ax.set(title=title, ylabel="change, %", ylim=(0, None), xticks=SHIFTS)
        ax.grid(axis="y")
    ax.set_xlabel("shift, pixels")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
