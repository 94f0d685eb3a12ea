"""Time a call on arrays, one thread unless said otherwise."""

from contest.cases import FIRST, LAST

import pooltk

from .common import DTYPES, Pooling, floating

BACKWARD = floating(DTYPES), *Pooling.params[1:]


class MaxPool(Pooling):
    op, args = "max_pool", {"kernel_size": 3, "stride": 2, "padding": 1}

    def time_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, **self.args)
        self.wait()


class MaxPoolIndices(MaxPool):
    params = ("float32",), *Pooling.params[1:]

    def time_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, **self.args, return_indices=True)
        self.wait()


class MaxPoolBackward(Pooling):
    params = BACKWARD
    op, args = MaxPool.op, MaxPool.args

    def time_max_pool2d_backward(self, *params):
        pooltk.max_pool2d_backward(self.grad, self.x, **self.args)
        self.wait()


class AvgPool(Pooling):
    op, args = "avg_pool", {"kernel_size": 3, "stride": 1, "padding": 1}

    def time_avg_pool2d(self, *params):
        pooltk.avg_pool2d(self.x, **self.args)
        self.wait()


class AvgPoolBackward(Pooling):
    params = BACKWARD
    op, args = AvgPool.op, AvgPool.args

    def time_avg_pool2d_backward(self, *params):
        pooltk.avg_pool2d_backward(self.grad, self.x.shape, **self.args)
        self.wait()


class AdaptiveMaxPool(Pooling):
    op, args = "adaptive_max_pool", {"output_size": 6}

    def time_adaptive_max_pool2d(self, *params):
        pooltk.adaptive_max_pool2d(self.x, **self.args)
        self.wait()


class AdaptiveMaxPoolBackward(Pooling):
    params = BACKWARD
    op, args = AdaptiveMaxPool.op, AdaptiveMaxPool.args

    def time_adaptive_max_pool2d_backward(self, *params):
        pooltk.adaptive_max_pool2d_backward(self.grad, self.x)
        self.wait()


class AdaptiveAvgPool(Pooling):
    op, args = "adaptive_avg_pool", {"output_size": 1}

    def time_adaptive_avg_pool2d(self, *params):
        pooltk.adaptive_avg_pool2d(self.x, **self.args)
        self.wait()


class AdaptiveAvgPoolBackward(Pooling):
    params = BACKWARD
    op, args = AdaptiveAvgPool.op, AdaptiveAvgPool.args

    def time_adaptive_avg_pool2d_backward(self, *params):
        pooltk.adaptive_avg_pool2d_backward(self.grad, self.x.shape)
        self.wait()


class Audio(Pooling):
    params = ("float32",), (FIRST,), ("8x64x16000",), ("numpy", "cupy")
    op, args = "max_pool", {"kernel_size": 4}

    def time_max_pool1d(self, *params):
        pooltk.max_pool1d(self.x, **self.args)
        self.wait()

    def time_avg_pool1d(self, *params):
        pooltk.avg_pool1d(self.x, **self.args)
        self.wait()


class Video(Pooling):
    params = ("float32",), (FIRST,), ("1x64x16x56x56",), ("numpy", "cupy")
    op, args = "max_pool", {"kernel_size": 3, "stride": 2, "padding": 1}

    def time_max_pool3d(self, *params):
        pooltk.max_pool3d(self.x, **self.args)
        self.wait()

    def time_avg_pool3d(self, *params):
        pooltk.avg_pool3d(self.x, **self.args)
        self.wait()


class Image(Pooling):
    params = ("uint8",), (LAST,), ("1x1x2048x2048", "1x3x2048x2048"), ("numpy", "cupy")
    op, args = "max_pool", {"kernel_size": 2}

    def time_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, **self.args)
        self.wait()

    def time_avg_pool2d(self, *params):
        pooltk.avg_pool2d(self.x, **self.args, dtype="uint8")
        self.wait()


class LargeWindow(Pooling):
    """The cost hardly grows with the window."""

    params = (3, 15, 63), ("float32",), (FIRST,), ("1x1x1024x1024",), ("numpy", "cupy")
    param_names = "kernel_size", *Pooling.param_names
    op = "max_pool"

    def setup(self, kernel_size, *params):
        self.args = {"kernel_size": kernel_size, "stride": 1, "padding": kernel_size // 2}
        super().setup(*params)

    def time_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, **self.args)
        self.wait()

    def time_avg_pool2d(self, *params):
        pooltk.avg_pool2d(self.x, **self.args)
        self.wait()


class Threads(Pooling):
    """One big plane and many small ones."""

    params = (1, 2), ("float32",), (FIRST,), ("1x1x2048x2048", "8x64x56x56"), ("numpy",)
    param_names = "threads", *Pooling.param_names
    op, args = "max_pool", {"kernel_size": 3, "stride": 1, "padding": 1}

    def setup(self, threads, *params):
        super().setup(*params)
        pooltk.set_num_threads(threads)

    def time_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, **self.args)

    def time_avg_pool2d(self, *params):
        pooltk.avg_pool2d(self.x, **self.args)
