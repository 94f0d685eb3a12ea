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
    JOINED = 32768  # elements that are side by side at once,
    MOST_JOINED = 65536  # if there are no less to a row of outputs
    NARROW = 20     # rows of so few columns are
    SHORT = 12      # or of these, of windows that _small.h keeps in registers
    FAR_APART = 40  # or of these, of windows that slide by as many as 5


cdef inline bint are_threes(const axis_t* width) noexcept nogil:
    return width.kernel_size == 3 and width.stride == 1


cdef bint planes_may_join(const job_t* job) noexcept nogil:
    """Whether it pays.

    What decides is the geometry and src alone, since sums depend on it; of small windows dst too,
    which are added up in the same order either way.
    """
    cdef const axis_t* width = &job.window[2]
    cdef job_t inner
    if (
        job.channels == 1 and job.items >= 2 * PLANES
        and job.src.stride[2] == job.src.item
        and (not job.divide_first or width.kind == ADAPTIVE)
        and not job.whole_windows
        and (
            width.kind == ADAPTIVE
            or width.input_size <= (SHORT if job.small and are_threes(width) else NARROW)
            # which are added up as those of one tall plane are, unless they are wide bins
            or width.input_size <= FAR_APART and 5 <= width.stride and width.kernel_size < WIDE_BIN
        )
    ):
        inner = joined_job(job)
        return joined_elements(&inner, 1) <= MOST_JOINED // PLANES
    return False


cdef bint rows_merge_first(const job_t* job) noexcept nogil:
    """Whether windows' rows are merged in each plane, so that there is less to lay side by side:
    where they are vectors for _small.h, and a half are left, of halves a quarter."""
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t merged = job.window[0].output_size * job.window[1].output_size
    return (
        (are_floats(job) or job.acc_item <= 2) and
        (
            job.src.kind == job.acc and not job.divide_first
            or are_halves(job) and width.kind == ADAPTIVE
        )
        and not job.wide_rows and width.input_size * job.acc_item >= 32
        and merged * (2 if job.src.kind == job.acc else 4)
        <= job.window[0].input_size * job.window[1].input_size
    )


cdef inline Py_ssize_t joined_rows(const job_t* job, Py_ssize_t outputs) noexcept nogil:
    """Rows of the input, at most, that so many rows of outputs read."""
    cdef Py_ssize_t rows = most_columns(&job.window[1], outputs)
    return min(rows, job.window[1].input_size) * job.window[0].input_size


cdef inline Py_ssize_t joined_elements(const job_t* job, Py_ssize_t outputs) noexcept nogil:
    """Of a plane: what so many rows of outputs read, or they, whichever is more."""
    return max(
        joined_rows(job, outputs) * job.window[2].input_size,
        outputs * job.window[0].output_size * job.window[2].output_size,
    )


cdef inline Py_ssize_t rows_to_join(const job_t* job) noexcept nogil:
    """Rows of outputs, at all depths, whose planes are side by side at once."""
    cdef Py_ssize_t rows = job.window[1].output_size
    while rows > 1 and joined_elements(job, rows) > JOINED // PLANES:
        rows = ceil_div(rows, 2)
    return rows


cdef job_t joined_job(const job_t* job) noexcept nogil:
    """The operation on planes side by side, as on one item that has them as channels."""
    cdef job_t inner = job[0]
    cdef int axis
    inner.channels = PLANES
    inner.items = 1
    inner.batch_axes = 0
    inner.num_threads = 1
    inner.fetches = False
    if job.rows_first:
        for axis in range(2):
            inner.window[axis] = each_of(job.window[axis].output_size)
            inner.src.size[axis] = job.window[axis].output_size
    return inner


cdef void place_planes(
    const job_t* job, Py_ssize_t group, int array, Py_ssize_t* offset
) noexcept nogil:
    """Where the planes of a group begin in this array; the last stands for those that it lacks."""
    cdef const Py_ssize_t* stride = job.batch_stride[array]
    cdef Py_ssize_t last = min(PLANES, job.items - group * PLANES) - 1, p, item
    for p in range(PLANES):
        item = group * PLANES + min(p, last)
        offset[p] = item * stride[0] if job.batch_axes == 1 else batch_offset(job, stride, item)


