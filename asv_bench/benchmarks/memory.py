"""The most memory a process has while it pools: scratch has no size of the input's order."""

from contest.cases import FIRST, LAST

import pooltk

from .common import Pooling


class Memory(Pooling):
    params = ("float32",), (FIRST, LAST), ("1x4x2048x2048",), ("numpy",)
    op, args = "max_pool", {"kernel_size": 31, "stride": 1, "padding": 15}

    def peakmem_max_pool2d(self, *params):
        pooltk.max_pool2d(self.x, **self.args)

    def peakmem_avg_pool2d(self, *params):
        pooltk.avg_pool2d(self.x, **self.args)

    def peakmem_max_pool2d_backward(self, *params):
        pooltk.max_pool2d_backward(self.grad, self.x, **self.args)

    def peakmem_avg_pool2d_backward(self, *params):
        pooltk.avg_pool2d_backward(self.grad, self.x.shape, **self.args)
