"""Average pooling of 16 numbers by windows of 2x2."""

from figures.grids import X, draw_pooling

import pooltk

SIZE = 5.6, 3


def draw(figure):
    draw_pooling(figure, pooltk.avg_pool2d(X, 2), "averages")
