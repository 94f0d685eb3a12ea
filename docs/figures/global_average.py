"""Global average pooling of three maps of a photograph."""

import numpy as np
from figures.photo import GREY, RGB, edges

import pooltk

SIZE = 5.6, 4.6


def draw(figure):
    red, green, blue = np.moveaxis(RGB, -1, 0)
    # Made by hand here; a network learns which maps are worth having.
    maps = np.stack([np.maximum(blue - red, 0), np.maximum(green - blue, 0), edges(GREY)])
    averages = pooltk.adaptive_avg_pool2d(maps, 1)
    axes = figure.subplots(2, 2)
    axes[0, 0].imshow(RGB)
    axes[0, 0].set_title("photo")
    names = "blue, more than red", "green, more than blue", "edges"
    rest = axes.ravel()[1:]
    for ax, name, values, average in zip(rest, names, maps, averages.ravel(), strict=True):
        ax.imshow(values, cmap="gray", vmax=values.max() / 2)
        ax.set_title(f"{name}: {average:.3f}")
    for ax in axes.ravel():
        ax.set_axis_off()
