"""Arrays drawn as squares of numbers, for figures."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

X = np.array([[1, 3, 2, 4], [5, 6, 8, 7], [2, 1, 4, 3], [5, 2, 9, 6]])


def draw_grid(ax: Axes, values: np.ndarray, colour: Callable[[int, int], str], bold=()) -> None:
    """Draw numbers in cells; those at the flat indices of `bold` stand out."""
    rows, columns = values.shape
    for i, j in np.ndindex(rows, columns):
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=colour(i, j), alpha=0.3, linewidth=0))
        ax.add_patch(Rectangle((j, i), 1, 1, fill=False, linewidth=1))
        weight = "bold" if i * columns + j in bold else "normal"
        ax.text(j + 0.5, i + 0.5, f"{values[i, j]:g}", ha="center", va="center", weight=weight)
    ax.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    ax.set_axis_off()


def draw_pooling(figure, result: np.ndarray, title: str, bold=()) -> None:
    """Draw `X` in windows of 2x2 and, beside it, what they became."""
    left, right = figure.subplots(1, 2, width_ratios=(4, 2))
    draw_grid(left, X, lambda i, j: f"C{i // 2 * 2 + j // 2}", bold)
    draw_grid(right, result, lambda i, j: f"C{i * 2 + j}", range(4) if len(bold) else ())
    left.set_title("input, windows of 2 × 2")
    right.set_title(title)
