# Rows of a window, brought into scratch if they have to be, and merged into one.

cdef void load_columns(
    const array_t* array, limb_t limb, const char* src, Py_ssize_t columns, Py_ssize_t channels,
    acc_t* dst,
) noexcept nogil:
    """Bring a row, of any dtype and strides, into contiguous scratch."""
    cdef Py_ssize_t x, sx = array.stride[2], sc = array.stride[3]
    if CHECK_BOUNDS and (columns > array.size[2] or channels > array.size[3]):
        out_of_bounds()
    if channels == 1:
        load_row(array.kind, limb, src, sx, dst, columns)
    elif sx == channels * sc:
        load_row(array.kind, limb, src, sc, dst, columns * channels)
    else:
        for x in range(columns):
            load_row(array.kind, limb, src + x * sx, sc, dst + x * channels, channels)


cdef void load_rows(
    const array_t* array, const char* src, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t columns,
    acc_t* dst,
) noexcept nogil:
    """Rows of one channel, so many bytes apart: at once, if one lies behind the other."""
    cdef Py_ssize_t row
    if stride == columns * array.stride[2]:
        load_row(array.kind, WHOLE, src, array.stride[2], dst, rows * columns)
        return
    for row in range(rows):
        load_columns(array, WHOLE, src + row * stride, columns, 1, dst + row * columns)


cdef void store_columns(
    const array_t* array, const acc_t* row, char* dst, Py_ssize_t columns, Py_ssize_t channels
) noexcept nogil:
    """The way back."""
    cdef Py_ssize_t x, sx = array.stride[2], sc = array.stride[3]
    if CHECK_BOUNDS and (columns > array.size[2] or channels > array.size[3]):
        out_of_bounds()
    if channels == 1:
        store_row(array.kind, row, dst, sx, columns)
    elif sx == channels * sc:
        store_row(array.kind, row, dst, sc, columns * channels)
    else:
        for x in range(columns):
            store_row(array.kind, row + x * channels, dst + x * sx, sc, channels)


cdef inline acc_t one_nan(acc_t value) noexcept nogil:
    """Which NaN a sum of several has depends on the instructions: every result has the same."""
    if acc_t is float or acc_t is double:
        return value if value == value else <acc_t>NAN
    return value


cdef inline bint are_settled(const job_t* job, int op) noexcept nogil:
    """Whether maxima are when they are merged, as those of one tap are not."""
    if job.whole_windows:
        return False
    return job.few_pixels or op == GREATER and job.regular and job.window[2].kernel_size > 1


cdef inline void settle_maxima(int op, acc_t* row, Py_ssize_t n) noexcept nogil:
    """Which zero a maximum of both is, and which NaN, depends on the order: one of each is kept."""
    cdef Py_ssize_t j
    if acc_t is float:
        if op == GREATER:
            settle_numbers(row, n)
            return
        for j in range(n):
            row[j] = one_nan(row[j] + 0)


cdef void divide_row(acc_t* row, Py_ssize_t n, const acc_t* counts, double rest) noexcept nogil:
    """Divide by counts[j] * rest, or by rest alone."""
    cdef Py_ssize_t j
    cdef acc_t divisor = <acc_t>rest
    if acc_t is float or acc_t is double:
        if counts != NULL:
            for j in range(n):
                row[j] = one_nan(row[j] / (counts[j] * divisor))
        elif <double>divisor != rest:
            for j in range(n):
                row[j] = one_nan(<acc_t>(row[j] / rest))
        elif is_power_of_two(rest):
            divisor = 1 / divisor
            for j in range(n):
                row[j] = one_nan(row[j] * divisor)
        else:
            for j in range(n):
                row[j] = one_nan(row[j] / divisor)


cdef void column_counts(
    const job_t* job, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t channels, acc_t* counts
) noexcept nogil:
    """What each element of a row is divided by along the width."""
    cdef Py_ssize_t x, c
    cdef acc_t count
    cdef adaptive_t bin
    cdef bint adaptive = job.count[2].kind == ADAPTIVE
    if adaptive:
        bin = adaptive_bin(&job.count[2], begin)
    for x in range(end - begin):
        if adaptive:
            count = <acc_t>next_bin(&bin)
        else:  # a window without a tap sums to 0, whatever it is divided by
            count = <acc_t>max(1, window_count(&job.count[2], begin + x, job.count_include_pad))
        for c in range(channels):
            counts[x * channels + c] = count


