# What is planned: how windows are reduced, in which tiles, and what a thread has in scratch.

cdef bint divisor_is_power_of_two(const job_t* job) noexcept nogil:
    """Whether all windows divide by the same one, which shifts of 16 bits can do."""
    cdef double divisor = 1
    cdef const axis_t* axis
    cdef int i
    for i in range(3):
        axis = &job.window[i]
        divisor *= <double>axis.kernel_size
        if not job.divisor_override and (
            axis.padding or axis.padding_high
            or (axis.output_size - 1) * axis.stride + axis.kernel_size > axis.input_size
        ):
            return False
    if job.divisor_override:
        if job.divisor_override < divisor:  # the quotient may have to be saturated
            return False
        divisor = <double>job.divisor_override
    return 1 < divisor <= 128 and is_power_of_two(divisor)


cdef inline bint are_floats(const job_t* job) noexcept nogil:
    return job.acc == FLOAT32 or job.acc == FLOAT64


cdef inline bint are_pixels(const job_t* job) noexcept nogil:
    """Whether small windows' rows are merged as they are read (_pixels.h)."""
    cdef const axis_t* width = &job.window[2]
    return (
        are_floats(job) and job.src.kind == job.acc and job.op != RANK
        and job.channels % LANES == 0 and job.channels >= 2 * LANES
        and (width.kernel_size == 3 and width.stride <= 2 or width.kernel_size == width.stride == 2)
        and job.window[0].kernel_size == 1
        and 2 <= job.window[1].kernel_size <= width.kernel_size
    )


