"""Pool a photograph three ways, and send the gradient of each back to the photo's pixels.

The photo (427x640 pixels, three colours) ships with scikit-learn. Max pooling, average pooling
and adaptive average pooling to an odd size run by pooltk and by the usual NumPy idiom; both must
agree. The gradient is that of half the sum of the squared result, whose gradient with respect to
the result is the result itself.

    pip install ".[examples]"
    python examples/photo.py --output photo.png

It prints shapes and times, and writes one figure.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_image

import pooltk

LAYOUT = "channels_last"  # an image file's order: row, column, colour
MAX_KERNEL = 4  # windows side by side
AVG_KERNEL, AVG_STRIDE = 16, 4  # windows that overlap
ADAPTIVE_SIZE = (97, 131)
DETAIL = 60, 80, 100, 150  # top, left, height, width: what the figure shows of the gradients
RUNS = 7  # of which the median is printed


# The NumPy way of max pooling, windows side by side: a reshape, whose axes 1 and 3 are the window.


def numpy_max_pool(x, k):
    h, w, c = x.shape
    whole = x[: h // k * k, : w // k * k]
    return whole.reshape(h // k, k, w // k, k, c).max(axis=(1, 3))


def numpy_max_pool_backward(grad, x, k):
    h, w, c = grad.shape
    windows = x[: h * k, : w * k].reshape(h, k, w, k, c).transpose(0, 2, 4, 1, 3)
    winners = windows.reshape(h, w, c, k * k).argmax(axis=-1)
    grad_windows = np.zeros((h, w, c, k * k), grad.dtype)
    np.put_along_axis(grad_windows, winners[..., np.newaxis], grad[..., np.newaxis], axis=-1)
    grad_x = np.zeros_like(x)
    grad_windows = grad_windows.reshape(h, w, c, k, k).transpose(0, 3, 1, 4, 2)
    grad_x[: h * k, : w * k] = grad_windows.reshape(h * k, w * k, c)
    return grad_x


# The NumPy way of average pooling, any windows: a strided view forward, a loop over taps backward.


def numpy_avg_pool(x, k, s):
    return sliding_window_view(x, (k, k), axis=(0, 1))[::s, ::s].mean(axis=(-2, -1))


def numpy_avg_pool_backward(grad, input_shape, k, s):
    h, w, _ = grad.shape
    share = grad / k**2
    grad_x = np.zeros(input_shape, grad.dtype)
    for i in range(k):
        for j in range(k):
            grad_x[i : i + h * s : s, j : j + w * s : s][:h, :w] += share
    return grad_x


# The NumPy way of adaptive average pooling: one matrix of weights an axis.


def bin_weights(n, m):
    """Row i holds 1 / length over the taps floor(i n / m) <= tap < ceil((i + 1) n / m)."""
    weights = np.zeros((m, n), np.float32)
    for i in range(m):
        start, stop = i * n // m, -(-(i + 1) * n // m)
        weights[i, start:stop] = 1 / (stop - start)
    return weights


def numpy_adaptive_avg_pool(x, output_size):
    rows = bin_weights(x.shape[0], output_size[0])
    columns = bin_weights(x.shape[1], output_size[1])
    return np.einsum("ih,hwc,jw->ijc", rows, x, columns, optimize=True)


def numpy_adaptive_avg_pool_backward(grad, input_shape):
    rows = bin_weights(input_shape[0], grad.shape[0])
    columns = bin_weights(input_shape[1], grad.shape[1])
    return np.einsum("ih,ijc,jw->hwc", rows, grad, columns, optimize=True)


def timed(function):
    """Return the result and the median time in milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, 1e3 * np.median(times)


def compare(name, ours, numpys):
    """Time both ways, print a line, and return pooltk's result if NumPy's is the same."""
    result, our_time = timed(ours)
    expected, numpy_time = timed(numpys)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6, err_msg=name)
    shape = "x".join(map(str, result.shape))
    print(f"{name:32} {shape:>11} {our_time:9.2f} {numpy_time:9.2f} {numpy_time / our_time:8.1f}x")
    return result