cdef inline Py_ssize_t rows_count(const job_t* job, Py_ssize_t z, Py_ssize_t y) noexcept nogil:
    return (
        max(1, window_count(&job.count[0], z, job.count_include_pad))
        * max(1, window_count(&job.count[1], y, job.count_include_pad))
    )


# Rows of a window -----------------------------------------------------------------------------

cdef inline Py_ssize_t tap_distance(const axis_t* axis, Py_ssize_t stride) noexcept nogil:
    """Bytes from a tap to the next; 0 if none has a next one: the product may overflow."""
    return axis.step * stride if axis.step < axis.input_size else 0


cdef struct taps_t:
    # Taps of a window as a grid of rows, each of so many contiguous elements.
    Py_ssize_t count[3]
    Py_ssize_t stride[3]       # in bytes
    Py_ssize_t depth, height   # of the first tap
    Py_ssize_t column          # of it, from the tile's first


cdef inline bint run_on(const taps_t* taps) noexcept nogil:
    """Whether all taps are equally far apart."""
    return (
        (taps.count[1] == 1 or taps.stride[1] == taps.count[2] * taps.stride[2])
        and (taps.count[0] == 1 or taps.stride[0] == taps.count[1] * taps.stride[1])
    )


cdef void load_tap(
    const job_t* job, const tile_t* tile, const char* src, Py_ssize_t z, Py_ssize_t y,
    Py_ssize_t column, Py_ssize_t columns, Py_ssize_t channels, acc_t* dst, acc_t* scratch,
) noexcept nogil:
    load_columns(&job.src, tile.limb, src, columns, channels, dst)
    if job.divide_first:
        divide_row(
            dst, columns * channels, scratch + job.at_counts + column * channels,
            <double>rows_count(job, z, y),
        )


cdef inline bint are_halves(const job_t* job) noexcept nogil:
    """Halves that are merged as they are read, if one lies behind the other."""
    return (job.acc == FLOAT32 or job.acc == INT16) and not job.divide_first and (
        job.src.kind == FLOAT16 or job.src.kind == BFLOAT16
    )


