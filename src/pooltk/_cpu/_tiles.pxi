# Work in tiles: windows over rows of a plane, then over columns of the merged rows.

cdef enum:
    CHUNK = 4096        # elements of a row that are loaded at once
    LONG_ROW = 24       # shorter rows are pooled together
    TILE = 2048         # elements of merged rows in a tile
    IMAGE_ROW = 16384   # bytes of a row of short elements that a tile holds
    PIXEL_ROW = 32768   # elements of a row of pixels that are not merged in scratch
    WIDE_ROWS = 8       # windows of more rows, overlapping by three quarters, share merges of them
    WIDE_TILE = 6144    # bytes of a merged row of such windows
    WIDE_BIN = 32       # windows of more columns that hardly overlap are reduced where they lie


cdef extern from "_winners.h" nogil:
    enum:
        AHEAD
    ctypedef struct strips_t:
        int columns, stride, rows
        Py_ssize_t padding, input_columns, row_stride, row_padding, input_rows
        Py_ssize_t outputs, inner, outer


cdef enum way_t:  # in which winners are found
    SCANNED   # tap by tap, whatever the windows
    IN_ROWS   # the winners of each row's columns, then those of rows
    IN_STRIPS  # those of each row's columns, kept in registers and a ring for windows further down
    IN_BINS   # those down each column, then across them
    DOUBLED   # winners of 1, 2, 4, ... taps, first along the row, then along the height
    RANKED    # a maximum of ranks, each of which is a value and its place


cdef struct array_t:
    kind_t kind
    Py_ssize_t item
    char* data
    Py_ssize_t size[4]    # depth, height, width, channels
    Py_ssize_t stride[4]  # in bytes


ctypedef const Py_ssize_t* sizes_t


cdef struct job_t:
    int op
    job_t* inner          # the operation on planes side by side
    axis_t window[3]      # depth, height, width
    Py_ssize_t channels
    array_t src
    array_t dst
    way_t way
    bint direct_winners   # are written where they belong
    Py_ssize_t slots      # for rows whose winners are kept
    bint few_taps         # of a window
    strips_t strips
    array_t indices       # of winners: written forward, read backward
    array_t grad          # backward of a maximum: what is scattered into dst
    const job_t* by_ranks  # the maximum of ranks, of channels of one item
    Py_ssize_t rank_rows  # of it, rows of outputs that are found at once
    Py_ssize_t at_ranks, at_found, at_inner
    Py_ssize_t at_places, at_so_far, at_so_far_places, at_tables, at_values, at_indices
    bint gathers          # gradients, instead of scattering them
    bint pairs            # windows of 2 x 2, stride 2
    Py_ssize_t gathered_row, at_gathered, at_grads, at_windows
    bint direct_block     # gradients are added up in dst itself
    bint whole_rows       # of gradients and indices, which lie one behind the other
    bint direct_grads     # read where they are
    Py_ssize_t planes     # whose gradients are scattered at once
    Py_ssize_t chunk      # outputs whose gradients are scattered at once
    Py_ssize_t block_rows, block_columns, blocks[2]
    # batch axes: those that do not merge into one are walked here
    Py_ssize_t items
    Py_ssize_t batch_axes
    bint in_cache         # src is scratch: there is nothing to prefetch
    sizes_t batch_size
    sizes_t batch_stride[4]  # of src, dst, indices, grad
    # average: what a window's sum is divided by
    axis_t count[3]
    bint count_include_pad
    bint small_sums       # below 2**22
    Py_ssize_t divisor_override
    bint divide_first     # backward: gradients are divided before they are added up
    # plan
    bint small            # windows of few rows and columns, between direct rows
    bint pixels           # whose rows are merged as they are read
    bint in_registers     # the rows of planes
    bint bins_in_registers  # the same of bins
    bint spread_in_registers  # the same of gradients of few windows
    bint regular          # windows slide along the row over padded scratch
    bint spread           # the inverse of strided windows: results are interleaved
    bint wide_rows        # windows overlap so much along the height that they share merges
    bint rows_repeat      # more rows of outputs than of the input: many have the same windows
    bint rows_at_once     # of a plane so small that all its rows make one long row
    bint merged_rows      # are what src has: of a window there is one
    bint rows_first       # are merged before planes are side by side
    bint whole_windows    # a window is reduced where it lies
    bint direct_rows      # rows of src are read where they are
    bint direct_dst       # rows of dst are written where they are
    Py_ssize_t tile_items, tile_z, tile_y, tile_x, tile_c
    Py_ssize_t chunk_y    # rows of outputs that are in scratch at once
    Py_ssize_t tiles[5]   # 1, and how many tiles the depth, height, width, channels have
    # scratch of a thread, in elements: where each part begins
    Py_ssize_t at_padded, padded_rows, padded_size, at_kept
    Py_ssize_t at_merged, at_even, at_odd, at_result, at_low, at_counts, at_levels, at_loaded
    Py_ssize_t at_joined, at_bins
    Py_ssize_t at_wide, at_rows, row_size, rows_size, scratch_size


