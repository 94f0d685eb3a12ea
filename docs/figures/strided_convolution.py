"""Pooling and strided convolutions of one part of a photograph."""

import numpy as np
from figures.photo import GREY
from scipy.signal import correlate2d

import pooltk

SIZE = 5.6, 4.2
INPUT = GREY[70:230, 60:220]
STRIDE = 4
HAT = np.outer([1, 2, 3, 4, 3, 2, 1], [1, 2, 3, 4, 3, 2, 1]) / 256
SLOPE = np.outer([1, 2, 3, 4, 3, 2, 1], [-1, -1, -1, 0, 1, 1, 1]) / 16


def convolve(weights):
    """Return the convolution whose windows are as far apart as those of the pooling."""
    padded = np.pad(INPUT, 2, mode="edge")
    return correlate2d(padded, weights, mode="valid")[::STRIDE, ::STRIDE]


def draw(figure):
    shown = {
        "input": INPUT,
        "max 4 × 4": pooltk.max_pool2d(INPUT, STRIDE),
        "average 4 × 4": pooltk.avg_pool2d(INPUT, STRIDE),
        "conv: a smooth hat": convolve(HAT),
        "conv: left to right": convolve(SLOPE),
        "conv: top to bottom": convolve(SLOPE.T),
    }
    for ax, (title, values) in zip(figure.subplots(2, 3).ravel(), shown.items(), strict=True):
        signed = values.min() < 0
        ax.imshow(values, cmap="gray", vmin=-1 if signed else 0, vmax=1)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
