# The backward of an average whose windows lie side by side: each gradient, divided, is repeated all
# over its window.

cdef extern from "_repeats.h" nogil:
    void repeat_short_rows(
        const char* src, Py_ssize_t bytes, Py_ssize_t rows, Py_ssize_t times, char* dst,
        Py_ssize_t dst_row,
    )
    void spread_pairs_float(const float* src, float* dst, Py_ssize_t n)
    void spread_pairs_double(const double* src, double* dst, Py_ssize_t n)
    void spread_float(const float* src, float* dst, Py_ssize_t n, Py_ssize_t times)
    void spread_double(const double* src, double* dst, Py_ssize_t n, Py_ssize_t times)
    void repeat_squares_float(
        const char* src, Py_ssize_t src_row, Py_ssize_t rows, Py_ssize_t n, float by, bint inverse,
        char* dst, Py_ssize_t dst_row, const char* end
    )
    void repeat_squares_double(
        const char* src, Py_ssize_t src_row, Py_ssize_t rows, Py_ssize_t n, double by, bint inverse,
        char* dst, Py_ssize_t dst_row, const char* end
    )


cdef enum:
    AT_A_TIME = 256  # elements that are divided at once, if a row has no more


cdef bint repeats(const job_t* job) noexcept nogil:
    """Whether windows lie so, and are whole."""
    cdef const axis_t* axis
    cdef int i
    for i in range(3):
        axis = &job.window[i]
        if (
            axis.kind == ADAPTIVE or axis.kernel_size != axis.stride or axis.padding
            or axis.dilation != 1 or axis.input_size > axis.output_size // axis.stride
        ):
            return False
    return (
        job.window[2].kind == TRANSPOSED and job.op == SUM and job.divisor_override != 0
        and job.window[2].kernel_size <= 16 * TILE // job.channels
    )


