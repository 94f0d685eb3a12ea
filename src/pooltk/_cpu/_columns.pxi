# Columns of a window, along a merged row or where they lie.

cdef inline bint are_runs(int op, const axis_t* axis) noexcept nogil:
    """Whether windows are reduced each by itself: wide ones that hardly overlap.

    Taps have one order then, whether planes lie side by side, are one long row, or neither.
    """
    return (
        axis.kernel_size > MOST_TAPS and axis.dilation == 1 and op != RANK
        and (axis.output_size == 1 or axis.kernel_size // 2 < axis.stride)
    )


cdef void pool_row(
    const job_t* job, int op, const acc_t* src, acc_t* dst, Py_ssize_t outputs, Py_ssize_t channels,
    acc_t* scratch,
) noexcept nogil:
    """Windows that slide along a padded row."""
    cdef const axis_t* axis = &job.window[2]
    cdef acc_t* even = scratch + job.at_even
    cdef acc_t* odd = scratch + job.at_odd
    cdef Py_ssize_t shift = axis.dilation * channels, n
    if acc_t is float or acc_t is double:
        if are_runs(op, axis):
            if channels == 1:
                merge_side_by_side(op, src, axis.stride, axis.kernel_size, dst, outputs)
                return
            if channels >= 8 and axis.kernel_size < WIDE_BIN:
                merge_pixels_side_by_side(
                    op, src, axis.stride, axis.kernel_size, dst, outputs, channels
                )
                return
    if axis.stride == 1:
        slide(op, src, dst, even, odd, outputs * channels, shift, axis.kernel_size)
    elif axis.kernel_size == 1:
        every(src, dst, outputs, axis.stride, channels)
    elif shift == 1 and merge_windows_apart(
        op, axis.kernel_size, src, axis.stride, dst, outputs
    ):
        return
    elif channels >= 8 and (
        axis.kernel_size - axis.stride <= axis.stride or axis.kernel_size <= 3
    ):
        merge_pixel_windows(
            op, axis.kernel_size, src, axis.stride * channels, shift, dst, outputs, channels,
            even, odd,
        )
    else:
        n = ((outputs - 1) * axis.stride + 1) * channels
        # The last doubling may not write to where it reads from, and `every` reads ahead of
        # where it writes: the full-stride result goes to a buffer of its own.
        slide(op, src, scratch + job.at_wide, even, odd, n, shift, axis.kernel_size)
        every(scratch + job.at_wide, dst, outputs, axis.stride, channels)


cdef inline void spread_pairs(const acc_t* src, acc_t* dst, Py_ssize_t n) noexcept nogil:
    if acc_t is float:
        spread_pairs_float(src, dst, n)
    elif acc_t is double:
        spread_pairs_double(src, dst, n)


cdef void spread_row(
    const job_t* job, const tile_t* tile, const acc_t* src, acc_t* dst, acc_t* scratch
) noexcept nogil:
    """The inverse of windows with a stride: elements between the same windows' starts alternate.

    Element q * stride + phase of the padded row lies in the windows up to q, as many as begin at
    most kernel_size - 1 before it: for each phase a window of stride 1 over src.
    """
    cdef axis_t axis = job.window[2]
    cdef Py_ssize_t channels = tile.channels, stride = axis.stride
    cdef Py_ssize_t most = ceil_div(axis.kernel_size, stride)
    cdef Py_ssize_t start = tile.x + axis.padding, end = tile.x_end + axis.padding
    cdef Py_ssize_t first = start // stride, count = (end - 1) // stride + 1 - first
    cdef Py_ssize_t phase, phase_begin, phase_end, windows, q, c, begin, stop
    cdef acc_t* phases = scratch + job.at_wide
    cdef const acc_t* sums
    cdef acc_t* place
    if channels == 1 and axis.kernel_size <= stride and stride >= 8:
        # Runs of one window's value, and of nothing.
        for q in range(count):
            begin = max(start, (first + q) * stride)
            stop = min(end, (first + q + 1) * stride)
            windows = max(begin, min(stop, (first + q) * stride + axis.kernel_size))
            fill(dst + begin - start, src[q], windows - begin)
            fill(dst + windows - start, <acc_t>0, stop - windows)
        return
    if channels == 1 and axis.kernel_size == 2 and stride == 2:
        q = start % 2  # whether the first one's other half lies before
        if q:
            dst[0] = src[0]
        spread_pairs(src + q, dst + q, (end - start - q) // 2)
        if (end - start - q) % 2:
            dst[end - start - 1] = src[count - 1]
        return
    # Phases that have an element, which may be few of a long stride.
    phase_begin = start - first * stride  # of the first window's
    phase_end = end - (first + count - 1) * stride  # of the last one's
    phase = phase_begin if count == 1 else 0
    while phase < (phase_end if count == 1 else stride):
        if count == 2 and phase >= phase_end:
            phase = max(phase, phase_begin)
        windows = 0
        if phase < axis.kernel_size:
            windows = ceil_div(axis.kernel_size - phase, stride)
        sums = src + (most - windows) * channels
        if windows == 0:
            fill(phases, <acc_t>0, count * channels)
            sums = phases
        elif windows > 1:
            slide(
                job.op, sums, phases, scratch + job.at_even, scratch + job.at_odd,
                count * channels, channels, windows,
            )
            sums = phases
        q = 1 if first * stride + phase < start else 0
        stop = count - (1 if (first + count - 1) * stride + phase >= end else 0)
        place = dst + ((first + q) * stride + phase - start) * channels
        if channels == 1 and stride == 2:
            for q in range(q, stop):
                place[0] = sums[q]
                place += 2
        else:
            for q in range(q, stop):
                for c in range(channels):
                    place[c] = sums[q * channels + c]
                place += stride * channels
        phase += 1


cdef inline bint has_bins(const job_t* job) noexcept nogil:
    return not (job.small or job.regular or job.spread or job.whole_windows)


cdef void place_bins(const job_t* job, const tile_t* tile, Py_ssize_t* bins) noexcept nogil:
    """Of each output where its taps begin in the tile, how many, and how many have the same:
    divisions that are not to be repeated for each row, nor, of bins, for each output or run."""
    cdef const axis_t* axis = &job.window[2]
    cdef Py_ssize_t x = tile.x, run
    cdef adaptive_t bin
    if axis.kind == ADAPTIVE and axis.output_size <= axis.input_size:  # no two have the same
        bin = adaptive_bin(axis, x)
        for x in range(tile.x, tile.x_end):
            bins[0] = (bin.first - tile.column) * tile.channels
            bins[1] = next_bin(&bin)
            bins[2] = 1
            bins += 3
        return
    while x < tile.x_end:
        run = min(tile.x_end, end_of_run(axis, x)) - x
        bins[0] = (first_tap(axis, x) - tile.column) * tile.channels
        bins[1] = tap_count(axis, x)
        bins[2] = run
        bins += 3 * run
        x += run


cdef inline bint are_few_pixels(const job_t* job) noexcept nogil:
    """Whether bins of a row have so few that they are merged in registers, and divided there."""
    cdef const axis_t* width = &job.window[2]
    return are_floats(job) and has_bins(job) and (
        width.kind == ADAPTIVE and width.kernel_size <= 4 and job.channels >= LANES
    )


cdef inline bint are_short_runs(const job_t* job) noexcept nogil:
    """Whether bins of one channel are reduced in vectors."""
    cdef const axis_t* width = &job.window[2]
    return are_floats(job) and has_bins(job) and (
        width.kind == ADAPTIVE and 4 < width.kernel_size <= SHORT_RUN
        and job.channels == 1 and job.op != RANK
    )


cdef void pool_row_by_bins(
    const job_t* job, const tile_t* tile, Py_ssize_t y, const acc_t* src, acc_t* dst,
    acc_t* scratch,
) noexcept nogil:
    """Windows of any form, each reduced on its own; src begins at the tile's first column."""
    cdef const Py_ssize_t* bins = <Py_ssize_t*>(scratch + job.at_bins)
    cdef acc_t identity = identity_of(job, dst)
    cdef const axis_t* axis = &job.window[2]
    cdef Py_ssize_t channels = tile.channels, step = axis.step, x = tile.x, run, count, i
    cdef const acc_t* tap
    cdef const acc_t* rows[4]
    if acc_t is float or acc_t is double:
        if job.few_pixels:
            merge_few_pixels(job, tile, y, src, bins, dst)
            return
        if job.short_runs:
            merge_short_runs(
                tile.op, src, src + tile.columns, bins, 0, axis.kernel_size, tile.x_end - x, dst
            )
            return
    while x < tile.x_end:
        tap = src + bins[0]
        count = bins[1]
        run = bins[2]
        if count == 0:
            fill(dst, identity, channels)
        elif channels == 1 and step == 1:
            dst[0] = reduce_run(tile.op, tap, count, identity)
        elif count <= 4:
            for i in range(count):
                rows[i] = tap + i * step * channels
            merge_up_to_4(tile.op, rows, count, dst, channels)
        elif step == 1:
            merge_run(
                tile.op, tap, count, channels, dst, scratch + job.at_even, scratch + job.at_odd
            )
        else:
            reduce_taps(tile.op, tap, step * channels, count, channels, dst)
        if channels == 1:
            fill(dst + 1, dst[0], run - 1)
        else:
            for i in range(1, run):
                copy(dst, dst + i * channels, channels)
        dst += run * channels
        bins += 3 * run
        x += run


cdef inline void merge_few_pixels(
    const job_t* job, const tile_t* tile, Py_ssize_t y, const acc_t* src, const Py_ssize_t* bins,
    acc_t* dst,
) noexcept nogil:
    """A row of bins, over a merged row or those of src."""
    cdef const axis_t* height = &job.window[1]
    cdef pixel_bins b
    b.op = tile.op
    b.src = <const char*>src
    b.rows = 1
    b.row = b.each = 0
    b.bins = bins
    b.outputs = tile.x_end - tile.x
    b.channels = tile.channels
    if job.merged_rows:
        b.rows = tap_count(height, y)
        b.row = job.src.stride[1]
        if job.fetches:  # what the next row of outputs reads, which lies behind
            b.each = height.input_size // height.output_size * tile.columns
            b.each = b.each * tile.channels * <Py_ssize_t>sizeof(acc_t) // b.outputs
    b.fetched = b.src + b.rows * b.row
    b.divides = job.op == SUM and not (job.divisor_override or job.divide_first)
    b.by = 1
    if b.divides:
        b.by = <double>rows_count(job, tile.z, y)
    elif job.divisor_override:
        b.by = <double>job.divisor_override
    if acc_t is float:
        merge_bins_float(&b, dst)
    elif acc_t is double:
        merge_bins_double(&b, dst)


cdef void reduce_taps(
    int op, const acc_t* tap, Py_ssize_t step, Py_ssize_t count, Py_ssize_t channels, acc_t* dst
) noexcept nogil:
    """dst[c] = tap[c] op tap[c + step] op ..., pairwise."""
    cdef acc_t stack[64]
    cdef Py_ssize_t c, t, top, bit
    for c in range(channels):
        top = 0
        for t in range(count):
            stack[top] = tap[t * step + c]
            bit = 1
            while t & bit:
                top -= 1
                stack[top] = merge(op, stack[top], stack[top + 1])
                bit *= 2
            top += 1
        top -= 1
        while top > 0:
            top -= 1
            stack[top] = merge(op, stack[top], stack[top + 1])
        dst[c] = stack[0]


# Wide bins ------------------------------------------------------------------------------------

cdef void reduce_windows(
    const job_t* job, const tile_t* tile, Py_ssize_t y, acc_t* scratch, acc_t* dst
) noexcept nogil:
    """A row of outputs whose windows are reduced where they lie: wide bins that hardly overlap."""
    cdef acc_t identity = identity_of(job, scratch)
    cdef Py_ssize_t channels = tile.channels, x = tile.x, count
    cdef const axis_t* axis = &job.window[2]
    cdef const char* src
    cdef const char* tap
    cdef taps_t taps
    cdef bint run_on
    taps.count[0] = tap_count(&job.window[0], tile.z)
    taps.count[1] = tap_count(&job.window[1], y)
    taps.stride[0] = tap_distance(&job.window[0], job.src.stride[0])
    taps.stride[1] = tap_distance(&job.window[1], job.src.stride[1])
    taps.stride[2] = tap_distance(&job.window[2], job.src.stride[2])
    taps.depth = first_tap(&job.window[0], tile.z)
    taps.height = first_tap(&job.window[1], y)
    taps.column = 0
    if taps.count[0] * taps.count[1] == 0:  # dilation may leave a row of windows without taps
        fill(dst, identity, (tile.x_end - tile.x) * channels)
        return
    src = tile.src_offset + address(&job.src, taps.depth, taps.height, 0, tile.c)
    if job.runs_join:
        reduce_joined_runs(
            job, src + tile.x * axis.stride * job.src.stride[2], scratch, dst, tile.x_end - tile.x
        )
        return
    run_on = (
        channels == 1 and (job.direct_rows or are_halves(job) and (
            job.src.stride[2] == job.src.item and axis.kernel_size >= LANES
        ))
        and taps.count[0] * taps.count[1] == 1 and axis.kind == SLIDING and axis.step == 1
    )
    while x < tile.x_end:
        taps.count[2] = tap_count(axis, x)
        tap = src + first_tap(axis, x) * job.src.stride[2]
        count = 1
        if taps.count[0] * taps.count[1] * taps.count[2] == 0:
            fill(dst, identity, channels)
        elif run_on and taps.count[2] == axis.kernel_size:
            count = full_rows(axis, x, tile.x_end)
            reduce_runs_inside(job, tile.op, tap, dst, count, identity)
        elif channels > 1 or axis.step > 1:
            merge_taps(job, tile, tap, &taps, scratch, dst, 1, channels)
        elif taps.count[0] * taps.count[1] == 1 and job.direct_rows:
            dst[0] = reduce_run(tile.op, <const acc_t*>tap, taps.count[2], identity)
        else:
            dst[0] = reduce_runs(job, tile, tap, &taps, scratch)
        dst += count * channels
        x += count


cdef void reduce_runs_inside(
    const job_t* job, int op, const char* src, acc_t* dst, Py_ssize_t count, acc_t identity
) noexcept nogil:
    """So many windows of one row, all whose taps are inside and lie one behind the other."""
    cdef Py_ssize_t n = job.window[2].kernel_size, stride = job.window[2].stride
    if acc_t is float:
        if job.src.kind == FLOAT16:
            sum_runs_float16(<const float16_t*>src, stride, n, dst, count)
            return
        if job.src.kind == BFLOAT16:
            sum_runs_bfloat16(<const bfloat16_t*>src, stride, n, dst, count)
            return
    elif acc_t is int16_t:
        if job.src.kind == FLOAT16:
            max_runs_float16(<const int16_t*>src, stride, n, dst, count)
            return
        if job.src.kind == BFLOAT16:
            max_runs_bfloat16(<const int16_t*>src, stride, n, dst, count)
            return
    reduce_many_runs(op, <const acc_t*>src, stride, n, dst, count, identity)


cdef bint runs_may_join(const job_t* job) noexcept nogil:
    """Whether windows are runs of one row, of short integers or halves, too few for vectors."""
    cdef const axis_t* axis = &job.window[2]
    return (
        not are_floats(job) and job.channels == 1 and job.src.item <= 2
        and not (are_halves(job) and axis.kernel_size >= LANES)  # a vector of them
        and job.window[0].kernel_size == job.window[1].kernel_size == 1
        and job.src.stride[2] == job.src.item and axis.kernel_size <= MOST_JOINED_RUN
        and axis.kind == SLIDING and axis.padding == 0 and axis.step == 1
        and (axis.output_size - 1) * axis.stride + axis.kernel_size <= axis.input_size
    )


cdef void reduce_joined_runs(
    const job_t* job, const char* src, acc_t* scratch, acc_t* dst, Py_ssize_t outputs
) noexcept nogil:
    """PLANES windows at a time, side by side."""
    cdef Py_ssize_t n = job.window[2].kernel_size, step = job.window[2].stride * job.src.item
    cdef Py_ssize_t x = 0, count, i
    cdef char* joined = <char*>(scratch + job.at_joined)
    cdef acc_t* loaded = <acc_t*>joined
    cdef acc_t results[PLANES]
    cdef const char* runs[PLANES]
    if job.src.kind != kind_of(scratch):
        loaded += MOST_JOINED_RUN * PLANES
    while x < outputs:
        count = min(PLANES, outputs - x)
        for i in range(PLANES):
            runs[i] = src + (x + min(i, count - 1)) * step
        join_planes(job.src.item, runs, n, joined)
        if job.src.kind != kind_of(scratch):
            load_row(job.src.kind, WHOLE, joined, job.src.item, loaded, n * PLANES)
        merge_run(
            job.op, loaded, n, PLANES, results, scratch + job.at_even, scratch + job.at_odd
        )
        copy(results, dst + x, count)
        x += count


cdef acc_t reduce_runs(
    const job_t* job, const tile_t* tile, const char* src, const taps_t* taps, acc_t* scratch
) noexcept nogil:
    """One value of a window's rows, each a run of contiguous taps or loaded in such runs."""
    cdef acc_t identity = identity_of(job, scratch)
    cdef acc_t stack[64]
    cdef acc_t* loaded = scratch + job.at_loaded
    cdef const acc_t* run
    cdef const char* row
    cdef Py_ssize_t z, y, x, length, top = 0, values = 0, bit
    for z in range(taps.count[0]):
        for y in range(taps.count[1]):
            row = src + z * taps.stride[0] + y * taps.stride[1]
            x = 0
            while x < taps.count[2]:
                length = taps.count[2] - x
                if job.direct_rows:
                    run = <const acc_t*>row
                else:
                    length = min(length, CHUNK)
                    load_columns(&job.src, tile.limb, row, length, 1, loaded)
                    run = loaded
                stack[top] = reduce_run(tile.op, run, length, identity)
                row += length * job.src.stride[2]
                x += length
                bit = 1
                while values & bit:
                    top -= 1
                    stack[top] = merge(tile.op, stack[top], stack[top + 1])
                    bit *= 2
                values += 1
                top += 1
    top -= 1
    while top > 0:
        top -= 1
        stack[top] = merge(tile.op, stack[top], stack[top + 1])
    return stack[0]
