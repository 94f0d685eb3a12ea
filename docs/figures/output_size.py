"""Windows along an axis: what does not fit, ceil mode, padding, dilation."""

from matplotlib.patches import Rectangle

import pooltk

SIZE = 5.6, 7.6
N, K = 6, 3
CASES = [
    ("stride=2", {"stride": 2}, (0, 0)),
    ("stride=2, ceil_mode=True", {"stride": 2, "ceil_mode": True}, (0, 0)),
    ("stride=2, padding=1", {"stride": 2, "padding": 1}, (1, 1)),
    ("stride=2, padding=((2, 0),)", {"stride": 2, "padding": ((2, 0),)}, (2, 0)),
    ('stride=2, padding="same"', {"stride": 2, "padding": "same"}, (0, 1)),
    ("stride=1, dilation=2", {"stride": 1, "dilation": 2}, (0, 0)),
]


def draw(figure):
    for ax, case in zip(figure.subplots(len(CASES), 1, sharex=True), CASES, strict=True):
        title, arguments, (low, high) = case
        (windows,) = pooltk.pool_output_shape((N,), K, **arguments)
        dilation = arguments.get("dilation", 1)
        extent = dilation * (K - 1) + 1
        for tap in range(-low, N + high):
            inside = 0 <= tap < N
            ax.add_patch(Rectangle((tap, 0), 1, 0.8, facecolor="C0", alpha=0.35 if inside else 0))
            ax.add_patch(
                Rectangle((tap, 0), 1, 0.8, fill=False, lw=1, ls="-" if inside else (0, (2, 2)))
            )
            if inside:
                ax.text(tap + 0.5, 0.42, str(tap), ha="center", va="center")
        for i in range(windows):
            start, y = i * arguments["stride"] - low, -0.35 - 0.38 * i
            ax.plot((start + 0.1, start + extent - 0.1), (y, y), color="C1")
            taps = [start + j * dilation + 0.5 for j in range(K)]
            ax.plot(taps, [y] * K, "o", color="C1", markersize=5)
        ax.set_title(f"{title}: {windows} windows", loc="left", family="monospace", fontsize=10)
        ax.set(xlim=(-2.1, N + 1.1), ylim=(-1.4, 0.9))
        ax.set_axis_off()