cdef int repeat_gradients(job_t* job, const acc_t* _, int num_threads) except -1:
    cdef Py_ssize_t channels = job.channels, kernel = job.window[2].kernel_size
    cdef Py_ssize_t columns = job.window[2].input_size, blocks = 1
    job.direct_dst = rows_are_direct(&job.dst, kind_of(_), channels)
    job.tile_x = max(1, min(columns, TILE // channels // kernel))
    if num_threads > 1:
        blocks = ceil_div(4 * <Py_ssize_t>num_threads, job.items)
    job.tile_y = max(1, job.window[1].input_size // blocks)
    job.blocks[0] = ceil_div(job.window[1].input_size, job.tile_y)
    # All planes may be one row.
    blocks = 1
    if num_threads > 1:
        blocks = ceil_div(4 * <Py_ssize_t>num_threads, job.items * job.blocks[0])
    job.block_columns = ceil_div(columns, blocks * job.tile_x) * job.tile_x
    job.blocks[1] = ceil_div(columns, job.block_columns)
    job.scratch_size = 0
    job.chunk_y = 1  # rows of gradients that are divided at once: they lie one behind the other
    if job.tile_x == columns and rows_run_on(&job.src, channels):
        job.chunk_y = max(1, AT_A_TIME // (columns * channels * max(1, kernel // 8)))
    job.at_loaded = reserve(job, job.chunk_y * job.tile_x * channels)
    job.at_result = reserve(job, job.chunk_y * job.tile_x * kernel * channels)
    job.at_even = reserve(job, job.chunk_y * job.tile_x * kernel * channels)
    return share_parts(
        <part_t>repeat_rows[acc_t], job, job.items * job.blocks[0] * job.blocks[1],
        job.scratch_size * sizeof(acc_t), num_threads,
    )


cdef inline bint rows_run_on(const array_t* array, Py_ssize_t channels) noexcept nogil:
    """Whether all elements of a plane are equally far apart."""
    return (
        (channels == 1 or array.stride[2] == channels * array.stride[3])
        and array.stride[1] == array.size[2] * array.stride[2]
    )


cdef inline bint are_squares(const job_t* job, const acc_t* _) noexcept nogil:
    """Windows of 2 x 2, by far the commonest: their gradients need no scratch."""
    return (
        MOST_VECTORS > 0 and job.direct_dst and job.channels == 1 and job.blocks[1] == 1
        and rows_are_direct(&job.src, kind_of(_), 1)
        and job.dst.stride[1] == job.dst.size[2] * job.dst.item
        and job.window[0].stride == 1 and job.window[1].stride == 2
        and job.window[2].kernel_size == 2 and -1e6 < job.divisor_override < 1e6
    )


cdef void repeat_to_squares(
    const job_t* job, Py_ssize_t y, Py_ssize_t y_end, const char* src, char* dst, const acc_t* _
) noexcept nogil:
    """Rows of gradients of one depth."""
    cdef Py_ssize_t src_row = job.src.stride[1], dst_row = job.dst.stride[1]
    cdef const char* end = dst + (2 * (y_end - y) - 1) * dst_row
    cdef bint inverse = is_power_of_two(<double>job.divisor_override)
    cdef double by = <double>job.divisor_override
    end += job.dst.size[2] * job.dst.item
    if inverse:
        by = 1 / by
    if acc_t is float:
        repeat_squares_float(
            src, src_row, y_end - y, job.src.size[2], <float>by, inverse, dst, dst_row, end
        )
    elif acc_t is double:
        repeat_squares_double(
            src, src_row, y_end - y, job.src.size[2], by, inverse, dst, dst_row, end
        )


cdef void repeat_rows(const job_t* job, Py_ssize_t index, acc_t* scratch) noexcept nogil:
    """A block of gradients, at all depths; behind the last, zeros."""
    cdef Py_ssize_t x_begin = index % job.blocks[1] * job.block_columns
    cdef Py_ssize_t y = index // job.blocks[1] % job.blocks[0] * job.tile_y
    cdef Py_ssize_t item = index // job.blocks[1] // job.blocks[0]
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t x_end = min(x_begin + job.block_columns, width.input_size)
    cdef Py_ssize_t y_end = min(y + job.tile_y, height.input_size), z, row, rows, x, n, i
    cdef Py_ssize_t channels = job.channels, kernel = width.kernel_size
    cdef Py_ssize_t src_offset = batch_offset(job, job.batch_stride[0], item)
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], item)
    cdef acc_t* grads = scratch + job.at_loaded
    cdef acc_t* result
    cdef char* repeated
    cdef const char* src
    for z in range(depth.input_size):
        row = y
        if are_squares(job, scratch) and y < y_end:
            repeat_to_squares(
                job, y, y_end, src_offset + address(&job.src, z, y, 0, 0),
                dst_offset + address(&job.dst, z, 2 * y, 0, 0), scratch,
            )
            row = y_end
        while row < y_end:
            rows = min(job.chunk_y, y_end - row)
            x = x_begin
            while x < x_end:
                n = min(job.tile_x, x_end - x)
                result = scratch + job.at_result
                src = src_offset + address(&job.src, z, row, x, 0)
                if rows == 1:
                    load_columns(&job.src, WHOLE, src, n, channels, grads)
                else:
                    load_row(
                        job.src.kind, WHOLE, src, job.src.stride[3 if channels > 1 else 2], grads,
                        rows * n * channels,
                    )
                divide_row(grads, rows * n * channels, NULL, <double>job.divisor_override)
                if rows == 1 and job.direct_dst:
                    result = <acc_t*>(
                        dst_offset + address(
                            &job.dst, z * depth.stride, row * height.stride, x * kernel, 0
                        )
                    )
                repeat_columns(grads, result, rows * n, kernel, channels)
                if rows > 1 and rows_are_direct(&job.dst, job.dst.kind, channels):
                    repeated = <char*>result
                    if not job.direct_dst:
                        repeated = <char*>(scratch + job.at_even)
                        store_row(
                            job.dst.kind, result, repeated, job.dst.item,
                            rows * n * kernel * channels,
                        )
                    for i in range(z * depth.stride, (z + 1) * depth.stride):
                        repeat_short_rows(
                            repeated, n * kernel * channels * job.dst.item, rows, height.stride,
                            dst_offset + address(&job.dst, i, row * height.stride, 0, 0),
                            job.dst.stride[1],
                        )
                else:
                    for i in range(rows):
                        store_repeated(
                            job, dst_offset, z * depth.stride, (z + 1) * depth.stride,
                            (row + i) * height.stride, (row + i + 1) * height.stride, x * kernel,
                            n * kernel, result + i * n * kernel * channels,
                        )
                x += n
            row += rows
    if x_end < width.input_size:
        return
    if width.output_size > width.input_size * kernel:
        store_zeros(
            job, dst_offset, 0, depth.input_size * depth.stride, y * height.stride,
            y_end * height.stride, width.input_size * kernel, width.output_size, scratch,
        )
    if y_end == height.input_size:
        store_zeros(
            job, dst_offset, 0, depth.input_size * depth.stride, y_end * height.stride,
            height.output_size, 0, width.output_size, scratch,
        )
        store_zeros(
            job, dst_offset, depth.input_size * depth.stride, depth.output_size, 0,
            height.output_size, 0, width.output_size, scratch,
        )


cdef inline void repeat_columns(
    const acc_t* src, acc_t* dst, Py_ssize_t n, Py_ssize_t times, Py_ssize_t channels
) noexcept nogil:
    cdef Py_ssize_t x, t
    if channels > 1:
        for x in range(n):
            for t in range(times):
                copy(src + x * channels, dst + (x * times + t) * channels, channels)
    elif times == 2:
        spread_pairs(src, dst, n)
    elif acc_t is float:
        spread_float(src, dst, n, times)
    elif acc_t is double:
        spread_double(src, dst, n, times)


cdef inline void store_repeated(
    const job_t* job, Py_ssize_t offset, Py_ssize_t z, Py_ssize_t z_end, Py_ssize_t y,
    Py_ssize_t y_end, Py_ssize_t x, Py_ssize_t columns, const acc_t* result,
) noexcept nogil:
    """The same columns of all these rows, the first of which may be where they lie."""
    cdef Py_ssize_t depth, row
    cdef char* dst
    for depth in range(z, z_end):
        for row in range(y, y_end):
            dst = offset + address(&job.dst, depth, row, x, 0)
            if dst == <char*>result:
                continue
            if job.direct_dst:
                copy(result, <acc_t*>dst, columns * job.channels)
            else:
                store_columns(&job.dst, result, dst, columns, job.channels)


cdef void store_zeros(
    const job_t* job, Py_ssize_t offset, Py_ssize_t z, Py_ssize_t z_end, Py_ssize_t y,
    Py_ssize_t y_end, Py_ssize_t x, Py_ssize_t x_end, acc_t* scratch,
) noexcept nogil:
    """Where no window is."""
    cdef acc_t* zeros = scratch + job.at_result
    cdef Py_ssize_t n
    if x == x_end or y == y_end or z == z_end:
        return
    fill(zeros, <acc_t>0, job.tile_x * job.window[2].kernel_size * job.channels)
    while x < x_end:
        n = min(x_end - x, job.tile_x * job.window[2].kernel_size)
        store_repeated(job, offset, z, z_end, y, y_end, x, n, zeros)
        x += n
