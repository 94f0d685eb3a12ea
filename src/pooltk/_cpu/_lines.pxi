# Planes of few columns: their rows fit the registers, and nothing but results is stored (_lines.h).

cdef enum:
    MOST_BIN_ROWS = 256  # of bins of a plane, where they are merged in registers
    SPREAD_PLANES = 128  # for which the tables of _spread.h are made once


cdef in_registers_t what_fits_registers(const job_t* job) noexcept nogil:
    if planes_fit_registers(job):
        return WINDOWS_OF_LINES
    if bins_fit_registers(job):
        return BINS_OF_LINES
    if spread_fits_registers(job):
        return GRADIENTS_OF_LINES
    return NOTHING


cdef inline bint fits_registers(const axis_t* axis) noexcept nogil:
    """Windows of 3, or of 2 side by side."""
    if axis.kind != SLIDING or axis.dilation > 1:
        return False
    if axis.kernel_size == 2:
        return axis.stride == 2 and axis.padding == 0 and 2 * axis.output_size <= axis.input_size
    if axis.kernel_size != 3 or axis.padding > 1:
        return False
    return axis.stride == 2 or (
        axis.stride == axis.padding == 1 and axis.output_size == axis.input_size
    )


cdef inline bint results_run_on(const job_t* job) noexcept nogil:
    """Whether what is written behind a row begins the next one, or the next plane."""
    return (
        job.dst.stride[2] == job.dst.item
        and job.dst.stride[1] == job.window[2].output_size * job.dst.item
        and (job.items == 1
             or job.batch_stride[1][0] == job.window[1].output_size * job.dst.stride[1])
    )


cdef bint planes_fit_registers(const job_t* job) noexcept nogil:
    """Whether all taps of a plane's windows may stay in registers."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t vectors = ceil_div(width.input_size * job.src.item, REGISTER)
    if not (
        (
            job.acc == job.src.kind == FLOAT32
            or HALVES_IN_REGISTERS and job.acc == INT16 and are_halves(job)
        )
        and job.small and job.channels == 1 and job.batch_axes == 1
        and job.tiles[3] == 1 and (job.tiles[2] == 1 or width.kernel_size == 2)
        and takes_each(&job.window[0]) and job.window[0].output_size == 1
        and fits_registers(height) and fits_registers(width)
        and height.kernel_size == width.kernel_size and height.stride == width.stride
        and tap_count(height, 0) >= 2
        and vectors <= MOST_VECTORS and 2 * width.input_size * job.src.item > REGISTER
        # so many vectors of results
        and width.output_size * job.src.item * width.stride <= REGISTER * (
            vectors + vectors % width.stride
        )
        and results_run_on(job)
    ):
        return False
    if job.op == MAX:
        return True
    if width.kernel_size == 2:
        return is_power_of_two(job.divisor_override if job.divisor_override else 4)
    return width.stride == 1


cdef void pool_in_registers(const job_t* job, const tile_t* tile) noexcept nogil:
    """Planes of a tile, or of one plane the rows of its windows side by side."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t line = ceil_div(width.input_size * job.src.item, REGISTER) * REGISTER
    cdef Py_ssize_t x, i, count
    cdef Py_ssize_t rows[3]
    cdef Py_ssize_t columns[LINE]
    cdef float divisors[3 * LINE]  # of sums, which are of floats
    cdef small_windows w
    line //= job.acc_item
    w.op = tile.op
    w.columns = <int>width.kernel_size
    w.stride = <int>width.stride
    w.before = width.padding
    w.columns_inside = width.input_size
    w.outputs = width.output_size
    w.lines = tile.y_end - tile.y
    w.first_taps = <int>tap_count(height, 0)
    w.taps = <int>tap_count(height, height.output_size - 1)
    w.rows = tile.item_end - tile.item
    w.src_row = job.batch_stride[0][0]
    w.dst_row = w.lines * job.dst.stride[1]
    w.line = job.src.stride[1]
    w.src = tile.src_offset + address(&job.src, 0, tile.y * height.stride, 0, 0)
    w.src_end = job.src.item + job.src.data + batch_offset(
        job, job.batch_stride[0], tile.item_end - 1
    ) + (height.input_size - 1) * w.line + (width.input_size - 1) * job.src.stride[2]
    if w.src_row < 0:  # of the last one in memory
        w.src_end -= (w.rows - 1) * w.src_row
    w.dst = tile.item * job.batch_stride[1][0] + address(&job.dst, 0, tile.y, 0, 0)
    w.by = 1 / <double>(job.divisor_override if job.divisor_override else 4)
    w.divisors = divisors
    rows[0] = 0
    rows[1] = min(1, w.lines - 1)
    rows[2] = w.lines - 1
    if job.op == SUM and width.kernel_size == 3:
        for x in range(line):
            columns[x] = 1
            if not job.divisor_override:
                columns[x] = max(1, window_count(
                    &job.count[2], min(x, w.outputs - 1), job.count_include_pad
                ))
        for i in range(3):
            count = job.divisor_override if job.divisor_override else rows_count(job, 0, rows[i])
            for x in range(line):
                divisors[i * line + x] = <float>(count * columns[x])
    pool_planes_in_registers(job.src.kind, &w)


