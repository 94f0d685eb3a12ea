"""Max pooling of 16 numbers by windows of 2x2."""

from figures.grids import X, draw_pooling

import pooltk

SIZE = 5.6, 3


def draw(figure):
    values, indices = pooltk.max_pool2d(X, 2, return_indices=True)
    draw_pooling(figure, values, "maxima", indices.ravel())
