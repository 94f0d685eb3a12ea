"""What one output of four layers sees, and how that grows in VGG16."""

from matplotlib.patches import Rectangle

import pooltk

SIZE = 5.6, 6.6
LAYERS = [(3, 1, 1), (2, 2), (3, 1, 1), (2, 2)]
NAMES = "input", "window 3", "pooling 2, stride 2", "window 3", "pooling 2, stride 2"
N = 16
OUTPUT = 1  # the one whose receptive field is drawn
VGG16 = [layer for n in (2, 2, 3, 3, 3) for layer in ["conv"] * n + ["pool"]]


def draw_stack(ax):
    for depth in range(len(LAYERS) + 1):
        cell = pooltk.receptive_field(LAYERS[:depth])
        seen = pooltk.receptive_field(LAYERS[depth:])
        first = seen.offset + OUTPUT * seen.stride
        count = N // cell.stride
        y = -depth
        for i in range(count):
            # A cell is drawn in the middle of what it sees of the input.
            middle = cell.offset + i * cell.stride + cell.size / 2
            is_seen = first <= i < first + seen.size
            box = (middle - 0.42, y), 0.84, 0.6
            ax.add_patch(Rectangle(*box, color="C1", alpha=0.6 if is_seen else 0, lw=0))
            ax.add_patch(Rectangle(*box, fill=False, lw=1))
        ax.text(N + 0.5, y + 0.3, NAMES[depth], va="center")
    ax.set(xlim=(-3, N + 7), ylim=(-len(LAYERS) - 0.2, 1))
    ax.set_axis_off()


def draw_growth(ax):
    with_pooling = [(3, 1, 1) if kind == "conv" else (2, 2) for kind in VGG16]
    without = [(3, 1, 1) if kind == "conv" else (1,) for kind in VGG16]
    depths = range(len(VGG16) + 1)
    for layers, label, colour in (with_pooling, "with pooling", "C1"), (without, "without", "C5"):
        sizes = [pooltk.receptive_field(layers[:depth]).size for depth in depths]
        ax.plot(depths, sizes, "o-", markersize=4, color=colour, label=f"{label}: {sizes[-1]}")
    for depth, kind in enumerate(VGG16, 1):
        if kind == "pool":
            ax.axvline(depth, linewidth=1, linestyle=":", color="C1")
    ax.set(xlabel="layer of VGG16 (dotted: pooling)", ylabel="pixels seen")
    ax.set(xticks=depths[::3], ylim=(0, None))
    ax.legend()
    ax.grid(axis="y")


def draw(figure):
    above, below = figure.subplots(2, 1, height_ratios=(1, 1.3))
    draw_stack(above)
    draw_growth(below)