cdef struct tile_t:
    limb_t limb
    Py_ssize_t item, item_end          # of the batch; one, but of small windows
    Py_ssize_t src_offset              # of the first, in bytes
    Py_ssize_t z, z_end, y, y_end, x, x_end, c, channels
    Py_ssize_t column, columns         # of src that the tile's windows reach
    Py_ssize_t left, pitch             # padding before them; columns a merged row holds
    Py_ssize_t top                     # of wide rows: where the tile's first window begins,
    Py_ssize_t rows[2]                 # and how many rows from there have come, of each limb


# A part of an operation: the address of its scratch, which is the thread's own, is passed as one
# of whatever elements it holds.
ctypedef void (*part_t)(const job_t*, Py_ssize_t index, void* scratch) noexcept nogil


cdef inline Py_ssize_t batch_offset(
    const job_t* job, const Py_ssize_t* stride, Py_ssize_t item
) noexcept nogil:
    cdef Py_ssize_t offset = 0, axis = job.batch_axes - 1
    while axis > 0:
        offset += item % job.batch_size[axis] * stride[axis]
        item //= job.batch_size[axis]
        axis -= 1
    return offset + item * stride[0]


cdef extern from *:
    """
    #if defined(POOLTK_BOUNDS_CHECKS)
    #include <stdio.h>
    #include <stdlib.h>
    #define CHECK_BOUNDS 1
    static void out_of_bounds(void)
    {
        fputs("pooltk: a kernel left an array\\n", stderr);
        abort();
    }
    #else
    #define CHECK_BOUNDS 0
    #define out_of_bounds()
    #endif
    """
    const bint CHECK_BOUNDS
    void out_of_bounds() noexcept nogil


cdef inline char* address(
    const array_t* array, Py_ssize_t z, Py_ssize_t y, Py_ssize_t x, Py_ssize_t c
) noexcept nogil:
    if CHECK_BOUNDS and not (
        0 <= z < array.size[0] and 0 <= y < array.size[1]
        and 0 <= x < array.size[2] and 0 <= c < array.size[3]
    ):
        out_of_bounds()
    return (
        array.data + z * array.stride[0] + y * array.stride[1]
        + x * array.stride[2] + c * array.stride[3]
    )


cdef inline acc_t identity_of(const job_t* job, const acc_t* _) noexcept nogil:
    if job.op == SUM:
        return 0
    if acc_t is double:
        if job.op == RANK:
            return NO_RANK
    if acc_t is float or acc_t is double:  # integers too, where winners are sought
        if job.src.kind == INT8:
            return INT8_MIN
        if job.src.kind == INT16:
            return INT16_MIN
        if job.src.kind == INT32:
            return <acc_t>INT32_MIN
        return 0 if job.src.kind >= UINT8 else <acc_t>-INFINITY
    elif acc_t is int8_t:
        return INT8_MIN
    elif acc_t is int16_t:  # of halves too: minus infinity
        return INT16_MIN
    elif acc_t is int32_t:
        return INT32_MIN
    elif acc_t is int64_t:
        return INT64_MIN
    else:
        return 0


# Rows in and out ------------------------------------------------------------------------------

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
    for x in range(end - begin):
        # A window without a tap sums to 0, whatever it is divided by.
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


cdef inline bint are_halves(const job_t* job, const acc_t* _) noexcept nogil:
    """Halves that are merged as they are read, if one lies behind the other."""
    return (acc_t is float or acc_t is int16_t) and not job.divide_first and (
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
    const job_t* job, Py_ssize_t leaves, Py_ssize_t grown, Py_ssize_t trees, acc_t* scratch,
    acc_t* dst, Py_ssize_t n,
) noexcept nogil:
    """A binary counter of leaves: behind so many a tree of `grown` more has come, and as long as
    the two latest trees are equal they become one. How many trees there are then."""
    cdef acc_t* below
    while leaves & grown:
        below = tree_row(job, trees - 2, scratch, dst)
        merge2(job.op, below, tree_row(job, trees - 1, scratch, dst), below, n)
        trees -= 1
        grown *= 2
    return trees


