"""The CPU kernels: windowed maxima, sums and their gradients, built once for each ISA level.

How it works
    A maximum and a sum are separable: rows of the plane are merged first, then windows are taken
    along the merged row, on scratch rows that stay in the L1 or L2 cache. Work is cut into tiles of
    output rows and columns, which threads share. Wide overlapping windows are built by doubling,
    wide bins are reduced where they lie. The gradient of a sum is a windowed sum again, over the
    windows that hold an element; the gradient of a maximum finds the winners again and adds
    up in the order of the outputs.

    _windows.pxi   where windows begin and end
    _elements.pxi  dtypes: rows in and out of the type that is computed with
    _rows.pxi      merging and reducing rows, and what _small.h has to be told
    _job.pxi       what is told and planned of an operation
    _plan.pxi      how windows are reduced, and in which tiles: plan
    _tiles.pxi     max_pool and sum_pool: pool_tile <- reduce_rows, pool_small_tile
    _merge.pxi                                         <- merge_window_rows <- merge_taps
    _columns.pxi                                       <- pool_row, reduce_windows
    _repeat.pxi    the backward of averages whose windows lie side by side: repeat_rows
    _planes.pxi    small planes, many at a time: pool_joined <- pool_planes
    _packed.pxi    views whose rows do not run on: pool_packed <- pool_block
    _lines.pxi     planes of few columns, in registers: pool_in_registers -> _lines.h,
                                                        pool_bins_in_registers -> _bins.h,
                                                        spread_from_registers -> _spread.h
    _winners.pxi   max_pool_indices: find_winners <- find_in_rows, find_by_ranks, find_by_doubling,
    _strips.pxi                                      find_in_strips -> _strips.h,
    _winner_bins.pxi                                 find_in_bins
    _gradients.pxi  max_pool_backward: gather_block or scatter_block, by find_winners
    _kinds.h       the commonest windows, of each kind of element: pool_small <- pool_small_tile
    _taps.h        windows of a few columns of merged rows, in registers
    _numbers.h     maxima of float32 where nothing is NaN
    _small.h       their rows, merged, and columns: pool_small_ <- pool_small
    _pixels.h      and of pixels of many channels
    _pixel_bins.h  bins of those
    _winners_of.h  rows of winners, and gradients gathered by them
    _team.h        threads that share the parts of an operation: share_parts

What was rejected
    Visiting each window's taps (k * k loads an output); a running sum along the row (it loses
    digits, and one NaN poisons what follows); scratch of the size of the input.
"""