# Bins of a few elements over such planes, as in adaptive pooling (_bins.h).

cdef inline bint are_few_taps(const axis_t* axis) noexcept nogil:
    """Bins, or windows inside."""
    if axis.kind == ADAPTIVE:
        return axis.kernel_size <= 4  # of more, others are merged first
    return (
        axis.kind == SLIDING and axis.dilation == 1 and axis.kernel_size <= MOST_BIN
        and axis.padding == 0
        and (axis.output_size - 1) * axis.stride + axis.kernel_size <= axis.input_size
    )


cdef bint bins_fit_registers(const job_t* job) noexcept nogil:
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    return (
        job.acc == job.src.kind == job.dst.kind == FLOAT32 and not job.divide_first
        and -1e6 < job.divisor_override < 1e6  # which a float holds
        and job.channels == 1 and job.batch_axes == 1 and job.src.stride[2] == job.src.item
        and takes_each(&job.window[0]) and job.window[0].output_size == 1
        and are_few_taps(height) and not job.wide_rows and height.output_size <= MOST_BIN_ROWS
        and are_few_taps(width) and width.kernel_size >= 2
        and (height.kernel_size <= 4 or width.kernel_size > 4)
        and (width.stride == 3 or not job.small)  # of 3 side by side, too few for _small.h
        and BINS < width.input_size and (
            width.output_size <= BINS and width.input_size <= MOST_BIN_VECTORS * BINS
            or BINS <= width.output_size <= width.input_size and width.kind == ADAPTIVE
            and most_columns(width, BINS) <= MOST_BIN_VECTORS * BINS
        )
        and results_run_on(job) and job.tiles[1] * job.tiles[3] == 1
    )


cdef void place_taps_of(
    const axis_t* axis, Py_ssize_t begin, Py_ssize_t n, Py_ssize_t* first, Py_ssize_t* count
) noexcept nogil:
    """The first tap of so many windows, and how many each has."""
    cdef Py_ssize_t i
    cdef adaptive_t bin
    if axis.kind == ADAPTIVE:
        bin = adaptive_bin(axis, begin)
        for i in range(n):
            first[i] = bin.first
            count[i] = next_bin(&bin)
        return
    for i in range(n):
        first[i] = first_tap(axis, begin + i)
        count[i] = tap_count(axis, begin + i)


