"""The levels of an image pyramid, on one scale."""

import numpy as np
from sklearn.datasets import load_sample_image

import pooltk

SIZE = 5.6, 2.2


def draw(figure):
    level = load_sample_image("china.jpg")
    ax = figure.subplots()
    left, gap = 0, 12
    height = len(level)
    for _ in range(4):
        rows, columns, _ = level.shape
        # One pixel of each level is drawn as large as one of the photo.
        ax.imshow(level, extent=(left, left + columns, height, height - rows))
        ax.text(left + columns / 2, height - rows - 8, f"{rows}×{columns}", ha="center", fontsize=8)
        left += columns + gap
        level = pooltk.avg_pool2d(
            level, 2, ceil_mode=True, data_format="channels_last", dtype=np.uint8
        )
    ax.set(xlim=(0, left), ylim=(height, -40), aspect="equal")
    ax.set_axis_off()