class Pooled(NamedTuple):
    """One way of pooling, for the figure."""

    name: str
    result: np.ndarray
    grad: np.ndarray
    remark: str


def pool(photo):
    """Pool the photo each way, forward and backward."""
    shape = photo.shape
    k, s = AVG_KERNEL, AVG_STRIDE
    print(f"{'milliseconds, float32':32} {'result':>11} {'pooltk':>9} {'NumPy':>9}")

    maximum = compare(
        "max",
        lambda: pooltk.max_pool2d(photo, MAX_KERNEL, data_format=LAYOUT),
        lambda: numpy_max_pool(photo, MAX_KERNEL),
    )
    maximum_grad = compare(
        "max, gradient",
        lambda: pooltk.max_pool2d_backward(maximum, photo, MAX_KERNEL, data_format=LAYOUT),
        lambda: numpy_max_pool_backward(maximum, photo, MAX_KERNEL),
    )
    average = compare(
        "average",
        lambda: pooltk.avg_pool2d(photo, k, s, data_format=LAYOUT),
        lambda: numpy_avg_pool(photo, k, s),
    )
    average_grad = compare(
        "average, gradient",
        lambda: pooltk.avg_pool2d_backward(average, shape, k, s, data_format=LAYOUT),
        lambda: numpy_avg_pool_backward(average, shape, k, s),
    )
    adaptive = compare(
        "adaptive average",
        lambda: pooltk.adaptive_avg_pool2d(photo, ADAPTIVE_SIZE, data_format=LAYOUT),
        lambda: numpy_adaptive_avg_pool(photo, ADAPTIVE_SIZE),
    )
    adaptive_grad = compare(
        "adaptive average, gradient",
        lambda: pooltk.adaptive_avg_pool2d_backward(adaptive, shape, data_format=LAYOUT),
        lambda: numpy_adaptive_avg_pool_backward(adaptive, shape),
    )
    return [
        Pooled(
            f"Maximum of {MAX_KERNEL}x{MAX_KERNEL} windows",
            maximum,
            maximum_grad,
            "the pixels that won, colour by colour",
        ),
        Pooled(
            f"Average of {k}x{k} windows, {s} apart",
            average,
            average_grad,
            "spread over each window, blurred twice",
        ),
        Pooled(
            "Adaptive average",
            adaptive,
            adaptive_grad,
            "seams where a pixel is in two bins",
        ),
    ]


def draw(photo, pooled, path):
    """Draw the photo and the results above, a detail of the photo and the gradients below."""
    rows, columns, _ = photo.shape
    top, left, height, width = DETAIL
    figure = Figure(figsize=(16, 6.4), layout="constrained")
    axes = figure.subplots(2, 1 + len(pooled))

    def show(ax, image, title):
        # All at the photo's size, whatever their own.
        ax.imshow(image, extent=(0, columns, rows, 0), interpolation="nearest")
        ax.set_title(title, fontsize=11)
        ax.set_axis_off()

    def show_detail(ax, image, title):
        show(ax, image, title)
        ax.set(xlim=(left, left + width), ylim=(top + height, top))

    show(axes[0, 0], photo, f"Photo: {rows}x{columns}")
    axes[0, 0].add_patch(Rectangle((left, top), width, height, fill=False, color="white", lw=2))
    show_detail(axes[1, 0], photo, f"The {height}x{width} pixels in the frame")
    for (above, below), p in zip(axes[:, 1:].T, pooled, strict=True):
        h, w, _ = p.result.shape
        show(above, p.result, f"{p.name}: {h}x{w}")
        brightness = np.sqrt(p.grad / p.grad.max())
        show_detail(below, np.maximum(brightness, 0.4 * photo), f"Gradient: {p.remark}")
    figure.supxlabel(
        "The gradients are those of half the sum of the squared result; drawn are their square "
        "roots, scaled to 1, over the dimmed photo.",
        fontsize=10,
    )
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description="Pool a photograph with pooltk and with NumPy.")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("photo.png"), help="figure to write (%(default)s)"
    )
    path = parser.parse_args().output

    photo = load_sample_image("china.jpg").astype(np.float32) / 255
    draw(photo, pool(photo), path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
