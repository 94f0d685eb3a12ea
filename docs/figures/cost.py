"""Multiplications and memory of a small network, layer by layer, with and without pooling."""

import pooltk

SIZE = 5.6, 5.6
CHANNELS = 32, 32, 64, 64, 128
POOLED = 1, 3  # the layers with pooling behind them


def counts(pooled):
    """Return (multiplications, elements) of each convolution."""
    size, inputs = (32, 32), 3
    for layer, outputs in enumerate(CHANNELS):
        yield 9 * inputs * outputs * size[0] * size[1], outputs * size[0] * size[1]
        if pooled and layer in POOLED:
            size = pooltk.pool_output_shape(size, 2)
        inputs = outputs


def draw(figure):
    axes = figure.subplots(2, 1, sharex=True)
    for pooled, label, colour, shift in (False, "without", "C5", -0.2), (True, "pooled", "C1", 0.2):
        operations, elements = zip(*counts(pooled), strict=True)
        for ax, values in zip(axes, (operations, elements), strict=True):
            places = [layer + 1 + shift for layer in range(len(CHANNELS))]
            scaled = [value / (1e6 if values is operations else 1e3) for value in values]
            ax.bar(places, scaled, 0.4, color=colour, label=label, linewidth=0)
    axes[0].set_ylabel("million\nmultiplications")
    axes[1].set_ylabel("thousand elements\nof the result")
    axes[1].set_xlabel("convolution")
    axes[0].legend()
    for ax in axes:
        ax.grid(axis="y")
        ax.set_axisbelow(True)
