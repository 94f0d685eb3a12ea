"""A photograph's brightness and edges, pooled by maximum and by average."""

from figures.photo import GREY, edges

import pooltk

SIZE = 5.6, 5.8
KERNEL = 8


def draw(figure):
    axes = figure.subplots(3, 2)
    for column, (name, image) in zip(
        axes.T, (("brightness", GREY), ("edges", edges(GREY))), strict=True
    ):
        shown = (
            (name, image),
            ("maximum", pooltk.max_pool2d(image, KERNEL)),
            ("average", pooltk.avg_pool2d(image, KERNEL)),
        )
        for ax, (title, values) in zip(column, shown, strict=True):
            ax.imshow(values, cmap="gray", vmin=0, vmax=1 if name == "brightness" else 0.3)
            ax.set_title(title)
            ax.set_axis_off()