cdef void pool_bins_in_registers(const job_t* job, const tile_t* tile) noexcept nogil:
    """All planes of a tile, or rows of one, BINS columns of bins at a time."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t first[MOST_BIN_ROWS]
    cdef Py_ssize_t count[MOST_BIN_ROWS]
    cdef float divisors[MOST_BIN_ROWS]
    cdef Py_ssize_t column[BINS]
    cdef Py_ssize_t columns[BINS]
    cdef Py_ssize_t begin = 0, left, end, x, y
    cdef int tap
    cdef bin_planes b
    b.op = tile.op
    b.taps = <int>width.kernel_size
    b.planes = tile.item_end - tile.item
    b.src_plane = job.batch_stride[0][0]
    b.src_row = job.src.stride[1]
    b.dst_plane = height.output_size * width.output_size
    b.dst_row = width.output_size
    b.rows = tile.y_end - tile.y
    b.outputs = min(BINS, width.output_size)
    place_taps_of(height, tile.y, b.rows, first, count)
    for y in range(b.rows):
        divisors[y] = <float>(job.divisor_override if job.divisor_override else count[y])
    b.first = first
    b.count = count
    b.row_divisors = divisors
    b.dst_end = <float*>(job.dst.data + tile.item * job.batch_stride[1][0])
    b.dst_end += (b.planes - 1) * b.dst_plane + tile.y_end * b.dst_row
    while begin < width.output_size:
        begin = min(begin, width.output_size - b.outputs)
        place_taps_of(width, begin, b.outputs, column, columns)
        for x in range(b.outputs, BINS):
            column[x] = column[x - 1]
            columns[x] = columns[x - 1]
        end = column[BINS - 1] + columns[BINS - 1]
        left = max(0, min(column[0], end - BINS))
        b.columns = max(BINS, end - left)
        b.vectors = <int>max(2, ceil_div(b.columns, BINS))
        b.least = b.taps
        for x in range(BINS):
            b.least = <int>min(b.least, columns[x])
            for tap in range(b.taps):
                b.column[tap][x] = <int32_t>(column[x] - left + min(tap, columns[x] - 1))
                if tap >= columns[x] and job.op == SUM:
                    b.column[tap][x] = -1
            b.column_divisors[x] = <float>(1 if job.divisor_override else columns[x])
        b.src = tile.src_offset + address(&job.src, 0, 0, left, 0)
        b.dst = <float*>(
            address(&job.dst, 0, tile.y, begin, 0) + tile.item * job.batch_stride[1][0]
        )
        b.fresh = 0
        if job.fetches and begin == 0 and b.outputs < width.output_size:
            b.fresh = height.input_size * b.src_row // height.output_size
        pool_bins(&b)
        begin += BINS


# Gradients of averages, few of a plane, spread over its rows (_spread.h).

cdef inline bint spreads_few(const axis_t* axis, Py_ssize_t most) noexcept nogil:
    """Whether no more than two of so many windows hold an element."""
    if axis.kind == ADAPTIVE:
        return axis.kernel_size <= 2 and axis.input_size <= most
    return (
        axis.kind == TRANSPOSED and axis.dilation == 1 and axis.input_size <= most
        and axis.kernel_size - axis.stride <= axis.stride
    )


cdef inline Py_ssize_t windows_over(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    """How many hold element i, those beyond the edges too."""
    if axis.kind == ADAPTIVE:
        return 0
    return (
        floor_div(i + axis.padding, axis.stride)
        - ceil_div(i + axis.padding + 1 - axis.kernel_size, axis.stride) + 1
    )


cdef bint spread_fits_registers(const job_t* job) noexcept nogil:
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    return (
        job.op == SUM and job.acc == job.src.kind == job.dst.kind == FLOAT32
        and job.channels == 1 and job.batch_axes == 1
        and takes_each(&job.window[0]) and job.window[0].output_size == 1
        and spreads_few(height, MOST_SPREAD_ROWS) and spreads_few(width, SPREAD)
        and height.output_size <= MOST_SPREAD_TO
        and SPREAD <= width.output_size <= MOST_SPREAD_TO
        and job.src.stride[2] == job.src.item and job.dst.stride[2] == job.dst.item
        and (job.divide_first or -1e6 < job.divisor_override < 1e6)
        and (job.divide_first or job.divisor_override)
    )


cdef void spread_from_registers(const job_t* job, const tile_t* tile) noexcept nogil:
    """All planes of a tile, or rows of one."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t begin[MOST_SPREAD_TO + 1]
    cdef Py_ssize_t row[2][MOST_SPREAD_TO]
    cdef int32_t column[2][MOST_SPREAD_TO]
    cdef float divisors[MOST_SPREAD_ROWS * 8]
    cdef Py_ssize_t x, y, tap, first, end
    cdef int32_t missing
    cdef spread_planes_t s
    s.planes = tile.item_end - tile.item
    s.src_plane = job.batch_stride[0][0]
    s.src_row = job.src.stride[1]
    s.dst_plane = job.batch_stride[1][0]
    s.dst_row = job.dst.stride[1]
    s.src_rows = height.input_size
    s.src_columns = width.input_size
    s.columns = width.output_size
    s.runs = 0
    y = tile.y
    while y < tile.y_end:
        first = first_tap(height, y)
        end = first + tap_count(height, y)
        for tap in range(2):
            row[tap][s.runs] = first + tap if first + tap < end else s.src_rows + tap
        begin[s.runs] = y - tile.y
        s.runs += 1
        y = end_of_run(height, y)
    begin[s.runs] = tile.y_end - tile.y
    x = 0
    while x < s.columns:
        first = first_tap(width, x)
        end = first + tap_count(width, x)
        missing = PADDING if end - first < windows_over(width, x) else NONE
        for x in range(x, min(s.columns, end_of_run(width, x))):
            for tap in range(2):
                column[tap][x] = <int32_t>(first + tap) if first + tap < end else missing
        x += 1
    for x in range(SPREAD):
        for y in range(s.src_rows):
            divisors[y * SPREAD + x] = 1
            if job.divide_first and x < s.src_columns:
                divisors[y * SPREAD + x] = <float>(rows_count(job, 0, y) * max(
                    1, window_count(&job.count[2], x, job.count_include_pad)
                ))
    s.begin = begin
    s.row[0] = row[0]
    s.row[1] = row[1]
    s.column[0] = column[0]
    s.column[1] = column[1]
    s.divisors = divisors
    s.by = 1 if job.divide_first else <float>job.divisor_override
    s.src = tile.src_offset + address(&job.src, 0, 0, 0, 0)
    s.dst = tile.item * job.batch_stride[1][0] + address(&job.dst, 0, tile.y, 0, 0)
    spread_planes(&s)