cdef inline void merge_trees(
    const job_t* job, Py_ssize_t trees, acc_t* scratch, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """What is left, the smallest first."""
    cdef acc_t* below
    while trees > 1:
        below = tree_row(job, trees - 2, scratch, dst)
        merge2(job.op, below, tree_row(job, trees - 1, scratch, dst), below, n)
        trees -= 1


cdef void merge_line(
    const job_t* job, const char* src, Py_ssize_t step, Py_ssize_t total, acc_t* scratch,
    acc_t* dst, Py_ssize_t n,
) noexcept nogil:
    """As merge_taps, of floats that lie so many bytes apart: four leaves of the tree at a time,
    whose partial results never leave the registers."""
    cdef const acc_t* rows[4]
    cdef acc_t* top
    cdef Py_ssize_t done = 0, trees = 0, count, i
    while done < total:
        top = tree_row(job, trees, scratch, dst)
        count = 16
        if total - done >= count:
            merge16(job.op, src, step, top, n)
        else:
            count = min(4, total - done)
            for i in range(count):
                rows[i] = <const acc_t*>(src + i * step)
            merge_up_to_4(job.op, rows, count, top, n)
        trees = merge_equal_trees(
            job, done // 4, 4 if count == 16 else 1, trees + 1, scratch, dst, n
        )
        src += count * step
        done += count
    merge_trees(job, trees, scratch, dst, n)


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
    cdef bint whole_runs, halves = are_halves(job, scratch) and (
        job.src.stride[3] == job.src.item
        and (columns == 1 or job.src.stride[2] == channels * job.src.item)
    )
    if total <= 4 and job.direct_rows and taps.count[1] == total:  # the common small windows
        for count in range(total):
            rows[count] = <const acc_t*>(src + count * taps.stride[1])
        merge_up_to_4(job.op, rows, total, dst, n)
        return
    if (acc_t is float or acc_t is double) and job.direct_rows and n >= LANES:
        for axis in range(3):
            if taps.count[axis] == total:
                merge_line(job, src, taps.stride[axis], total, scratch, dst, n)
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
                job.op, <const acc_t*>tap, count, n, top,
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
            merge_up_to_4(job.op, rows, count, top, n)
        trees = merge_equal_trees(job, leaves, 1, trees + 1, scratch, dst, n)
        leaves += 1
    merge_trees(job, trees, scratch, dst, n)


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
        job.direct_rows and height.kind == SLIDING and height.kernel_size <= 4
        and taps.count[0] == 1 and n > 0
    )
    # What a row of outputs reads and no earlier one has, one tile further on.
    fresh = min(height.kernel_size, height.stride) * n * sizeof(acc_t)
    ahead = 0
    if height.stride < height.input_size:  # else the product may overflow
        ahead = (tile.y_end - tile.y) * height.stride * job.src.stride[1]
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
            for j in range(height.kernel_size):
                rows[j] = <const acc_t*>(src + j * taps.stride[1])
            merge_up_to_4(job.op, rows, height.kernel_size, row + begin, n)
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
            merge2(job.op, so_far, row, so_far, n)
        if slot == kernel_size - 1:
            copy(row, rows + slot * size, n)
            for j in range(slot - 1, -1, -1):
                row = wide_row(
                    job, tile, tile.top + tile.rows[0] - slot + j, scratch, rows + j * size, False
                )
                merge2(job.op, row, rows + (j + 1) * size, rows + j * size, n)
        tile.rows[0] += 1
    if slot == kernel_size - 1:
        copy(so_far, dst, n)
    else:
        merge2(job.op, rows + (slot + 1) * size, so_far, dst, n)


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
            merge2(job.op, rows[0], merged, wider, n)
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
    merge_groups(job.op, rows, sizes, groups, dst, n)


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
        job.op, first, merged if axis.stride == 1 else first + 3 * size, first + size,
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


# Columns of a window --------------------------------------------------------------------------