from cpython.buffer cimport (
    PyBUF_STRIDED, PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.math cimport INFINITY, NAN, frexp
from libc.stdint cimport (
    INT8_MIN, INT16_MIN, INT32_MAX, INT32_MIN, INT64_MIN,
    int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

cdef extern from "_team.h" nogil:
    ctypedef void (*part_function)(const void*, Py_ssize_t, void*) noexcept
    bint found_team()
    void share(
        part_function part, const void* job, Py_ssize_t total, char* scratch, size_t scratch_size,
        int threads,
    )

ctypedef fused acc_t:
    float
    double
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t

ctypedef fused vector_t:  # of which there are vectors at every level
    float
    double

include "_windows.pxi"
include "_elements.pxi"
include "_rows.pxi"
include "_job.pxi"
include "_merge.pxi"
include "_columns.pxi"
include "_plan.pxi"
include "_tiles.pxi"
include "_repeat.pxi"
include "_planes.pxi"
include "_packed.pxi"
include "_lines.pxi"
include "_winners.pxi"
include "_strips.pxi"
include "_winner_bins.pxi"
include "_gradients.pxi"


find_whether_nan_is_noted()
if not found_team():
    raise MemoryError("no memory for the locks of threads")

cdef enum:
    MAX_ARRAYS = 4
    MAX_AXES = 64  # NumPy's


cdef class Array:
    """What the kernels know of an array: dtype, address, shape and strides."""

    cdef array_t array


def array(const acc_t[:, :, :, :] view, kind_t kind):
    """Describe a view of (depth, height, width, channels); of halves, a view as uint16."""
    cdef Array result = Array()
    cdef Py_ssize_t axis
    result.array.kind = kind
    result.array.item = sizeof(acc_t)
    result.array.data = <char*>&view[0, 0, 0, 0]
    for axis in range(4):
        result.array.size[axis] = view.shape[axis]
        result.array.stride[axis] = view.strides[axis]
    # Axes of length 1 may have any stride; give them the one of contiguous memory.
    if view.shape[3] == 1:
        result.array.stride[3] = sizeof(acc_t)
    if view.shape[2] == 1:
        result.array.stride[2] = view.shape[3] * result.array.stride[3]
    return result


cdef enum operation_t:
    MAX_POOL
    MAX_POOL_INDICES
    MAX_POOL_BACKWARD
    AVG_POOL


cdef class Plan:
    """An operation on arrays of one geometry, ready to run on any arrays that have it.

    Two memoryviews cost a call 1.2 us, the addresses alone 0.2: views describe the arrays once,
    when the plan is made.
    """

    cdef operation_t operation
    cdef job_t job
    cdef Py_ssize_t batch[MAX_ARRAYS + 1][MAX_AXES]

    def run(self, int num_threads, src, dst, indices=None, grad=None):
        """Read src (and indices, grad), fill dst (and indices)."""
        cdef job_t job = self.job
        cdef bint write_indices = self.operation == MAX_POOL_INDICES
        cdef kind_t kind = job.src.kind
        job.src.data = address_of(src, False)
        job.dst.data = address_of(dst, True)
        job.indices.data = NULL if indices is None else address_of(indices, write_indices)
        job.grad.data = NULL if grad is None else address_of(grad, False)
        if self.operation == AVG_POOL:
            kind = sum_kind(&job)
        elif self.operation != MAX_POOL:
            kind = winner_kind(kind)
        if kind == FLOAT32:
            run(self.operation, &job, <const float*>NULL, num_threads)
        elif kind == FLOAT64:
            run(self.operation, &job, <const double*>NULL, num_threads)
        elif kind == FLOAT16 or kind == BFLOAT16 or kind == INT16:
            run(self.operation, &job, <const int16_t*>NULL, num_threads)
        elif kind == INT8:
            run(self.operation, &job, <const int8_t*>NULL, num_threads)
        elif kind == INT32:
            run(self.operation, &job, <const int32_t*>NULL, num_threads)
        elif kind == INT64:
            run(self.operation, &job, <const int64_t*>NULL, num_threads)
        elif kind == UINT8:
            run(self.operation, &job, <const uint8_t*>NULL, num_threads)
        elif kind == UINT16:
            run(self.operation, &job, <const uint16_t*>NULL, num_threads)
        elif kind == UINT32:
            run(self.operation, &job, <const uint32_t*>NULL, num_threads)
        else:
            run(self.operation, &job, <const uint64_t*>NULL, num_threads)


cdef char* address_of(array, bint writeable) except? NULL:
    """Where the first element is; the caller holds the array until the kernel is done."""
    cdef Py_buffer buffer
    cdef char* address
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDED if writeable else PyBUF_STRIDED_RO)
    address = <char*>buffer.buf
    PyBuffer_Release(&buffer)
    return address


cdef kind_t sum_kind(job_t* job) noexcept nogil:
    """The type that sums are kept in."""
    cdef kind_t kind = job.src.kind
    cdef double most = 1  # what a sum may reach
    cdef int axis
    if kind == FLOAT64 or (kind <= BFLOAT16 and job.dst.kind == FLOAT64):
        return FLOAT64
    if kind <= BFLOAT16:
        return FLOAT32
    if job.src.item > 2:
        return INT64
    for axis in range(3):
        most *= min(job.window[axis].kernel_size, job.window[axis].input_size)
    most *= 256 if job.src.item == 1 else 65536
    job.small_sums = most < 1 << 22
    return INT32 if most < 2147483648.0 else INT64


cdef int run(
    operation_t operation, job_t* job, const acc_t* _, int num_threads
) except -1:
    job.acc = kind_of(_)
    job.acc_item = sizeof(acc_t)
    job.num_threads = num_threads
    if acc_t is float or acc_t is double or acc_t is int64_t or acc_t is uint64_t:
        if operation == MAX_POOL_INDICES:
            return find_tiles(job, _, num_threads)
        if operation == MAX_POOL_BACKWARD:
            if job.grad.kind == FLOAT64:
                return max_backward(job, _, <const double*>NULL, num_threads)
            return max_backward(job, _, <const float*>NULL, num_threads)
    return pool_tiles(job, _, num_threads)


cdef Plan new_plan(
    operation_t operation, Array src, Array dst, const Py_ssize_t[:, ::1] batch, windows
):
    """A row of `batch` holds the batch axes' sizes, the others the strides along them, in bytes,
    of src, dst, indices and grad, as many as there are."""
    cdef Plan plan = Plan()
    cdef Py_ssize_t axis, row
    plan.operation = operation
    plan.job.src = src.array
    plan.job.dst = dst.array
    plan.job.channels = src.array.size[3]
    plan.job.batch_axes = batch.shape[1]
    plan.job.items = 1
    for axis in range(batch.shape[1]):
        plan.job.items *= batch[0, axis]
        for row in range(batch.shape[0]):
            plan.batch[row][axis] = batch[row, axis]
    plan.job.batch_size = plan.batch[0]
    for row in range(MAX_ARRAYS):
        plan.job.batch_stride[row] = plan.batch[row + 1]
    read_axes(plan.job.window, windows)
    return plan


cdef void read_axes(axis_t* axis, const Py_ssize_t[:, ::1] table):
    cdef Py_ssize_t i
    for i in range(3):
        axis[i].kind = table[i, 0]
        axis[i].input_size = table[i, 1]
        axis[i].output_size = table[i, 2]
        axis[i].kernel_size = table[i, 3]
        axis[i].stride = table[i, 4]
        axis[i].dilation = table[i, 5]
        axis[i].padding = table[i, 6]
        axis[i].padding_high = table[i, 7]
        axis[i].step = table[i, 8]
        if axis[i].kernel_size == 1:  # no tap has a next one, however far that were
            axis[i].dilation = axis[i].step = 1


def max_pool(Array src, Array dst, batch, windows):
    """dst = the maxima of src's windows."""
    return new_plan(MAX_POOL, src, dst, batch, windows)


def max_pool_indices(Array src, Array dst, Array indices, batch, windows):
    """dst and indices = the maxima of src's windows, and where in the plane they are."""
    cdef Plan plan = new_plan(MAX_POOL_INDICES, src, dst, batch, windows)
    plan.job.indices = indices.array
    return plan


def max_pool_backward(Array src, Array dst, Array indices, Array grad, batch, windows):
    """dst = each element of grad, added to the tap that won its window.

    Without indices, for which any array of their shape stands here, winners are found again.
    """
    cdef Plan plan = new_plan(MAX_POOL_BACKWARD, src, dst, batch, windows)
    plan.job.indices = indices.array
    plan.job.grad = grad.array
    return plan


def avg_pool(
    Array src, Array dst, batch, windows, counts,
    bint count_include_pad, Py_ssize_t divisor_override, bint divide_first,
):
    """dst = the sums of src's windows, divided by their counts or by divisor_override.

    With divide_first, for gradients, it is the elements of src that are divided, each by the
    count of the window of `counts` in its place.
    """
    cdef Plan plan = new_plan(AVG_POOL, src, dst, batch, windows)
    plan.job.op = SUM
    read_axes(plan.job.count, counts)
    plan.job.count_include_pad = count_include_pad
    plan.job.divisor_override = divisor_override
    plan.job.divide_first = divide_first
    return plan