cdef void plan(job_t* job) noexcept nogil:
    """Choose how windows are reduced, and the tiles; lay out a thread's scratch."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t channels = job.channels, columns, reach, rows, doublings, total, limbs, wide
    cdef bint rows_are_merged, rows_run_on, results_run_on, few_rows
    # Wide bins that hardly overlap, and windows far apart: nothing but their taps is read. Of
    # several rows of one channel it takes less to merge them first, unless they are long.
    rows_are_merged = channels == 1 and width.kernel_size <= TILE // 4 and not (
        job.window[0].kernel_size == height.kernel_size == 1
    )
    # Of one channel, floats that lie together fill vectors sooner. Of short rows each is a tile.
    wide = WIDE_BIN
    if (
        channels == 1 and are_floats(job) and job.src.stride[2] == job.src.item
        and width.kind == SLIDING and width.input_size >= 8 * LANES
    ):
        if job.src.kind == job.acc:
            wide = MOST_TAPS + 1
        elif are_halves(job):
            wide = LANES
    job.whole_windows = not job.divide_first and (
        (width.kind == SLIDING and width.stride // 4 >= extent(width) and width.stride > 64)
        or width.kernel_size >= wide and not rows_are_merged and (
            width.output_size == 1
            or (width.kind == SLIDING and width.kernel_size // 2 < width.stride)
            or (width.kind == ADAPTIVE and width.output_size <= width.input_size)
        )
    )
    # Padded rows are worth their scratch while windows are not far wider than the row or apart.
    job.regular = (
        width.kind == SLIDING and extent(width) <= 2 * width.input_size + 64
        and (width.stride - 63) // 2 <= extent(width)
    )
    job.spread = width.kind == TRANSPOSED and width.dilation == 1
    job.tile_c = min(channels, TILE)
    # Of few windows each thread takes a part of the channels, if taps of all have one order then.
    if job.whole_windows and height.kernel_size == job.window[0].kernel_size == 1:
        total = job.items * job.window[0].output_size * height.output_size * width.output_size
        total = ceil_div(channels * total, job.num_threads)
        job.tile_c = min(job.tile_c, max(PART_OF_CHANNELS, total))
    rows_run_on = (
        job.src.stride[3] == job.src.item and job.src.stride[2] == channels * job.src.item
        and job.tile_c == channels
    )
    job.direct_rows = (
        job.src.kind == job.acc and not job.divide_first
        and not (job.acc == INT64 and job.op == SUM)  # limbs are split as they are loaded
        and (
            rows_run_on
            or (job.src.stride[3] == job.src.item and job.whole_windows and channels > 1)
        )
    )
    results_run_on = (
        job.dst.stride[3] == job.dst.item and job.dst.stride[2] == channels * job.dst.item
        and job.tile_c == channels
    )
    job.direct_dst = (
        job.dst.kind == job.acc and results_run_on
        and (are_floats(job) or job.op == MAX)
    )
    job.wide_rows = (
        not job.whole_windows
        and height.kind == SLIDING and height.kernel_size > WIDE_ROWS
        and height.kernel_size // 4 >= height.stride
        and extent(height) <= 2 * height.input_size + 64
    )

    job.rows_repeat = job.dst.stride[3] == job.dst.item and results_run_on and (
        height.kind == ADAPTIVE and height.output_size >= 2 * height.input_size
        or height.kind == TRANSPOSED and 2 <= height.kernel_size == height.stride
        and height.dilation == 1
    )
    job.small = (
        rows_run_on
        and results_run_on and job.src.kind == job.dst.kind
        and (
            job.src.kind <= FLOAT64 and job.src.kind == job.acc
            or job.src.kind <= BFLOAT16 and job.acc == FLOAT32
            or job.src.item <= 2 and (
                job.op == MAX or job.acc == INT32 and divisor_is_power_of_two(job)
            )
        )
        and not (job.divide_first or job.whole_windows)
        and width.kind == SLIDING and width.dilation == 1
        and width.kernel_size <= MOST_COLUMNS
        and (
            width.stride == 1 or channels >= 8 and width.stride <= 64
            or channels > 1 and width.stride <= 4 and not (
                job.op == SUM and are_floats(job)  # whose counts may differ
            )
            or channels == 1 and width.stride == 2 and 2 <= width.kernel_size <= 3
            or channels == 1 and width.stride == width.kernel_size == 3
            and are_floats(job)
            or channels == 1 and width.stride == width.kernel_size == 4
        )
        and height.kind == SLIDING and height.dilation == 1 and height.kernel_size <= WIDE_ROWS
        and job.window[0].kind == SLIDING and job.window[0].dilation == 1
        and job.window[0].kernel_size * height.kernel_size <= MOST_ROWS
        and -1e6 < job.divisor_override < 1e6
    )
    job.few_pixels = are_few_pixels(job)
    job.short_runs = are_short_runs(job)
    few_rows = height.kind == ADAPTIVE and height.kernel_size <= 4 and job.few_pixels
    job.merged_rows = (
        job.direct_rows and has_bins(job) and takes_each(&job.window[0])
        and (takes_each(height) or few_rows)
    )

    # Columns of output, then rows, until the merged rows fill a tile.
    columns = max(1, TILE // job.tile_c)
    # Rows of images are not cut: down a part of them, each is another page.
    if job.small and job.src.item < 4:
        columns = max(columns, IMAGE_ROW // (job.src.item * job.tile_c))
    job.pixels = job.small and are_pixels(job)
    few_rows = few_rows and job.merged_rows
    if job.pixels or few_rows:
        columns = max(columns, PIXEL_ROW // job.tile_c)
    elif job.small and channels >= 8 and (
        width.stride < width.kernel_size and height.kernel_size > 1
        or are_floats(job) and job.src.kind == job.acc and takes_each(height)  # read in place
    ):
        columns = max(columns, MERGED_PIXELS // job.tile_c)
    limbs = 2 if job.src.item == 8 and job.op == SUM else 1
    if job.wide_rows:
        columns = WIDE_TILE // (limbs * job.tile_c * job.acc_item)
        columns = max(1, min(columns, TILE // job.tile_c))
    if width.kind == ADAPTIVE:
        job.tile_x = max(1, columns * width.output_size // max(width.input_size, width.output_size))
    elif width.kind == TRANSPOSED:
        job.tile_x = columns
    else:
        reach = min(extent(width), width.input_size)
        job.tile_x = max(columns - reach, reach) // width.stride + 1
    if job.whole_windows:
        columns *= 8 if channels == 1 else 1  # what is reduced where it lies needs no scratch
        job.tile_x = max(1, columns // min(width.kernel_size, width.input_size))
    job.tile_x = min(job.tile_x, max(1, width.output_size))
    if job.wide_rows:  # of equal width: each reads a window's width more than it has outputs
        job.tile_x = ceil_div(width.output_size, ceil_div(width.output_size, job.tile_x))
    columns = most_columns(width, job.tile_x)
    if job.regular:
        columns = ceil_div(columns, width.stride) * width.stride
    elif job.spread:
        columns = job.tile_x // width.stride + 2 + width.kernel_size // width.stride
    else:
        columns = min(columns, width.input_size)
    job.tile_y = max(1, TILE // (columns * job.tile_c))
    if job.whole_windows:
        job.tile_y = 1
        columns = CHUNK if channels == 1 else max(1, TILE // job.tile_c)
    job.tile_y = job.chunk_y = max(1, min(job.tile_y, height.output_size))
    # Of small windows scratch has no rows of outputs: tiles are as tall as leaves enough of them,
    # but down a part of long rows of floats, where each row is another page, that takes longer.
    if job.small and (job.src.item < 4 or job.tile_x == width.output_size):
        total = job.items * job.window[0].output_size * ceil_div(width.output_size, job.tile_x)
        total *= ceil_div(channels, job.tile_c)
        job.tile_y = max(job.tile_y, ceil_div(height.output_size, max(1, 64 // total)))
    job.tile_items = job.tile_z = 1
    job.tiles[1] = job.window[0].output_size
    if job.wide_rows:  # a tile's first window needs all its rows, but there must be tiles enough
        job.tile_y = height.output_size
        if job.items * job.tiles[1] * job.tile_x < 16 * width.output_size:
            # An even number of them: half a plane each for two threads.
            rows = 2 * max(1, height.output_size * height.stride // (8 * extent(height)))
            job.tile_y = max(job.chunk_y, ceil_div(height.output_size, rows))
    job.tiles[2] = ceil_div(height.output_size, job.tile_y)
    job.tiles[3] = ceil_div(width.output_size, job.tile_x)
    job.tiles[4] = ceil_div(channels, job.tile_c)

    job.in_registers = what_fits_registers(job)
    # Not of so few that to ask for NaN takes as long.
    total = job.items * job.src.size[0] * job.src.size[1] * job.src.size[2] * channels
    job.of_numbers = notes_nan and job.op == MAX and job.acc == FLOAT32 and total > FEW_ELEMENTS
    job.row_size = columns * job.tile_c
    total = job.chunk_y * max(columns, job.tile_x) * job.tile_c
    job.scratch_size = 0
    job.at_result = reserve(job, total)
    rows = 0 if job.small or few_rows else total
    job.at_merged = reserve(job, rows)
    job.at_even = reserve(job, rows)
    job.at_odd = reserve(job, rows)
    job.at_low = reserve(job, rows if limbs == 2 else 0)
    job.at_counts = reserve(job, max(columns, job.tile_x) * job.tile_c if job.op == SUM else 0)
    job.at_levels = reserve(job, tree_levels(job) * job.row_size)
    job.at_loaded = reserve(job, 0 if job.direct_rows or job.small else 4 * job.row_size)
    job.at_wide = reserve(job, 0 if job.pixels or few_rows else total)
    job.runs_join = job.whole_windows and runs_may_join(job)
    job.at_joined = reserve(job, 2 * MOST_JOINED_RUN * PLANES if job.runs_join else 0)
    if job.small and not job.pixels:
        job.padded_size = max(columns, job.tile_x) * job.tile_c + 160  # five of the widest vectors
        job.padded_rows = 4 if job.padded_size <= 224 else 2
        job.at_padded = reserve(job, job.padded_rows * job.padded_size)
    job.at_kept = reserve(job, 5 * channels if job.pixels else 0)
    total = 3 * job.tile_x if has_bins(job) else 0
    job.at_bins = reserve(job, total * 8 // job.acc_item)
    job.rows_size = 0
    rows = 0
    if job.wide_rows and job.chunk_y == height.output_size:
        rows = most_columns(height, job.chunk_y)
    job.rows_at_once = 0 < rows * job.row_size <= 2 * TILE
    if job.rows_at_once:
        job.rows_size = 4 * rows * job.row_size
    elif job.wide_rows and has_blocks(job):
        job.rows_size = (height.kernel_size + 1) * job.row_size
    elif job.wide_rows:
        doublings = 0
        while kept_rows(height, doublings) > 0:
            job.rows_size += kept_rows(height, doublings) * job.row_size
            doublings += 1
    job.at_rows = reserve(job, limbs * job.rows_size)


cdef Py_ssize_t reserve(job_t* job, Py_ssize_t elements) noexcept nogil:
    """A part of a thread's scratch, aligned as a cache line is whatever the element."""
    cdef Py_ssize_t begin = job.scratch_size
    job.scratch_size += (elements + 63) // 64 * 64 + 64
    return begin


cdef Py_ssize_t tree_levels(const job_t* job) noexcept nogil:
    """Partial results that merge_taps keeps: as many as a balanced tree of 4-row leaves is high."""
    cdef Py_ssize_t taps = min(job.window[0].kernel_size, job.window[0].input_size), levels = 0
    if job.whole_windows:
        taps *= min(job.window[2].kernel_size, job.window[2].input_size)
    if not job.wide_rows:
        taps *= min(job.window[1].kernel_size, job.window[1].input_size)
    while taps > 4:
        taps = (taps + 1) // 2
        levels += 1
    return levels