cdef void pool_row(
    const job_t* job, const acc_t* src, acc_t* dst, Py_ssize_t outputs, Py_ssize_t channels,
    acc_t* scratch,
) noexcept nogil:
    """Windows that slide along a padded row."""
    cdef const axis_t* axis = &job.window[2]
    cdef acc_t* even = scratch + job.at_even
    cdef acc_t* odd = scratch + job.at_odd
    cdef Py_ssize_t shift = axis.dilation * channels, n, j
    if axis.stride == 1:
        slide(job.op, src, dst, even, odd, outputs * channels, shift, axis.kernel_size)
    elif axis.stride == 2 and channels == 1 and axis.kernel_size == 2 and shift == 1:
        pairs(job.op, src, dst, outputs)
    elif axis.stride == 2 and channels == 1 and axis.kernel_size == 3 and shift == 1:
        triples(job.op, src, dst, outputs)
    elif axis.kernel_size == 1:
        every(src, dst, outputs, axis.stride, channels)
    elif channels >= 8 and axis.kernel_size == 2:
        for j in range(outputs):
            n = j * axis.stride * channels
            merge2(job.op, src + n, src + n + shift, dst + j * channels, channels)
    elif channels >= 8 and axis.kernel_size == 3:
        for j in range(outputs):
            n = j * axis.stride * channels
            merge3(
                job.op, src + n, src + n + shift, src + n + 2 * shift,
                dst + j * channels, channels,
            )
    else:
        n = ((outputs - 1) * axis.stride + 1) * channels
        # The last doubling may not write to where it reads from, and `every` reads ahead of
        # where it writes: the full-stride result goes to a buffer of its own.
        slide(job.op, src, scratch + job.at_wide, even, odd, n, shift, axis.kernel_size)
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
    divisions that are not to be repeated for each row."""
    cdef const axis_t* axis = &job.window[2]
    cdef Py_ssize_t x = tile.x, run
    while x < tile.x_end:
        run = min(tile.x_end, end_of_run(axis, x)) - x
        bins[0] = (first_tap(axis, x) - tile.column) * tile.channels
        bins[1] = tap_count(axis, x)
        bins[2] = run
        bins += 3 * run
        x += run


cdef void pool_row_by_bins(
    const job_t* job, const tile_t* tile, const acc_t* src, acc_t* dst, acc_t* scratch
) noexcept nogil:
    """Windows of any form, each reduced on its own; src begins at the tile's first column."""
    cdef const Py_ssize_t* bins = <Py_ssize_t*>(scratch + job.at_bins)
    cdef acc_t identity = identity_of(job, dst)
    cdef const axis_t* axis = &job.window[2]
    cdef Py_ssize_t channels = tile.channels, step = axis.step, x = tile.x, run, count, i
    cdef const acc_t* tap
    cdef const acc_t* rows[4]
    if (acc_t is float or acc_t is double) and axis.kind == ADAPTIVE:
        if axis.kernel_size <= 4 and channels >= LANES:
            merge_bins(job.op, src, bins, tile.x_end - x, channels, dst)
            return
    while x < tile.x_end:
        tap = src + bins[0]
        count = bins[1]
        run = bins[2]
        if count == 0:
            fill(dst, identity, channels)
        elif channels == 1 and step == 1:
            dst[0] = reduce_run(job.op, tap, count, identity)
        elif count <= 4:
            for i in range(count):
                rows[i] = tap + i * step * channels
            merge_up_to_4(job.op, rows, count, dst, channels)
        elif step == 1:
            merge_run(
                job.op, tap, count, channels, dst, scratch + job.at_even, scratch + job.at_odd
            )
        else:
            reduce_taps(job.op, tap, step * channels, count, channels, dst)
        if channels == 1:
            fill(dst + 1, dst[0], run - 1)
        else:
            for i in range(1, run):
                copy(dst, dst + i * channels, channels)
        dst += run * channels
        bins += 3 * run
        x += run


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
    cdef Py_ssize_t channels = tile.channels, x
    cdef const axis_t* axis = &job.window[2]
    cdef const char* src
    cdef const char* tap
    cdef taps_t taps
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
    if (
        channels == 1 and (job.direct_rows or acc_t is float and are_halves(job, scratch) and (
            job.src.stride[2] == job.src.item and axis.kernel_size >= LANES
        ))
        and taps.count[0] * taps.count[1] == 1
        and axis.kind == SLIDING and axis.padding == 0 and axis.step == 1
        and (axis.output_size - 1) * axis.stride + axis.kernel_size <= axis.input_size
    ):
        tap = src + tile.x * axis.stride * job.src.stride[2]
        if acc_t is float:
            if job.src.kind == FLOAT16:
                sum_runs_float16(
                    <const float16_t*>tap, axis.stride, axis.kernel_size, dst, tile.x_end - tile.x
                )
                return
            if job.src.kind == BFLOAT16:
                sum_runs_bfloat16(
                    <const bfloat16_t*>tap, axis.stride, axis.kernel_size, dst, tile.x_end - tile.x
                )
                return
        reduce_many_runs(
            job.op, <const acc_t*>tap, axis.stride, axis.kernel_size, dst, tile.x_end - tile.x,
            identity,
        )
        return
    for x in range(tile.x, tile.x_end):
        taps.count[2] = tap_count(&job.window[2], x)
        tap = src + first_tap(&job.window[2], x) * job.src.stride[2]
        if taps.count[0] * taps.count[1] * taps.count[2] == 0:
            fill(dst, identity, channels)
        elif channels > 1 or job.window[2].step > 1:
            merge_taps(job, tile, tap, &taps, scratch, dst, 1, channels)
        elif taps.count[0] * taps.count[1] == 1 and job.direct_rows:
            dst[0] = reduce_run(job.op, <const acc_t*>tap, taps.count[2], identity)
        else:
            dst[0] = reduce_runs(job, tile, tap, &taps, scratch)
        dst += channels


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
                stack[top] = reduce_run(job.op, run, length, identity)
                row += length * job.src.stride[2]
                x += length
                bit = 1
                while values & bit:
                    top -= 1
                    stack[top] = merge(job.op, stack[top], stack[top + 1])
                    bit *= 2
                values += 1
                top += 1
    top -= 1
    while top > 0:
        top -= 1
        stack[top] = merge(job.op, stack[top], stack[top + 1])
    return stack[0]


# Tiles ----------------------------------------------------------------------------------------

cdef void place_tile(const job_t* job, Py_ssize_t index, tile_t* tile) noexcept nogil:
    """Which outputs the tile of this index holds, and which columns their windows reach."""
    cdef const axis_t* axis = &job.window[2]
    tile.limb = WHOLE
    place_channels(job, index % job.tiles[4], tile)
    index //= job.tiles[4]
    tile.x = index % job.tiles[3] * job.tile_x
    index //= job.tiles[3]
    tile.y = index % job.tiles[2] * job.tile_y
    index //= job.tiles[2]
    tile.z = index % job.tiles[1] * job.tile_z
    tile.z_end = min(tile.z + job.tile_z, job.window[0].output_size)
    tile.item = index // job.tiles[1] * job.tile_items
    tile.item_end = min(tile.item + job.tile_items, job.items)
    tile.src_offset = batch_offset(job, job.batch_stride[0], tile.item)
    tile.y_end = min(tile.y + job.tile_y, job.window[1].output_size)
    tile.x_end = min(tile.x + job.tile_x, axis.output_size)
    place_columns(job, tile)


cdef inline void place_channels(const job_t* job, Py_ssize_t part, tile_t* tile) noexcept nogil:
    """Parts as even as they can be: none is left with so few that there is no vector of them."""
    tile.c = part * job.channels // job.tiles[4]
    tile.channels = (part + 1) * job.channels // job.tiles[4] - tile.c