cdef void lay_planes(array_t* array, Py_ssize_t rows) noexcept nogil:
    """Describe so many rows, at each depth, of PLANES side by side."""
    array.size[3] = PLANES
    array.stride[3] = array.item
    array.stride[2] = PLANES * array.item
    array.stride[1] = array.size[2] * array.stride[2]
    array.stride[0] = rows * array.stride[1]


cdef inline Py_ssize_t bytes_of(const array_t* array) noexcept nogil:
    """Of planes that are laid so."""
    return array.size[0] * array.stride[0] + 64


cdef int pool_joined(job_t* job, const acc_t* _, int num_threads) except -1:
    """As pool_tiles, PLANES at a time."""
    cdef job_t inner = joined_job(job)
    cdef Py_ssize_t rows = rows_to_join(&inner)
    job.inner = &inner
    job.block_rows = rows
    job.blocks[0] = ceil_div(job.window[1].output_size, rows)
    if job.divide_first:  # as soon as planes are joined
        inner.divide_first = False
        inner.divisor_override = 1
    if job.divide_first or job.rows_first:
        inner.src.kind = job.acc
        inner.src.item = job.acc_item
    lay_planes(&inner.src, joined_rows(&inner, rows) // inner.window[0].input_size)
    lay_planes(&inner.dst, rows)
    plan(&inner)
    inner.of_numbers = job.of_numbers
    job.row_size = PLANES * job.src.size[2]
    job.at_counts = reserve(&inner, job.row_size if job.divide_first else 0)
    job.at_merged = reserve(&inner, job.row_size if job.rows_first else 0)
    job.at_levels = reserve(&inner, tree_levels(job) * job.row_size if job.rows_first else 0)
    # in bytes: the planes of a group, before they are divided and after, and their results
    job.at_joined = inner.scratch_size * sizeof(acc_t)
    job.at_loaded = job.at_joined
    if inner.src.kind != job.src.kind and not job.rows_first:
        job.at_loaded += bytes_of(&inner.src)
    job.at_result = job.at_loaded + bytes_of(&inner.src)
    return share_parts(
        <part_t>pool_planes[acc_t], job, ceil_div(job.items, PLANES) * job.blocks[0],
        job.at_result + bytes_of(&inner.dst), num_threads,
    )


cdef void pool_planes(const job_t* job, Py_ssize_t index, acc_t* memory) noexcept nogil:
    """A block of rows of the results of one group."""
    cdef job_t inner = job.inner[0]
    cdef Py_ssize_t group = index // job.blocks[0], y = index % job.blocks[0] * job.block_rows
    cdef char* scratch = <char*>memory
    cdef tile_t tile
    cdef const axis_t* height = &inner.window[1]
    cdef array_t joined = inner.src
    cdef Py_ssize_t outputs = job.window[2].output_size, z, x
    cdef Py_ssize_t y_end = min(y + job.block_rows, height.output_size)
    cdef Py_ssize_t first = span_begin(height, y), end = max(first, span_end(height, y_end - 1))
    cdef Py_ssize_t offset[PLANES]
    joined.kind = job.src.kind
    joined.item = job.src.item
    lay_planes(&joined, inner.src.stride[0] // inner.src.stride[1])
    # Row `first` of the input lies first, as does row y of the results.
    joined.data = scratch + job.at_joined - first * joined.stride[1]
    inner.src.data = scratch + job.at_loaded - first * inner.src.stride[1]
    inner.dst.data = scratch + job.at_result - y * inner.dst.stride[1]
    place_planes(job, group, 0, offset)
    if job.rows_first:
        join_merged_rows(
            job, GREATER if inner.of_numbers else job.op, offset, y, y_end, &inner.src, memory
        )
        if inner.of_numbers and met_nan():
            join_merged_rows(job, job.op, offset, y, y_end, &inner.src, memory)
    else:
        join_rows(&job.src, offset, first, end, &joined)
    if job.divide_first:
        divide_joined(job, &joined, &inner.src, first, end, memory + job.at_counts)
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
            pool_rows(&inner, &tile, memory)
            x += inner.tile_x
    place_planes(job, group, 1, offset)
    part_rows(&job.dst, offset, y, y_end, &inner.dst)


cdef void join_merged_rows(
    const job_t* job, int op, const Py_ssize_t* offset, Py_ssize_t y, Py_ssize_t end,
    const array_t* joined, acc_t* scratch,
) noexcept nogil:
    """As join_rows, of windows' rows from y to end, each merged from those of its taps."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t columns = job.src.size[2], n = PLANES * columns, trees, z, row, tap, p
    cdef Py_ssize_t taps_z, taps_y, done, tap_z, tap_y
    cdef Py_ssize_t stride_z = tap_distance(depth, job.src.stride[0])
    cdef Py_ssize_t stride_y = tap_distance(height, job.src.stride[1])
    cdef acc_t* merged = scratch + job.at_merged
    cdef const char* planes[PLANES]
    cdef small_windows w
    w.op = op
    w.planes = PLANES
    w.plane = offset
    w.columns_inside = columns
    for p in range(PLANES):
        planes[p] = <const char*>(merged + p * columns)
    for z in range(depth.output_size):
        taps_z = tap_count(depth, z)
        for row in range(y, end):
            taps_y = tap_count(height, row)
            if taps_z * taps_y == 0:
                fill(merged, identity_of(job, merged), n)
            else:
                w.src = address(&job.src, first_tap(depth, z), first_tap(height, row), 0, 0)
            done = trees = tap_z = tap_y = 0
            while done < taps_z * taps_y:
                w.taps = <int>min(MERGED_ROWS, taps_z * taps_y - done)
                for tap in range(w.taps):
                    w.tap[tap] = tap_z * stride_z + tap_y * stride_y
                    tap_y += 1
                    if tap_y == taps_y:
                        tap_y = 0
                        tap_z += 1
                merge_planes(job.src.kind, &w, tree_row(job, trees, scratch, merged))
                trees = merge_equal_trees(
                    job, op, done // MERGED_ROWS, 1, trees + 1, scratch, merged, n
                )
                done += w.taps
            merge_trees(job, op, trees, scratch, merged, n)
            join_planes(sizeof(acc_t), planes, columns, address(joined, z, row, 0, 0))


cdef void divide_joined(
    const job_t* job, const array_t* joined, const array_t* divided, Py_ssize_t y, Py_ssize_t end,
    acc_t* counts,
) noexcept nogil:
    """Rows y to end, at all depths."""
    cdef Py_ssize_t columns = joined.size[2], z, row
    cdef acc_t* dst
    column_counts(job, 0, columns, PLANES, counts)
    for z in range(joined.size[0]):
        for row in range(y, end):
            dst = <acc_t*>address(divided, z, row, 0, 0)
            if joined.kind != divided.kind:
                load_columns(joined, WHOLE, address(joined, z, row, 0, 0), columns, PLANES, dst)
            divide_row(dst, columns * PLANES, counts, <double>rows_count(job, z, row))


cdef inline Py_ssize_t rows_at_a_time(const array_t* array, Py_ssize_t rows) noexcept nogil:
    """All, if they lie one behind the other."""
    return rows if array.stride[1] == array.size[2] * array.stride[2] else 1


cdef void join_rows(
    const array_t* array, const Py_ssize_t* offset, Py_ssize_t y, Py_ssize_t end,
    const array_t* joined,
) noexcept nogil:
    """Rows y to end, at all depths, of the planes that begin at these offsets."""
    cdef const char* planes[PLANES]
    cdef Py_ssize_t run = rows_at_a_time(array, end - y), z, row, p
    for z in range(array.size[0]):
        row = y
        while row < end:
            for p in range(PLANES):
                planes[p] = offset[p] + address(array, z, row, 0, 0)
            join_planes(
                array.item, planes, run * array.size[2], address(joined, z, row, 0, 0)
            )
            row += run


cdef void part_rows(
    const array_t* array, const Py_ssize_t* offset, Py_ssize_t y, Py_ssize_t end,
    const array_t* joined,
) noexcept nogil:
    """The way back."""
    cdef char* planes[PLANES]
    cdef Py_ssize_t run = rows_at_a_time(array, end - y), z, row, p
    for z in range(array.size[0]):
        row = y
        while row < end:
            for p in range(PLANES):
                planes[p] = offset[p] + address(array, z, row, 0, 0)
            part_planes(
                array.item, address(joined, z, row, 0, 0), run * array.size[2], planes,
                array.stride[2],
            )
            row += run
