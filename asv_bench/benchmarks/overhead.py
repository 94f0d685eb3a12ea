"""What a call costs beside the pooling, and what an import costs."""

from contest.cases import FIRST

import pooltk

from .common import Pooling


class TinyWindow(Pooling):
    params = ("float32",), (FIRST,), ("1x1x4x4", "1x16x14x14"), ("numpy", "cupy")
    op, args = "max_pool", {"kernel_size": 2}

    def time_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, 2)
        self.wait()

    def time_avg_pool2d(self, *params):
        pooltk.avg_pool2d(self.x, 2)
        self.wait()

    def time_max_pool2d_backward(self, *params):
        pooltk.max_pool2d_backward(self.grad, self.x, 2)
        self.wait()

    def time_avg_pool2d_backward(self, *params):
        pooltk.avg_pool2d_backward(self.grad, self.x.shape, 2)
        self.wait()


class TinyBins(Pooling):
    params = TinyWindow.params
    op, args = "adaptive_max_pool", {"output_size": 1}

    def time_adaptive_max_pool2d(self, *params):
        pooltk.adaptive_max_pool2d(self.x, 1)
        self.wait()

    def time_adaptive_avg_pool2d(self, *params):
        pooltk.adaptive_avg_pool2d(self.x, 1)
        self.wait()


def timeraw_import_numpy():
    return "import numpy"


def timeraw_import_pooltk():
    return "import pooltk", "import numpy"  # beyond what NumPy takes
