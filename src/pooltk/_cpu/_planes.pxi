# Small planes: many of them side by side, so that a vector holds the same element of each. Rows too
# short for vectors, bins and strides of any kind are then as fast as channels-last arrays.

cdef extern from "_planes.h" nogil:
    cdef enum:
        PLANES
    void join_planes_float(const float** planes, Py_ssize_t n, float* dst)
    void join_planes_double(const double** planes, Py_ssize_t n, double* dst)
    void part_planes_float(const float* src, Py_ssize_t n, float** planes)
    void part_planes_double(const double* src, Py_ssize_t n, double** planes)


cdef enum:
    JOINED = 32768  # elements of the input that are side by side at once
    NARROW = 20     # rows of so few columns are


cdef bint planes_may_join(const job_t* job, const acc_t* _) noexcept nogil:
    """Whether it pays. What decides is the geometry and src alone: sums depend on it."""
    cdef const axis_t* width = &job.window[2]
    if not (acc_t is float or acc_t is double):
        return False
    return (
        job.channels == 1 and job.src.kind == kind_of(_) and job.items >= 4 * PLANES
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
    cdef Py_ssize_t columns = job.window[2].input_size, axis
    cdef acc_t* scratch
    # Blocks of rows, where a plane is too large; all depths of them.
    while rows > 1 and joined_rows(job, rows) * columns > JOINED // PLANES:
        rows = ceil_div(rows, 2)
    blocks = ceil_div(job.window[1].output_size, rows)
    inner.channels = PLANES
    inner.items = 1
    inner.batch_axes = 0
    inner.src.size[3] = inner.dst.size[3] = PLANES
    inner.dst.kind = inner.src.kind
    inner.src.item = inner.dst.item = sizeof(acc_t)
    inner.src.stride[3] = inner.dst.stride[3] = sizeof(acc_t)
    inner.src.stride[2] = inner.dst.stride[2] = PLANES * sizeof(acc_t)
    inner.src.stride[1] = columns * inner.src.stride[2]
    inner.dst.stride[1] = job.window[2].output_size * inner.dst.stride[2]
    inner.src.stride[0] = joined_rows(job, rows) // job.window[0].input_size * inner.src.stride[1]
    inner.dst.stride[0] = rows * inner.dst.stride[1]
    plan(&inner, _)
    job.at_loaded = inner.scratch_size  # the planes of a group, and their results
    job.at_result = job.at_loaded + joined_rows(job, rows) * columns * PLANES + 64
    size = rows * job.window[2].output_size
    size = job.at_result + (job.window[0].output_size + 1) * size * PLANES + 64
    total = ceil_div(job.items, PLANES) * blocks
    num_threads = <int>min(num_threads, total)
    scratch = <acc_t*>allocate(num_threads * size * sizeof(acc_t))
    if num_threads == 1:
        with nogil:
            for index in range(total):
                pool_planes(job, &inner, index // blocks, index % blocks * rows, rows, scratch)
    else:
        for index in prange(total, nogil=True, num_threads=num_threads, schedule="static"):
            pool_planes(
                job, &inner, index // blocks, index % blocks * rows, rows,
                scratch + threadid() * size,
            )
    free(scratch)
    return 0


cdef void pool_planes(
    const job_t* job, const job_t* plan, Py_ssize_t group, Py_ssize_t y, Py_ssize_t rows,
    acc_t* scratch,
) noexcept nogil:
    """Rows y to y + rows of the results of one group."""
    cdef job_t inner = plan[0]
    cdef tile_t tile
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t columns = width.input_size, outputs = width.output_size, item, z, p, n
    cdef Py_ssize_t y_end = min(y + rows, height.output_size), x
    cdef Py_ssize_t first = span_begin(height, y), end = max(first, span_end(height, y_end - 1))
    cdef Py_ssize_t src_offset[PLANES]
    cdef Py_ssize_t dst_offset[PLANES]
    cdef acc_t* joined = scratch + job.at_loaded
    cdef acc_t* results = scratch + job.at_result
    for p in range(PLANES):  # the last plane stands for those that a group lacks
        item = min(group * PLANES + p, job.items - 1)
        src_offset[p] = batch_offset(job, job.batch_stride[0], item)
        dst_offset[p] = batch_offset(job, job.batch_stride[1], item)
    # Row `first` of the input lies first, as does row y of the results.
    inner.src.data = <char*>joined - first * inner.src.stride[1]
    inner.dst.data = <char*>results - y * inner.dst.stride[1]
    for z in range(job.window[0].input_size):
        join_rows(job, src_offset, z, first, end, joined)
        joined += inner.src.stride[0] // <Py_ssize_t>sizeof(acc_t)
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
            pool_rows(&inner, &tile, scratch)
            x += inner.tile_x
        part_rows(
            job, dst_offset, z, y, y_end,
            results + z * (inner.dst.stride[0] // <Py_ssize_t>sizeof(acc_t)),
            results + job.window[0].output_size * (
                inner.dst.stride[0] // <Py_ssize_t>sizeof(acc_t)
            ),
        )


cdef void join_rows(
    const job_t* job, const Py_ssize_t* offset, Py_ssize_t z, Py_ssize_t y, Py_ssize_t end,
    acc_t* dst,
) noexcept nogil:
    cdef const acc_t* planes[PLANES]
    cdef Py_ssize_t columns = job.window[2].input_size, run = 1, p
    if job.src.stride[1] == columns * job.src.stride[2]:
        run = end - y
    while y < end:
        for p in range(PLANES):
            planes[p] = <const acc_t*>(offset[p] + address(&job.src, z, y, 0, 0))
        if acc_t is float:
            join_planes_float(planes, run * columns, dst)
        elif acc_t is double:
            join_planes_double(planes, run * columns, dst)
        dst += run * columns * PLANES
        y += run


cdef void part_rows(
    const job_t* job, const Py_ssize_t* offset, Py_ssize_t z, Py_ssize_t y, Py_ssize_t end,
    const acc_t* src, acc_t* scratch,
) noexcept nogil:
    """Results to where they belong; by way of scratch if their rows do not lie together there."""
    cdef acc_t* planes[PLANES]
    cdef Py_ssize_t columns = job.window[2].output_size, n = (end - y) * columns, p, row
    cdef bint direct = (
        job.dst.kind == job.src.kind and job.dst.stride[2] == job.dst.item
        and job.dst.stride[1] == columns * job.dst.stride[2]
    )
    for p in range(PLANES):
        planes[p] = scratch + p * n
        if direct:
            planes[p] = <acc_t*>(offset[p] + address(&job.dst, z, y, 0, 0))
    if acc_t is float:
        part_planes_float(src, n, planes)
    elif acc_t is double:
        part_planes_double(src, n, planes)
    if not direct:
        for p in range(PLANES):
            for row in range(end - y):
                store_columns(
                    &job.dst, planes[p] + row * columns,
                    offset[p] + address(&job.dst, z, y + row, 0, 0), columns, 1,
                )
