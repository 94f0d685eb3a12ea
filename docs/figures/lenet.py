"""A digit, three maps of it by 5x5 filters, and LeNet's subsampling of these."""

import numpy as np
from scipy.ndimage import zoom
from scipy.signal import correlate2d
from sklearn.datasets import load_digits

import pooltk

SIZE = 5.6, 5.4
RISE = np.outer([1, 1, 1, 1, 1], [-1, -1, 0, 1, 1]) / 10
FILTERS = {"left to right": RISE, "top to bottom": RISE.T, "blur": np.full((5, 5), 1 / 25)}


def draw(figure):
    digit = zoom(load_digits().images[3] / 16, 4, order=1)  # 8x8 to 32x32
    maps = np.tanh(3 * np.stack([correlate2d(digit, f, mode="valid") for f in FILTERS.values()]))
    pooled = np.tanh(0.5 * pooltk.avg_pool2d(maps, 2, divisor_override=1))
    axes = figure.subplots(3, 3)
    for ax in axes.ravel():
        ax.set_axis_off()
    axes[0, 1].imshow(digit, cmap="gray")
    axes[0, 1].set_title("input")
    for i, name in enumerate(FILTERS):
        axes[1, i].imshow(maps[i], cmap="gray", vmin=-1, vmax=1)
        axes[1, i].set_title(f"C1: {name}")
        axes[2, i].imshow(pooled[i], cmap="gray", vmin=-1, vmax=1)
        axes[2, i].set_title("S2")
