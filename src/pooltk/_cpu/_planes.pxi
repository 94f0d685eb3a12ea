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
        and job.src.stride[2] == job.src.item
        and (not job.divide_first or width.kind == ADAPTIVE)
        and not job.whole_windows
        and (width.kind == ADAPTIVE or width.input_size <= NARROW)
        and block_may_join(job, 1)
    )


cdef inline Py_ssize_t joined_rows(const job_t* job, Py_ssize_t outputs) noexcept nogil:
    """Rows of the input, at most, that so many rows of outputs read."""
    cdef Py_ssize_t rows = most_columns(&job.window[1], outputs)
    return min(rows, job.window[1].input_size) * job.window[0].input_size


cdef inline bint block_may_join(const job_t* job, Py_ssize_t outputs) noexcept nogil:
    """Whether there is room for what so many rows of outputs read, and for them."""
    return max(
        joined_rows(job, outputs) * job.window[2].input_size,
        outputs * job.window[0].output_size * job.window[2].output_size,
    ) <= JOINED // PLANES


cdef inline void join_array(array_t* array, const acc_t* _, Py_ssize_t rows) noexcept nogil:
    """So many rows at each depth of PLANES planes, as those of an array with as many channels."""
    array.kind = kind_of(_)
    array.item = sizeof(acc_t)
    array.size[3] = PLANES
    array.stride[3] = sizeof(acc_t)
    array.stride[2] = PLANES * sizeof(acc_t)
    array.stride[1] = array.size[2] * array.stride[2]
    array.stride[0] = rows * array.stride[1]


cdef inline Py_ssize_t elements_of(const array_t* array) noexcept nogil:
    """Of a joined array, at all depths."""
    return array.size[0] * (array.stride[0] // array.item)


cdef job_t joined_job(const job_t* job) noexcept nogil:
    """The operation on planes side by side, as on one item that has them as channels."""
    cdef job_t inner = job[0]
    inner.channels = PLANES
    inner.items = 1
    inner.batch_axes = 0
    return inner


cdef void place_planes(
    const job_t* job, Py_ssize_t group, int array, Py_ssize_t* offset
) noexcept nogil:
    """Where the planes of a group begin in this array; the last stands for those that it lacks."""
    cdef Py_ssize_t p
    for p in range(PLANES):
        offset[p] = batch_offset(
            job, job.batch_stride[array], min(group * PLANES + p, job.items - 1)
        )


cdef int pool_joined(job_t* job, const acc_t* _, int num_threads) except -1:
    """As pool_tiles, PLANES at a time."""
    cdef job_t inner = joined_job(job)
    cdef Py_ssize_t rows = job.window[1].output_size, blocks, total, index, size
    cdef acc_t* scratch
    # Blocks of rows, where a plane is too large; all depths of them.
    while rows > 1 and not block_may_join(job, rows):
        rows = ceil_div(rows, 2)
    blocks = ceil_div(job.window[1].output_size, rows)
    join_array(&inner.src, _, joined_rows(job, rows) // job.window[0].input_size)
    join_array(&inner.dst, _, rows)
    if job.divide_first:  # as soon as planes are joined
        inner.divide_first = False
        inner.divisor_override = 1
    plan(&inner, _)
    job.at_counts = reserve(&inner, job.src.size[2] * PLANES if job.divide_first else 0)
    job.at_loaded = inner.scratch_size  # the planes of a group, and their results
    job.at_result = job.at_loaded + elements_of(&inner.src) + 64
    # and one depth of them, on the way to where it belongs
    size = job.at_result + elements_of(&inner.dst) + elements_of(&inner.dst) // inner.dst.size[0]
    size += 64
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
    cdef Py_ssize_t outputs = job.window[2].output_size, z, x
    cdef Py_ssize_t y_end = min(y + rows, height.output_size)
    cdef Py_ssize_t first = span_begin(height, y), end = max(first, span_end(height, y_end - 1))
    cdef Py_ssize_t offset[PLANES]
    cdef acc_t* joined = scratch + job.at_loaded
    cdef acc_t* results = scratch + job.at_result
    # Row `first` of the input lies first, as does row y of the results.
    inner.src.data = <char*>joined - first * inner.src.stride[1]
    inner.dst.data = <char*>results - y * inner.dst.stride[1]
    place_planes(job, group, 0, offset)
    join_rows(&job.src, offset, first, end, joined, &inner.src)
    if job.divide_first:
        divide_joined(job, &inner, first, end, joined, scratch + job.at_counts)
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
    place_planes(job, group, 1, offset)
    part_rows(
        &job.dst, offset, y, y_end, results, &inner.dst, results + elements_of(&inner.dst)
    )


cdef void divide_joined(
    const job_t* job, const job_t* inner, Py_ssize_t y, Py_ssize_t end, acc_t* joined,
    acc_t* counts,
) noexcept nogil:
    cdef Py_ssize_t n = job.src.size[2] * PLANES, z, row
    column_counts(job, 0, job.src.size[2], PLANES, counts)
    for z in range(job.src.size[0]):
        for row in range(y, end):
            divide_row(joined + (row - y) * n, n, counts, <double>rows_count(job, z, row))
        joined += inner.src.stride[0] // inner.src.item


cdef void join_rows(
    const array_t* array, const Py_ssize_t* offset, Py_ssize_t y, Py_ssize_t end, acc_t* dst,
    const array_t* joined,
) noexcept nogil:
    """Rows y to end, at all depths, into memory for `joined`."""
    cdef const acc_t* planes[PLANES]
    cdef Py_ssize_t columns = array.size[2], run = 1, z, row, p
    if array.stride[1] == columns * array.stride[2]:
        run = max(1, end - y)
    for z in range(array.size[0]):
        row = y
        while row < end:
            for p in range(PLANES):
                planes[p] = <const acc_t*>(offset[p] + address(array, z, row, 0, 0))
            if acc_t is float:
                join_planes_float(planes, run * columns, dst + (row - y) * columns * PLANES)
            elif acc_t is double:
                join_planes_double(planes, run * columns, dst + (row - y) * columns * PLANES)
            row += run
        dst += joined.stride[0] // joined.item


cdef void part_rows(
    const array_t* array, const Py_ssize_t* offset, Py_ssize_t y, Py_ssize_t end,
    const acc_t* src, const array_t* joined, acc_t* scratch,
) noexcept nogil:
    """The way back; by way of scratch if the rows of a plane do not lie together there."""
    cdef acc_t* planes[PLANES]
    cdef Py_ssize_t columns = array.size[2], n = (end - y) * columns, z, p, row
    cdef bint direct = (
        array.kind == kind_of(src) and array.stride[2] == array.item
        and array.stride[1] == columns * array.stride[2]
    )
    for z in range(array.size[0]):
        for p in range(PLANES):
            planes[p] = scratch + p * n
            if direct:
                planes[p] = <acc_t*>(offset[p] + address(array, z, y, 0, 0))
        if acc_t is float:
            part_planes_float(src, n, planes)
        elif acc_t is double:
            part_planes_double(src, n, planes)
        if not direct:
            for p in range(PLANES):
                for row in range(end - y):
                    store_columns(
                        array, planes[p] + row * columns,
                        offset[p] + address(array, z, y + row, 0, 0), columns, 1,
                    )
        src += joined.stride[0] // joined.item