cdef void place_columns(const job_t* job, tile_t* tile) noexcept nogil:
    cdef const axis_t* axis = &job.window[2]
    cdef Py_ssize_t first, end
    tile.column = span_begin(axis, tile.x)
    tile.columns = max(0, span_end(axis, tile.x_end - 1) - tile.column)
    tile.left = 0
    tile.pitch = tile.columns
    if job.regular:
        if tile.columns:
            tile.left = tile.column - (tile.x * axis.stride - axis.padding)
        # A multiple of the stride, so that windows of adjacent rows form one long row.
        tile.pitch = ceil_div(most_columns(axis, tile.x_end - tile.x), axis.stride) * axis.stride
    elif job.spread:
        # From the first window that may hold the tile's first element to the last one's last.
        first = (tile.x + axis.padding) // axis.stride - ceil_div(axis.kernel_size, axis.stride) + 1
        end = (tile.x_end - 1 + axis.padding) // axis.stride + 1
        tile.column = min(max(0, first), axis.input_size)
        tile.columns = max(0, min(end, axis.input_size) - tile.column)
        tile.left = tile.column - first
        tile.pitch = end - first


cdef Py_ssize_t reduce_rows(
    const job_t* job, tile_t* tile, acc_t* scratch, acc_t* result
) noexcept nogil:
    """Reduce every window of the tile, into dst's own rows if `result` is NULL.

    Else into `result`, whose rows lie as many elements apart as is returned.
    """
    cdef const axis_t* axis = &job.window[2]
    cdef const acc_t* merged = scratch + job.at_merged
    cdef acc_t* row
    cdef const char* src
    cdef Py_ssize_t y, outputs = tile.x_end - tile.x, rows = tile.y_end - tile.y, width
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    if job.divide_first:
        column_counts(
            job, tile.column, tile.column + tile.columns, tile.channels, scratch + job.at_counts
        )
    if not job.whole_windows:
        if job.wide_rows:
            merge_wide_rows(job, tile, scratch)
        elif not job.merged_rows:
            merge_window_rows(job, tile, scratch)
    width = outputs * tile.channels
    if result != NULL and job.regular and not job.whole_windows:
        # Short rows are pooled as one long row.
        width = tile.pitch // axis.stride
        pool_row(
            job, merged, result, (rows - 1) * width + outputs, tile.channels, scratch
        )
        return width * tile.channels
    for y in range(rows):
        if result == NULL:
            row = <acc_t*>(
                dst_offset + address(&job.dst, tile.z, tile.y + y, tile.x, tile.c)
            )
        else:
            row = result + y * width
        if job.whole_windows:
            reduce_windows(job, tile, tile.y + y, scratch, row)
        elif job.regular:
            pool_row(
                job, merged + y * tile.pitch * tile.channels, row, outputs, tile.channels, scratch
            )
        elif job.spread:
            spread_row(job, tile, merged + y * tile.pitch * tile.channels, row, scratch)
        elif job.merged_rows:
            src = tile.src_offset + address(&job.src, tile.z, tile.y + y, tile.column, tile.c)
            pool_row_by_bins(job, tile, <const acc_t*>src, row, scratch)
        else:
            pool_row_by_bins(job, tile, merged + y * tile.pitch * tile.channels, row, scratch)
    return width


cdef inline Py_ssize_t full_rows(const axis_t* axis, Py_ssize_t y, Py_ssize_t end) noexcept nogil:
    """How many windows from y on, up to `end`, have all their taps inside; else 1."""
    cdef Py_ssize_t last = floor_div(
        axis.input_size + axis.padding - extent(axis), axis.stride
    )
    if axis.kind != SLIDING or y * axis.stride < axis.padding or y > last:
        return 1
    return min(last + 1, end) - y