cdef inline void merge_halves(
    const job_t* job, const acc_t** rows, Py_ssize_t count, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    if acc_t is float:
        if job.src.kind == FLOAT16:
            sum_rows_float16(<const float16_t**>rows, count, dst, n)
        else:
            sum_rows_bfloat16(<const bfloat16_t**>rows, count, dst, n)
    elif acc_t is int16_t:
        if job.src.kind == FLOAT16:
            max_rows_float16(rows, count, dst, n)
        else:
            max_rows_bfloat16(rows, count, dst, n)


cdef inline acc_t* tree_row(
    const job_t* job, Py_ssize_t index, acc_t* scratch, acc_t* dst
) noexcept nogil:
    """Where the partial result of this index is: the first one in dst."""
    return dst if index == 0 else scratch + job.at_levels + (index - 1) * job.row_size


cdef inline Py_ssize_t merge_equal_trees(
    const job_t* job, int op, Py_ssize_t leaves, Py_ssize_t grown, Py_ssize_t trees, acc_t* scratch,
    acc_t* dst, Py_ssize_t n,
) noexcept nogil:
    """A binary counter of leaves: behind so many a tree of `grown` more has come, and as long as
    the two latest trees are equal they become one. How many trees there are then."""
    cdef acc_t* below
    while leaves & grown:
        below = tree_row(job, trees - 2, scratch, dst)
        merge2(op, below, tree_row(job, trees - 1, scratch, dst), below, n)
        trees -= 1
        grown *= 2
    return trees


cdef inline void merge_trees(
    const job_t* job, int op, Py_ssize_t trees, acc_t* scratch, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """What is left, the smallest first."""
    cdef acc_t* below
    while trees > 1:
        below = tree_row(job, trees - 2, scratch, dst)
        merge2(op, below, tree_row(job, trees - 1, scratch, dst), below, n)
        trees -= 1


cdef void merge_line(
    const job_t* job, int op, const char* src, Py_ssize_t step, Py_ssize_t total, acc_t* scratch,
    acc_t* dst, Py_ssize_t n,
) noexcept nogil:
    """As merge_taps, of floats that lie so many bytes apart: up to four leaves of the tree at a
    time, whose partial results never leave the registers."""
    cdef Py_ssize_t done = 0, trees = 0, count
    while done < total:
        count = min(16, total - done)
        merge_rows(op, count, src, step, tree_row(job, trees, scratch, dst), n)
        trees = merge_equal_trees(
            job, op, done // 4, ceil_div(count, 4), trees + 1, scratch, dst, n
        )
        src += count * step
        done += count
    merge_trees(job, op, trees, scratch, dst, n)


cdef void merge_taps(
    const job_t* job, const tile_t* tile, const char* src, const taps_t* taps, acc_t* scratch,
    acc_t* dst, Py_ssize_t columns, Py_ssize_t channels,
) noexcept nogil:
    """dst = the rows of all taps, merged in a balanced tree."""
    cdef acc_t* loaded = scratch + job.at_loaded
    cdef acc_t* top
    cdef const acc_t* rows[4]
    cdef const char* tap
    cdef Py_ssize_t n = columns * channels
    cdef Py_ssize_t total = taps.count[0] * taps.count[1] * taps.count[2]
    cdef Py_ssize_t z = 0, y = 0, x = 0, done = 0, count, leaves = 0, trees = 0, axis, run
    cdef bint whole_runs, halves = (acc_t is float or acc_t is int16_t) and are_halves(job) and (
        job.src.stride[3] == job.src.item
        and (columns == 1 or job.src.stride[2] == channels * job.src.item)
    )
    if total <= 4 and job.direct_rows and taps.count[1] == total:  # the common small windows
        for count in range(total):
            rows[count] = <const acc_t*>(src + count * taps.stride[1])
        merge_up_to_4(tile.op, rows, total, dst, n)
        return
    if (acc_t is float or acc_t is double) and job.direct_rows and n >= LANES:
        for axis in range(3):
            if taps.count[axis] == total or axis == 2 and n <= LINE_OF_PIXELS and run_on(taps):
                merge_line(job, tile.op, src, taps.stride[axis], total, scratch, dst, n)
                return
    # Short pixels that lie one behind the other are merged many at a time.
    whole_runs = job.direct_rows and columns == 1 and taps.stride[2] == n * sizeof(acc_t)
    run = max(4, TILE // n)
    while done < total:
        count = 0
        top = tree_row(job, trees, scratch, dst)
        if whole_runs:
            count = min(taps.count[2] - x, run)
            tap = src + z * taps.stride[0] + y * taps.stride[1] + x * taps.stride[2]
            merge_run(
                tile.op, <const acc_t*>tap, count, n, top,
                scratch + job.at_even, scratch + job.at_odd,
            )
            done += count
            x += count
            if x == taps.count[2]:
                x = 0
                y += 1
                if y == taps.count[1]:
                    y = 0
                    z += 1
        while not whole_runs and count < 4 and done < total:
            tap = src + z * taps.stride[0] + y * taps.stride[1] + x * taps.stride[2]
            if job.direct_rows or halves:
                rows[count] = <const acc_t*>tap
            else:
                load_tap(
                    job, tile, tap, taps.depth + z * job.window[0].step,
                    taps.height + y * job.window[1].step, taps.column, columns, channels,
                    loaded + count * job.row_size, scratch,
                )
                rows[count] = loaded + count * job.row_size
            count += 1
            done += 1
            x += 1
            if x == taps.count[2]:
                x = 0
                y += 1
                if y == taps.count[1]:
                    y = 0
                    z += 1
        if halves:
            merge_halves(job, rows, count, top, n)
        elif not whole_runs:
            merge_up_to_4(tile.op, rows, count, top, n)
        trees = merge_equal_trees(job, tile.op, leaves, 1, trees + 1, scratch, dst, n)
        leaves += 1
    merge_trees(job, tile.op, trees, scratch, dst, n)


cdef void merge_window_rows(
    const job_t* job, const tile_t* tile, acc_t* scratch
) noexcept nogil:
    """For each output row of the tile: the rows of its windows merged into one, padded."""
    cdef acc_t identity = identity_of(job, scratch)
    cdef Py_ssize_t channels = tile.channels, n = tile.columns * channels, y, j
    cdef Py_ssize_t begin = tile.left * channels, width = tile.pitch * channels
    cdef acc_t* row = scratch + job.at_merged
    cdef const axis_t* height = &job.window[1]
    cdef const acc_t* rows[4]
    cdef const char* src
    cdef const char* first_row
    cdef Py_ssize_t fresh, ahead
    cdef bint full
    cdef taps_t taps
    taps.count[0] = tap_count(&job.window[0], tile.z)
    taps.stride[0] = tap_distance(&job.window[0], job.src.stride[0])
    taps.stride[1] = tap_distance(height, job.src.stride[1])
    taps.count[2] = 1
    taps.stride[2] = 0
    taps.depth = first_tap(&job.window[0], tile.z)
    taps.column = 0
    full = (
        job.direct_rows and height.kind == SLIDING and taps.count[0] == 1 and n > 0
        and (height.kernel_size <= 4 or (acc_t is float or acc_t is double) and n >= LANES)
    )
    # What a row of outputs reads and no earlier one has, one tile further on.
    fresh = min(height.kernel_size, height.stride) * n * sizeof(acc_t)
    ahead = 0
    if not job.fetches:
        fresh = 0
    elif height.stride < height.input_size:  # else the product may overflow
        ahead = (tile.y_end - tile.y) * height.stride * job.src.stride[1]
        ahead += max(0, extent(height) - height.stride) * job.src.stride[1]
    if full:
        first_row = tile.src_offset + address(&job.src, taps.depth, 0, tile.column, tile.c)
    for y in range(tile.y, tile.y_end):
        if (
            full and height.padding <= y * height.stride
            and y * height.stride - height.padding + extent(height) <= height.input_size
        ):
            # All taps of a small window are inside: their rows are a fixed distance apart.
            src = first_row + (y * height.stride - height.padding) * job.src.stride[1]
            prefetch(src + ahead, fresh)
            if height.kernel_size <= 4:
                for j in range(height.kernel_size):
                    rows[j] = <const acc_t*>(src + j * taps.stride[1])
                merge_up_to_4(tile.op, rows, height.kernel_size, row + begin, n)
            else:
                merge_line(
                    job, tile.op, src, taps.stride[1], height.kernel_size, scratch, row + begin, n
                )
            for j in range(begin):
                row[j] = identity
            for j in range(begin + n, width):
                row[j] = identity
            row += width
            continue
        taps.count[1] = tap_count(height, y)
        if taps.count[0] * taps.count[1] * n == 0:
            fill(row, identity, width)
        else:
            taps.height = first_tap(&job.window[1], y)
            src = tile.src_offset + address(
                &job.src, taps.depth, taps.height, tile.column, tile.c
            )
            if job.direct_rows:
                prefetch(src + ahead, fresh)
            merge_taps(job, tile, src, &taps, scratch, row + begin, tile.columns, channels)
            for j in range(begin):
                row[j] = identity
            for j in range(begin + n, width):
                row[j] = identity
        row += width


# Windows of many overlapping rows: rows come one by one, and merges of them are kept.

cdef inline Py_ssize_t kept_rows(const axis_t* axis, Py_ssize_t doublings) noexcept nogil:
    """How many merges of 2 ** doublings rows a window may consist of."""
    return (axis.kernel_size >> doublings) * axis.dilation


cdef inline bint has_blocks(const job_t* job) noexcept nogil:
    return job.op != SUM and job.window[1].dilation == 1


cdef const acc_t* wide_row(
    const job_t* job, const tile_t* tile, Py_ssize_t input_row, acc_t* scratch, acc_t* dst,
    bint fresh,
) noexcept nogil:
    """A row of the input where it lies, or, if it has to be loaded or merged, where it is put."""
    cdef taps_t taps
    cdef const char* src
    taps.count[0] = tap_count(&job.window[0], tile.z)
    if taps.count[0] * tile.columns == 0 or not 0 <= input_row < job.window[1].input_size:
        if fresh:
            fill(dst, identity_of(job, scratch), tile.columns * tile.channels)
        return dst
    taps.depth = first_tap(&job.window[0], tile.z)
    src = tile.src_offset + address(&job.src, taps.depth, input_row, tile.column, tile.c)
    if job.direct_rows and taps.count[0] == 1:
        return <const acc_t*>src
    if fresh:
        taps.stride[0] = tap_distance(&job.window[0], job.src.stride[0])
        taps.count[1] = taps.count[2] = 1
        taps.stride[1] = taps.stride[2] = 0
        taps.height = input_row
        taps.column = 0
        merge_taps(job, tile, src, &taps, scratch, dst, tile.columns, tile.channels)
    return dst


cdef void merge_blocks(
    const job_t* job, tile_t* tile, Py_ssize_t end, acc_t* scratch, acc_t* dst
) noexcept nogil:
    """dst = the maxima of the kernel_size rows before `end`, in three merges however many they are.

    Rows form blocks of kernel_size, and a window is the end of one and the beginning of the next:
    the first from maxima backwards from the end of the block, which take the place of its rows, the
    second from maxima of the rows so far (van Herk 1992, Gil and Werman 1993).
    """
    cdef Py_ssize_t n = tile.columns * tile.channels, size = job.row_size, slot = 0, j
    cdef Py_ssize_t kernel_size = job.window[1].kernel_size
    cdef acc_t* rows = scratch + job.at_rows
    cdef acc_t* so_far = rows + kernel_size * size
    cdef const acc_t* row
    while tile.top + tile.rows[0] < end:
        slot = tile.rows[0] % kernel_size
        row = wide_row(job, tile, tile.top + tile.rows[0], scratch, rows + slot * size, True)
        if slot == 0:
            copy(row, so_far, n)
        else:
            merge2(tile.op, so_far, row, so_far, n)
        if slot == kernel_size - 1:
            copy(row, rows + slot * size, n)
            for j in range(slot - 1, -1, -1):
                row = wide_row(
                    job, tile, tile.top + tile.rows[0] - slot + j, scratch, rows + j * size, False
                )
                merge2(tile.op, row, rows + (j + 1) * size, rows + j * size, n)
        tile.rows[0] += 1
    if slot == kernel_size - 1:
        copy(so_far, dst, n)
    else:
        merge2(tile.op, rows + (slot + 1) * size, so_far, dst, n)


cdef void merge_aligned(
    const job_t* job, tile_t* tile, Py_ssize_t end, acc_t* scratch, acc_t* dst
) noexcept nogil:
    """dst = the rows of the window that reaches to `end`.

    Of rows `dilation` apart, each that begins at a multiple of 2, 4, 8, ... is merged with as many,
    once; a window is two of each length at most, merged from the shortest on, in a tree that is
    no higher than a balanced one.
    """
    cdef const axis_t* axis = &job.window[1]
    cdef Py_ssize_t n = tile.columns * tile.channels, dilation = axis.dilation
    cdef Py_ssize_t limb = tile.limb == HIGH, row, place, doublings, low, high, phase
    cdef Py_ssize_t count = 0, groups = 0
    cdef acc_t* level
    cdef acc_t* wider
    cdef const acc_t* merged
    cdef const acc_t* rows[128]
    cdef Py_ssize_t sizes[64]
    while tile.top + tile.rows[limb] < end:
        row = tile.rows[limb]
        level = scratch + job.at_rows + limb * job.rows_size
        merged = aligned_rows(job, tile, 0, row, level, scratch, True)
        doublings = 0
        place = row // dilation
        while kept_rows(axis, doublings + 1) > 0 and place >> doublings & 1:
            rows[0] = aligned_rows(
                job, tile, doublings, row - (dilation << doublings), level, scratch, False
            )
            level += kept_rows(axis, doublings) * job.row_size
            doublings += 1
            wider = <acc_t*>aligned_rows(job, tile, doublings, row, level, scratch, True)
            merge2(tile.op, rows[0], merged, wider, n)
            merged = wider
        tile.rows[limb] += 1
    row = end - extent(axis) - tile.top
    phase = row % dilation
    low = row // dilation
    high = low + axis.kernel_size
    level = scratch + job.at_rows + limb * job.rows_size
    doublings = 0
    while low < high:
        sizes[groups] = 0
        if low >> doublings & 1:
            rows[count] = aligned_rows(
                job, tile, doublings, low * dilation + phase, level, scratch, False
            )
            low += <Py_ssize_t>1 << doublings
            count += 1
            sizes[groups] += 1
        if high >> doublings & 1:
            high -= <Py_ssize_t>1 << doublings
            rows[count] = aligned_rows(
                job, tile, doublings, high * dilation + phase, level, scratch, False
            )
            count += 1
            sizes[groups] += 1
        groups += sizes[groups] > 0
        level += kept_rows(axis, doublings) * job.row_size
        doublings += 1
    merge_groups(tile.op, rows, sizes, groups, dst, n)


cdef inline const acc_t* aligned_rows(
    const job_t* job, const tile_t* tile, Py_ssize_t doublings, Py_ssize_t row, acc_t* level,
    acc_t* scratch, bint fresh,
) noexcept nogil:
    """Where the merge of 2 ** doublings rows is, of which this is one."""
    cdef const axis_t* axis = &job.window[1]
    cdef Py_ssize_t kept = kept_rows(axis, doublings), place = row >> doublings
    if axis.dilation > 1:
        place = (row // axis.dilation >> doublings) * axis.dilation + row % axis.dilation
    level += (place if place < kept else place % kept) * job.row_size
    if doublings == 0:
        return wide_row(job, tile, tile.top + row, scratch, level, fresh)
    return level


cdef void merge_all_rows(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    """A small plane's, as one long row."""
    cdef const axis_t* axis = &job.window[1]
    cdef Py_ssize_t pitch = tile.pitch * tile.channels, left = tile.left * tile.channels, y, behind
    cdef Py_ssize_t outputs = tile.y_end - tile.y
    cdef Py_ssize_t rows = (outputs - 1) * axis.stride + extent(axis), size = job.rows_size // 4
    cdef acc_t identity = identity_of(job, scratch)
    cdef acc_t* first = scratch + job.at_rows
    cdef acc_t* merged = scratch + job.at_merged
    cdef acc_t* row
    cdef const acc_t* src
    behind = left + tile.columns * tile.channels
    for y in range(rows):
        row = first + y * pitch
        src = wide_row(job, tile, tile.top + y, scratch, row + left, True)
        if src != row + left:
            copy(src, row + left, behind - left)
        fill(row, identity, left)
        fill(row + behind, identity, pitch - behind)
    slide(
        tile.op, first, merged if axis.stride == 1 else first + 3 * size, first + size,
        first + 2 * size, ((outputs - 1) * axis.stride + 1) * pitch, axis.dilation * pitch,
        axis.kernel_size,
    )
    if axis.stride > 1:
        every(first + 3 * size, merged, outputs, axis.stride, pitch)


cdef void merge_wide_rows(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    """As merge_window_rows, for windows of many overlapping rows."""
    cdef const axis_t* height = &job.window[1]
    cdef acc_t identity = identity_of(job, scratch)
    cdef Py_ssize_t y, j, end, begin = tile.left * tile.channels
    cdef Py_ssize_t behind = begin + tile.columns * tile.channels
    cdef acc_t* row = scratch + job.at_merged
    if job.rows_at_once:
        merge_all_rows(job, tile, scratch)
        return
    for y in range(tile.y, tile.y_end):
        end = y * height.stride - height.padding + extent(height)
        if has_blocks(job):
            merge_blocks(job, tile, end, scratch, row + begin)
        else:
            merge_aligned(job, tile, end, scratch, row + begin)
        for j in range(begin):
            row[j] = identity
        for j in range(behind, tile.pitch * tile.channels):
            row[j] = identity
        row += tile.pitch * tile.channels
