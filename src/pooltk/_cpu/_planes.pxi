# Small planes: many of them side by side, so that a vector holds the same element of each. Rows too
# short for vectors, bins and strides of any kind are then as fast as channels-last arrays.

cdef extern from "_planes.h" nogil:
    cdef enum:
        PLANES
    void join_planes(Py_ssize_t item, const char** planes, Py_ssize_t n, char* dst)
    void part_planes(
        Py_ssize_t item, const char* src, Py_ssize_t n, char** planes, Py_ssize_t stride
    )


cdef enum:
    JOINED = 32768  # elements of the input that are side by side at once
    NARROW = 20     # rows of so few columns are


cdef bint planes_may_join(const job_t* job) noexcept nogil:
    """Whether it pays. What decides is the geometry and src alone: sums depend on it."""
    cdef const axis_t* width = &job.window[2]
    return (
        job.channels == 1 and job.items >= 2 * PLANES
        and job.src.stride[2] == job.src.item and not job.divide_first
        and not job.whole_windows
        and (width.kind == ADAPTIVE or width.input_size <= NARROW)
        and joined_rows(job, 1) * width.input_size <= JOINED // PLANES
    )


cdef inline Py_ssize_t joined_rows(const job_t* job, Py_ssize_t outputs) noexcept nogil:
    """Rows of the input, at most, that so many rows of outputs read."""
    cdef Py_ssize_t rows = most_columns(&job.window[1], outputs)
    return min(rows, job.window[1].input_size) * job.window[0].input_size


cdef int pool_joined(job_t* job, const acc_t* _, int num_threads) except -1:
    """As pool_tiles, PLANES at a time."""
    cdef job_t inner = job[0]
    cdef Py_ssize_t rows = job.window[1].output_size, blocks, total, index, size
    cdef char* scratch
    # Blocks of rows, where a plane is too large; all depths of them.
    while rows > 1 and joined_rows(job, rows) * job.window[2].input_size > JOINED // PLANES:
        rows = ceil_div(rows, 2)
    blocks = ceil_div(job.window[1].output_size, rows)
    inner.channels = PLANES
    inner.items = 1
    inner.batch_axes = 0
    lay_planes(&inner.src, joined_rows(job, rows) // job.window[0].input_size)
    lay_planes(&inner.dst, rows)
    plan(&inner, _)
    job.at_loaded = inner.scratch_size * sizeof(acc_t)  # the planes of a group, and their results
    job.at_result = job.at_loaded + job.window[0].input_size * inner.src.stride[0] + 64
    size = job.at_result + job.window[0].output_size * inner.dst.stride[0] + 64
    total = ceil_div(job.items, PLANES) * blocks
    num_threads = <int>min(num_threads, total)
    scratch = <char*>allocate(num_threads * size)
    if num_threads == 1:
        with nogil:
            for index in range(total):
                pool_planes(job, &inner, index // blocks, index % blocks * rows, rows, scratch, _)
    else:
        for index in prange(total, nogil=True, num_threads=num_threads, schedule="static"):
            pool_planes(
                job, &inner, index // blocks, index % blocks * rows, rows,
                scratch + threadid() * size, _,
            )
    free(scratch)
    return 0


cdef void lay_planes(array_t* array, Py_ssize_t rows) noexcept nogil:
    """Describe so many rows of PLANES side by side."""
    array.size[3] = PLANES
    array.stride[3] = array.item
    array.stride[2] = PLANES * array.item
    array.stride[1] = array.size[2] * array.stride[2]
    array.stride[0] = rows * array.stride[1]


cdef void pool_planes(
    const job_t* job, const job_t* plan, Py_ssize_t group, Py_ssize_t y, Py_ssize_t rows,
    char* scratch, const acc_t* _,
) noexcept nogil:
    """Rows y to y + rows of the results of one group."""
    cdef job_t inner = plan[0]
    cdef tile_t tile
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t outputs = job.window[2].output_size, item, z, p
    cdef Py_ssize_t y_end = min(y + rows, height.output_size), x
    cdef Py_ssize_t first = span_begin(height, y), end = max(first, span_end(height, y_end - 1))
    cdef Py_ssize_t src_offset[PLANES]
    cdef Py_ssize_t dst_offset[PLANES]
    for p in range(PLANES):  # the last plane stands for those that a group lacks
        item = min(group * PLANES + p, job.items - 1)
        src_offset[p] = batch_offset(job, job.batch_stride[0], item)
        dst_offset[p] = batch_offset(job, job.batch_stride[1], item)
    # Row `first` of the input lies first, as does row y of the results.
    inner.src.data = scratch + job.at_loaded - first * inner.src.stride[1]
    inner.dst.data = scratch + job.at_result - y * inner.dst.stride[1]
    for z in range(job.window[0].input_size):
        join_rows(&job.src, src_offset, z, first, end, address(&inner.src, z, first, 0, 0))
    tile.item = tile.c = tile.src_offset = 0
    tile.item_end = 1
    tile.channels = PLANES
    for z in range(job.window[0].output_size):
        tile.z = z
        x = 0
        while x < outputs:
            tile.x = x
            tile.x_end = min(x + inner.tile_x, outputs)
            tile.y = y
            tile.y_end = y_end
            pool_rows(&inner, &tile, <acc_t*>scratch)
            x += inner.tile_x
        part_rows(&job.dst, dst_offset, z, y, y_end, address(&inner.dst, z, y, 0, 0))


cdef inline Py_ssize_t rows_at_a_time(const array_t* array, Py_ssize_t rows) noexcept nogil:
    """All, if they lie one behind the other."""
    return rows if array.stride[1] == array.size[2] * array.stride[2] else 1


cdef void join_rows(
    const array_t* array, const Py_ssize_t* offset, Py_ssize_t z, Py_ssize_t y, Py_ssize_t end,
    char* dst,
) noexcept nogil:
    cdef const char* planes[PLANES]
    cdef Py_ssize_t run = rows_at_a_time(array, end - y), p
    while y < end:
        for p in range(PLANES):
            planes[p] = offset[p] + address(array, z, y, 0, 0)
        join_planes(array.item, planes, run * array.size[2], dst)
        dst += run * array.size[2] * PLANES * array.item
        y += run


cdef void part_rows(
    const array_t* array, const Py_ssize_t* offset, Py_ssize_t z, Py_ssize_t y, Py_ssize_t end,
    const char* src,
) noexcept nogil:
    """Results to where they belong."""
    cdef char* planes[PLANES]
    cdef Py_ssize_t run = rows_at_a_time(array, end - y), p
    while y < end:
        for p in range(PLANES):
            planes[p] = offset[p] + address(array, z, y, 0, 0)
        part_planes(array.item, src, run * array.size[2], planes, array.stride[2])
        src += run * array.size[2] * PLANES * array.item
        y += run