cdef void pool_small_tile(const job_t* job, const tile_t* tile, acc_t* scratch) noexcept nogil:
    """Windows of few columns over few rows, by _small.h: straight from src to dst."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef small_windows w
    cdef Py_ssize_t taps_z = tap_count(depth, tile.z), taps_y, z, t, x, y = tile.y
    cdef Py_ssize_t first_z = first_tap(depth, tile.z), rows, item, items, offset
    cdef const char* src
    cdef const char* src_end
    cdef char* dst
    cdef acc_t* divisors = scratch + job.at_result
    cdef acc_t* counts = scratch + job.at_counts
    cdef double divisor, count = <double>width.kernel_size
    cdef int exponent
    w.op = job.op
    w.columns = <int>width.kernel_size
    w.stride = <int>width.stride
    w.finish = AS_IT_IS
    # Up to the end of the plane's last row, as rows lie one behind the other.
    src_end = job.src.item + address(
        &job.src, first_z + taps_z - 1, height.input_size - 1, width.input_size - 1,
        tile.channels - 1,
    )
    w.padded = scratch + job.at_padded
    w.padded_size = job.padded_size
    w.padded_rows = job.padded_rows
    w.columns_kept = scratch + job.at_kept
    w.pixels = job.pixels
    w.unstrided = scratch + job.at_wide
    w.channels = tile.channels
    w.outputs = (tile.x_end - tile.x) * tile.channels
    w.before = tile.left * tile.channels
    w.columns_inside = tile.columns * tile.channels
    w.pitch = tile.pitch * tile.channels
    w.divisors = divisors
    if job.op == SUM:
        if job.divisor_override:
            count = 1
        elif counts_are_equal(&job.count[2], tile.x, tile.x_end, job.count_include_pad):
            count = <double>max(1, window_count(&job.count[2], tile.x, job.count_include_pad))
        else:
            w.finish = DIVIDED_EACH
    w.pad = not job.pixels
    while y < tile.y_end:
        taps_y = tap_count(height, y)
        rows = full_rows(height, y, tile.y_end)
        w.taps = <int>(taps_z * taps_y)
        for z in range(taps_z):
            for t in range(taps_y):
                w.tap[z * taps_y + t] = z * job.src.stride[0] + t * job.src.stride[1]
        src = address(&job.src, first_z, first_tap(height, y), tile.column, 0)
        dst = address(&job.dst, tile.z, y, tile.x, 0)
        if job.op == SUM:
            if not counts_are_equal(&job.count[1], y, y + rows, job.count_include_pad):
                rows = 1
            divisor = <double>(
                job.divisor_override if job.divisor_override else rows_count(job, tile.z, y)
            )
            if w.finish == DIVIDED_EACH:
                for x in range(w.outputs):
                    divisors[x] = counts[x] * <acc_t>divisor
            else:
                w.by = divisor * count
                w.finish = DIVIDED
                if frexp(w.by, &exponent) == 0.5:  # a power of two
                    w.shift = exponent - 1
                    w.by = 1 / w.by
                    w.finish = MULTIPLIED
        w.rows = rows
        w.src_row = 0  # no second row of outputs has all its taps inside
        if height.stride < height.input_size:
            w.src_row = height.stride * job.src.stride[1]
        w.dst_row = job.dst.stride[1]
        items = 1
        if rows == 1 and job.batch_axes == 1:  # the same row of all planes
            items = w.rows = tile.item_end - tile.item
            w.src_row = job.batch_stride[0][0]
            w.dst_row = job.batch_stride[1][0]
        w.ahead = 4 * w.src_row
        w.fresh = 0
        if w.rows > 1 and not job.in_cache:
            w.fresh = min(height.kernel_size, height.stride) * w.columns_inside * job.src.item
        item = tile.item
        while item < tile.item_end:
            offset = batch_offset(job, job.batch_stride[0], item)
            w.src = src + offset
            w.src_end = src_end + max(offset, offset + (items - 1) * w.src_row)
            w.dst = dst + batch_offset(job, job.batch_stride[1], item)
            pool_small(job.src.kind, &w)
            w.pad = False
            item += items
        y += rows


cdef void pool_tile(const job_t* job, Py_ssize_t index, acc_t* scratch) noexcept nogil:
    cdef tile_t tile
    place_tile(job, index, &tile)
    pool_rows(job, &tile, scratch)


cdef void start_rows(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    """What is to be done once for all rows of a tile."""
    tile.limb = WHOLE
    tile.top = tile.y * job.window[1].stride - job.window[1].padding
    tile.rows[0] = tile.rows[1] = 0
    place_columns(job, tile)
    if has_bins(job):
        place_bins(job, tile, <Py_ssize_t*>(scratch + job.at_bins))
    if job.op == SUM and not job.divisor_override and not job.divide_first:
        if not counts_are_equal(&job.count[2], tile.x, tile.x_end, job.count_include_pad):
            column_counts(
                job, tile.x, tile.x_end, tile.channels, scratch + job.at_counts
            )


cdef void pool_rows(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    cdef Py_ssize_t y_end = tile.y_end, end, y, size
    cdef char* row
    if job.in_registers:
        pool_in_registers(job, tile, scratch)
        return
    if job.bins_in_registers:
        pool_bins_in_registers(job, tile)
        return
    if job.spread_in_registers:
        spread_from_registers(job, tile, scratch)
        return
    start_rows(job, tile, scratch)
    if job.small:
        pool_small_tile(job, tile, scratch)
        return
    while tile.y < y_end and not job.rows_repeat:
        tile.y_end = min(y_end, tile.y + job.chunk_y)
        pool_chunk(job, tile, scratch)
        tile.y = tile.y_end
    size = (tile.x_end - tile.x) * tile.channels * job.dst.item
    while tile.y < y_end:
        end = min(y_end, end_of_run(&job.window[1], tile.y))
        tile.y_end = tile.y + 1
        pool_chunk(job, tile, scratch)
        row = address(&job.dst, tile.z, tile.y, tile.x, tile.c)
        row += batch_offset(job, job.batch_stride[1], tile.item)
        for y in range(1, end - tile.y):
            memcpy(row + y * job.dst.stride[1], row, size)
        tile.y = end


cdef void pool_chunk(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    cdef acc_t* result = scratch + job.at_result
    cdef acc_t* counts = NULL
    cdef acc_t* row
    cdef char* dst
    cdef Py_ssize_t y, outputs, elements, pitch, dst_offset, divisor = 1
    dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    outputs = tile.x_end - tile.x
    elements = outputs * tile.channels
    if job.direct_dst and (elements >= LONG_ROW or tile.y_end - tile.y == 1):
        result = NULL
    if acc_t is int64_t:
        if job.op == SUM and job.src.item == 8:
            tile.limb = LOW
            reduce_rows(job, tile, scratch, scratch + job.at_low)
            tile.limb = HIGH
    pitch = reduce_rows(job, tile, scratch, result)
    if job.op == SUM and not job.divisor_override and not job.divide_first:
        if counts_are_equal(&job.count[2], tile.x, tile.x_end, job.count_include_pad):
            divisor = max(1, window_count(&job.count[2], tile.x, job.count_include_pad))
        else:
            counts = scratch + job.at_counts
    for y in range(tile.y_end - tile.y):
        dst = dst_offset + address(&job.dst, tile.z, tile.y + y, tile.x, tile.c)
        row = <acc_t*>dst if result == NULL else result + y * pitch
        if job.op == SUM:
            if acc_t is int32_t or acc_t is int64_t:
                store_quotients(
                    job, tile, row,
                    scratch + job.at_low + y * pitch if tile.limb == HIGH else NULL,
                    counts,
                    job.divisor_override if job.divisor_override
                    else divisor * rows_count(job, tile.z, tile.y + y),
                    dst, outputs,
                )
                continue
            else:
                divide_row(
                    row, elements, counts,
                    job.divisor_override if job.divisor_override
                    else 1 if job.divide_first
                    else <double>(divisor * rows_count(job, tile.z, tile.y + y)),
                )
        if result != NULL:
            store_columns(&job.dst, row, dst, outputs, tile.channels)


cdef void store_quotients(
    const job_t* job, const tile_t* tile, const acc_t* sums, const acc_t* low,
    const acc_t* counts, Py_ssize_t divisor, char* dst, Py_ssize_t outputs,
) noexcept nogil:
    """Averages of integers: exact sums divided, and rounded once."""
    cdef Py_ssize_t x, c, j, sx = job.dst.stride[2], sc = job.dst.stride[3]
    cdef int64_t by, high, rest
    cdef char* place
    if acc_t is int32_t:
        if tile.channels == 1 or sx == tile.channels * sc:
            store_mean_row(
                job.dst.kind, sums, counts, <double>divisor, job.small_sums, dst,
                sx if tile.channels == 1 else sc, outputs * tile.channels,
            )
        else:
            for x in range(outputs):
                store_mean_row(
                    job.dst.kind, sums + x * tile.channels,
                    NULL if counts == NULL else counts + x * tile.channels,
                    <double>divisor, job.small_sums, dst + x * sx, sc, tile.channels,
                )
        return
    for x in range(outputs):
        for c in range(tile.channels):
            j = x * tile.channels + c
            by = divisor if counts == NULL else divisor * <int64_t>counts[j]
            place = dst + x * job.dst.stride[2] + c * job.dst.stride[3]
            # One limb holds the whole sum, or the sum of the elements' upper halves.
            if low == NULL:
                high = <int64_t>sums[j] >> 32
                rest = <int64_t>sums[j] & 0xFFFFFFFFU
            else:
                high = <int64_t>sums[j]
                rest = <int64_t>low[j]
            store_quotient(job.dst.kind, high, rest, by, place)


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


cdef inline bint are_pixels(const job_t* job, const acc_t* _) noexcept nogil:
    """Whether small windows' rows are merged as they are read (_pixels.h)."""
    cdef const axis_t* width = &job.window[2]
    return (
        (acc_t is float or acc_t is double) and job.src.kind == kind_of(_) and job.op != RANK
        and job.channels % LANES == 0 and job.channels >= 2 * LANES
        and (width.kernel_size == 3 and width.stride <= 2 or width.kernel_size == width.stride == 2)
        and job.window[0].kernel_size == 1
        and 2 <= job.window[1].kernel_size <= width.kernel_size
    )


