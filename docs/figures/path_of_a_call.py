"""The path of a call, from the public function to the kernels."""

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

SIZE = 5.6, 6.6
WIDTH = 12
STEPS = [
    ("functional/", "signature and docstring", "C0"),
    ("_checks", "what is legal; the words of every error", "C0"),
    ("_geometry", "an Axis of plain ints for each pooled axis", "C0"),
    ("_dispatch", "where does the data live?", "C1"),
]
BACKENDS = [
    ("_cpu", "C2", ["plan: _views,", "_windows", "build: _levels", "_threads"], "Cython, C"),
    ("_cuda", "C3", ["plan: _launch", "build: _modules", "", ""], "CUDA .cu"),
    ("_reference", "C4", ["array API", "", "", ""], "no kernels"),
]
ARRAYS = "NumPy\nDLPack, CPU", "CuPy\nDLPack, CUDA", "any other"


def box(ax, x, y, width, height, colour):
    style = "round,pad=0,rounding_size=0.2"
    ax.add_patch(FancyBboxPatch((x, y), width, height, style, color=colour, alpha=0.3, lw=0))


def arrow(ax, start, end):
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color="C5"))


def draw(figure):
    ax = figure.subplots()
    ax.text(WIDTH / 2, 13.6, "max_pool2d(x, 3, 2, 1)", ha="center", family="monospace")
    y = 13.4
    for name, knows, colour in STEPS:
        arrow(ax, (WIDTH / 2, y), (WIDTH / 2, y - 0.5))
        y -= 1.7
        box(ax, 0.5, y, WIDTH - 1, 1.2, colour)
        ax.text(0.9, y + 0.78, name, va="center", family="monospace", weight="bold")
        ax.text(0.9, y + 0.3, knows, va="center", fontsize=9.5)
    width = (WIDTH - 1) / 3
    for i, (name, colour, parts, kernels) in enumerate(BACKENDS):
        x = 0.5 + i * width
        middle = x + width / 2
        arrow(ax, (WIDTH / 2, y), (middle, y - 1.4))
        ax.text(middle, y - 1.85, ARRAYS[i], ha="center", va="center", fontsize=9.5)
        box(ax, x + 0.1, 0, width - 0.2, y - 2.4, colour)
        ax.text(middle, y - 2.9, name, ha="center", va="center", family="monospace", weight="bold")
        for j, part in enumerate(parts):
            ax.text(middle, y - 3.45 - 0.42 * j, part, ha="center", va="center", fontsize=9.5)
        ax.text(middle, 0.35, kernels, ha="center", va="center", style="italic", fontsize=9.5)
    ax.set(xlim=(0, WIDTH), ylim=(-0.1, 14.2))
    ax.set_axis_off()