cdef void plan(job_t* job, const acc_t* _) noexcept nogil:
    """Choose how windows are reduced, and the tiles; lay out a thread's scratch."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t channels = job.channels, columns, reach, rows, doublings, total, limbs
    cdef bint rows_run_on, results_run_on
    # Wide bins that hardly overlap, and windows far apart: nothing but their taps is read.
    job.whole_windows = not job.divide_first and (
        (width.kind == SLIDING and width.stride // 4 >= extent(width) and width.stride > 64)
        or width.kernel_size >= WIDE_BIN and (
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
    rows_run_on = (
        job.src.stride[3] == job.src.item and job.src.stride[2] == channels * job.src.item
        and job.tile_c == channels
    )
    job.direct_rows = (
        job.src.kind == kind_of(_) and not job.divide_first
        and not (acc_t is int64_t and job.op == SUM)  # limbs are split as they are loaded
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
        job.dst.kind == kind_of(_) and results_run_on
        and (acc_t is float or acc_t is double or job.op == MAX)
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
            job.src.kind <= FLOAT64 and job.src.kind == kind_of(_)
            or job.src.kind <= BFLOAT16 and acc_t is float
            or job.src.item <= 2 and (
                job.op == MAX or acc_t is int32_t and divisor_is_power_of_two(job)
            )
        )
        and not (job.divide_first or job.whole_windows)
        and width.kind == SLIDING and width.dilation == 1
        and width.kernel_size <= MOST_COLUMNS
        and (
            width.stride == 1 or channels >= 8 and width.stride <= 64
            or channels > 1 and width.stride <= 4 and not (
                job.op == SUM and (acc_t is float or acc_t is double)  # whose counts may differ
            )
            or channels == 1 and width.stride == 2 and 2 <= width.kernel_size <= 3
            or channels == 1 and width.stride == width.kernel_size == 4
        )
        and height.kind == SLIDING and height.dilation == 1 and height.kernel_size <= WIDE_ROWS
        and job.window[0].kind == SLIDING and job.window[0].dilation == 1
        and job.window[0].kernel_size * height.kernel_size <= MOST_ROWS
        and -1e6 < job.divisor_override < 1e6
    )
    job.merged_rows = (
        job.direct_rows and has_bins(job) and takes_each(&job.window[0]) and takes_each(height)
    )

    # Columns of output, then rows, until the merged rows fill a tile.
    columns = max(1, TILE // job.tile_c)
    # Rows of images are not cut: down a part of them, each is another page.
    if job.small and job.src.item < 4:
        columns = max(columns, IMAGE_ROW // (job.src.item * job.tile_c))
    job.pixels = job.small and are_pixels(job, _)
    if job.pixels:
        columns = max(columns, PIXEL_ROW // job.tile_c)
    limbs = 2 if job.src.item == 8 and job.op == SUM else 1
    if job.wide_rows:
        columns = WIDE_TILE // (limbs * job.tile_c * <Py_ssize_t>sizeof(acc_t))
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

    job.in_registers = planes_fit_registers(job, _)
    job.bins_in_registers = bins_fit_registers(job, _)
    job.spread_in_registers = spread_fits_registers(job, _)
    job.row_size = columns * job.tile_c
    total = job.chunk_y * max(columns, job.tile_x) * job.tile_c
    job.scratch_size = 0
    job.at_result = reserve(job, total)
    if job.pixels:
        total = 0
    job.at_merged = reserve(job, total)
    job.at_even = reserve(job, total)
    job.at_odd = reserve(job, total)
    job.at_low = reserve(job, total if limbs == 2 else 0)
    job.at_counts = reserve(job, max(columns, job.tile_x) * job.tile_c if job.op == SUM else 0)
    job.at_levels = reserve(job, tree_levels(job) * job.row_size)
    job.at_loaded = reserve(job, 0 if job.direct_rows else 4 * job.row_size)
    job.at_wide = reserve(job, total)
    if job.small and not job.pixels:
        job.padded_size = max(columns, job.tile_x) * job.tile_c + 160  # five of the widest vectors
        job.padded_rows = 4 if job.padded_size <= 224 else 2
        job.at_padded = reserve(job, job.padded_rows * job.padded_size)
    job.at_kept = reserve(job, 5 * channels if job.pixels else 0)
    total = 3 * job.tile_x if has_bins(job) else 0
    job.at_bins = reserve(job, total * 8 // <Py_ssize_t>sizeof(acc_t))
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


cdef int pool_tiles(job_t* job, const acc_t* _, int num_threads) except -1:
    cdef Py_ssize_t total, at_once
    cdef bint in_registers
    if (acc_t is float or acc_t is double) and repeats(job):
        return repeat_gradients(job, _, num_threads)
    plan(job, _)
    job.rows_first = rows_merge_first(job, _)
    in_registers = job.in_registers or job.bins_in_registers or job.spread_in_registers
    if not in_registers and planes_may_join(job):
        return pool_joined(job, _, num_threads)
    if job.spread_in_registers and job.items >= 4 * num_threads:
        job.tile_y = job.window[1].output_size
        job.tiles[2] = 1
    if (job.small or in_registers) and job.tiles[1] * job.tiles[2] * job.tiles[3] == 1:
        # What is the same for all planes is done once for as many as make a tile.
        at_once = SPREAD_PLANES
        if not job.spread_in_registers:
            at_once = 8 * TILE // (job.window[1].input_size * job.window[2].input_size)
        job.tile_items = max(1, min(at_once, job.items // 4 // num_threads))
    total = ceil_div(job.items, job.tile_items)
    total *= job.tiles[1] * job.tiles[2] * job.tiles[3] * job.tiles[4]
    return share_parts(
        <part_t>pool_tile[acc_t], job, total, job.scratch_size * sizeof(acc_t), num_threads
    )


cdef int share_parts(
    part_t part, const job_t* job, Py_ssize_t total, Py_ssize_t size, int num_threads
) except -1:
    """All parts of an operation, on so many threads; each has `size` bytes of scratch."""
    cdef char* scratch
    num_threads = <int>min(num_threads, total)
    scratch = <char*>malloc(num_threads * size)
    if scratch == NULL:
        raise MemoryError(f"no memory for {num_threads * size} bytes of scratch rows")
    with nogil:
        share(<part_function>part, job, total, scratch, size, num_threads)
    free(scratch)
    return 0
