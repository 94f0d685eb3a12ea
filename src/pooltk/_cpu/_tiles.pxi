# Work in tiles: windows over rows of a plane, then over columns of the merged rows.

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
    cdef const axis_t* height = &job.window[1]
    cdef const acc_t* merged = scratch + job.at_merged
    cdef acc_t* row
    cdef const char* src
    cdef Py_ssize_t y, outputs = tile.x_end - tile.x, rows = tile.y_end - tile.y, width
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    if is_sum(job.op, scratch) and job.divide_first:
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
            job, tile.op, merged, result, (rows - 1) * width + outputs, tile.channels, scratch
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
                job, tile.op, merged + y * tile.pitch * tile.channels, row, outputs, tile.channels,
                scratch,
            )
        elif job.spread:
            spread_row(job, tile, merged + y * tile.pitch * tile.channels, row, scratch)
        elif job.merged_rows:
            src = tile.src_offset + address(
                &job.src, tile.z, first_tap(height, tile.y + y), tile.column, tile.c
            )
            pool_row_by_bins(job, tile, tile.y + y, <const acc_t*>src, row, scratch)
        else:
            pool_row_by_bins(
                job, tile, tile.y + y, merged + y * tile.pitch * tile.channels, row, scratch
            )
    return width


cdef inline Py_ssize_t full_rows(const axis_t* axis, Py_ssize_t y, Py_ssize_t end) noexcept nogil:
    """How many windows from y on, up to `end`, have all their taps inside; else 1."""
    cdef Py_ssize_t last = floor_div(
        axis.input_size + axis.padding - extent(axis), axis.stride
    )
    if axis.kind != SLIDING or y * axis.stride < axis.padding or y > last:
        return 1
    return min(last + 1, end) - y


cdef inline void find_divisors(
    const job_t* job, vector_t* scratch, double rows, Py_ssize_t n
) noexcept nogil:
    """Of a row of windows of so many rows."""
    cdef Py_ssize_t j
    for j in range(n):
        scratch[job.at_result + j] = scratch[job.at_counts + j] * <vector_t>rows


cdef void pool_small_tile(const job_t* job, const tile_t* tile, void* memory) noexcept nogil:
    """Windows of few columns over few rows, by _small.h: straight from src to dst."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef small_windows w
    cdef Py_ssize_t taps_z = tap_count(depth, tile.z), taps_y, z, t, y = tile.y
    cdef Py_ssize_t first_z = first_tap(depth, tile.z), rows, item, items, offset
    cdef const char* src
    cdef const char* src_end
    cdef char* dst
    cdef double divisor, count = <double>width.kernel_size
    cdef char* scratch = <char*>memory
    cdef int exponent
    w.op = tile.op
    w.columns = <int>width.kernel_size
    w.stride = <int>width.stride
    w.finish = AS_IT_IS
    # Up to the end of the plane's last row, as rows lie one behind the other.
    src_end = job.src.item + address(
        &job.src, first_z + taps_z - 1, height.input_size - 1, width.input_size - 1,
        tile.channels - 1,
    )
    w.padded = scratch + job.at_padded * job.acc_item
    w.padded_size = job.padded_size
    w.padded_rows = job.padded_rows
    w.columns_kept = scratch + job.at_kept * job.acc_item
    w.pixels = job.pixels
    w.unstrided = scratch + job.at_wide * job.acc_item
    w.channels = tile.channels
    w.outputs = (tile.x_end - tile.x) * tile.channels
    w.before = tile.left * tile.channels
    w.columns_inside = tile.columns * tile.channels
    w.pitch = tile.pitch * tile.channels
    w.divisors = scratch + job.at_result * job.acc_item
    if job.op == SUM:
        if job.divisor_override:
            count = 1
        elif counts_are_equal(&job.count[2], tile.x, tile.x_end, job.count_include_pad):
            count = <double>max(1, window_count(&job.count[2], tile.x, job.count_include_pad))
        else:
            w.finish = DIVIDED_EACH
    w.pad = True
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
                if job.acc == FLOAT32:
                    find_divisors(job, <float*>scratch, divisor, w.outputs)
                else:
                    find_divisors(job, <double*>scratch, divisor, w.outputs)
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
        w.ahead = ceil_div(AHEAD, max(1, w.src_row, -w.src_row)) * w.src_row
        w.fresh = 0
        if w.rows > 1 and job.fetches:
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
    if is_sum(job.op, scratch) and not (
        job.divisor_override or job.divide_first or job.few_pixels
    ):
        if not counts_are_equal(&job.count[2], tile.x, tile.x_end, job.count_include_pad):
            column_counts(
                job, tile.x, tile.x_end, tile.channels, scratch + job.at_counts
            )


cdef void pool_rows(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    """Fill the tile: of maxima as of numbers first, and once more if there was NaN (_numbers.h)."""
    cdef tile_t whole
    tile.op = job.op
    if job.of_numbers:
        whole = tile[0]
        tile.op = GREATER
        fill_tile(job, tile, scratch)
        if not met_nan():
            return
        tile[0] = whole
    fill_tile(job, tile, scratch)
    if job.of_numbers:
        met_nan()  # and forget it


cdef void fill_tile(const job_t* job, tile_t* tile, acc_t* scratch) noexcept nogil:
    cdef Py_ssize_t y_end = tile.y_end, end, y, size
    cdef char* row
    if job.in_registers == WINDOWS_OF_LINES:
        pool_in_registers(job, tile)
        return
    if job.in_registers == BINS_OF_LINES:
        pool_bins_in_registers(job, tile)
        return
    if job.in_registers == GRADIENTS_OF_LINES:
        spread_from_registers(job, tile)
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
    if is_sum(job.op, scratch) and not job.divisor_override and not job.divide_first:
        if counts_are_equal(&job.count[2], tile.x, tile.x_end, job.count_include_pad):
            divisor = max(1, window_count(&job.count[2], tile.x, job.count_include_pad))
        else:
            counts = scratch + job.at_counts
    for y in range(tile.y_end - tile.y):
        dst = dst_offset + address(&job.dst, tile.z, tile.y + y, tile.x, tile.c)
        row = <acc_t*>dst if result == NULL else result + y * pitch
        if is_sum(job.op, scratch):
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
            elif not job.few_pixels:
                divide_row(
                    row, elements, counts,
                    job.divisor_override if job.divisor_override
                    else 1 if job.divide_first
                    else <double>(divisor * rows_count(job, tile.z, tile.y + y)),
                )
        elif job.op == MAX and not are_settled(job, tile.op):
            settle_maxima(tile.op, row, elements)
        if result != NULL:
            store_columns(&job.dst, row, dst, outputs, tile.channels)


cdef inline bint means_are_long(const job_t* job) noexcept nogil:
    """Whether sums of 32-bit integers have less than 51 bits, and divisors too."""
    cdef Py_ssize_t taps = 1, most = 1 << 19
    cdef int axis
    for axis in range(3):
        taps *= min(most, min(job.window[axis].kernel_size, job.window[axis].input_size))
        if taps >= most:
            return False
    return job.src.item == 4 and -1e15 < job.divisor_override < 1e15


cdef void store_quotients(
    const job_t* job, const tile_t* tile, const acc_t* sums, const acc_t* low,
    const acc_t* counts, Py_ssize_t divisor, char* dst, Py_ssize_t outputs,
) noexcept nogil:
    """Averages of integers: exact sums divided, and rounded once."""
    cdef Py_ssize_t x, c, j, sx = job.dst.stride[2], sc = job.dst.stride[3]
    cdef int64_t by, high, rest
    cdef char* place
    cdef Py_ssize_t pixels = outputs, n = tile.channels
    if acc_t is int32_t or means_are_long(job):
        if tile.channels == 1 or sx == tile.channels * sc:  # all elements of the row
            sc = sx if tile.channels == 1 else sc
            pixels = 1
            n *= outputs
        for x in range(pixels):
            store_mean_row(
                job.dst.kind, sums + x * n, NULL if counts == NULL else counts + x * n,
                <double>divisor, job.small_sums, dst + x * sx, sc, n,
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


cdef int pool_tiles(job_t* job, const acc_t* _, int num_threads) except -1:
    cdef Py_ssize_t total, at_once
    cdef job_t packed
    if (acc_t is float or acc_t is double) and repeats(job):
        return repeat_gradients(job, _, num_threads)
    job.fetches = plane_size(job) * job.channels * job.items >= FETCHED // job.src.item
    plan(job)
    if plan_packed(job, &packed):
        return pool_packed(job, &packed, _, num_threads)
    job.rows_first = rows_merge_first(job)
    if not job.in_registers and planes_may_join(job):
        return pool_joined(job, _, num_threads)
    if job.in_registers >= BINS_OF_LINES and job.items >= 4 * num_threads:
        job.tile_y = job.window[1].output_size
        job.tiles[2] = 1
    if (job.small or job.in_registers) and job.tiles[1] * job.tiles[2] * job.tiles[3] == 1:
        # What is the same for all planes is done once for as many as make a tile.
        at_once = SPREAD_PLANES
        if job.in_registers != GRADIENTS_OF_LINES:
            # To ask for NaN waits for all that is read: not often, if planes are taken one by one.
            at_once = (64 if job.of_numbers and job.in_registers else 8) * TILE
            at_once //= job.window[1].input_size * job.window[2].input_size
        job.tile_items = max(1, min(at_once, job.items // 4 // num_threads))
    total = ceil_div(job.items, job.tile_items)
    total *= job.tiles[1] * job.tiles[2] * job.tiles[3] * job.tiles[4]
    return share_parts(
        <part_t>pool_tile[acc_t], job, total, job.scratch_size * sizeof(acc_t), num_threads
    )


cdef enum:
    CACHE_LINE = 64  # where scratch begins: of a vector that spans two each load takes two


cdef int share_parts(
    part_t part, const job_t* job, Py_ssize_t total, Py_ssize_t size, int num_threads
) except -1:
    """All parts of an operation, on so many threads; each has `size` bytes of scratch."""
    cdef char* memory
    num_threads = <int>min(num_threads, total)
    size = ceil_div(size, CACHE_LINE) * CACHE_LINE
    memory = <char*>malloc(num_threads * size + CACHE_LINE)
    if memory == NULL:
        raise MemoryError(f"no memory for {num_threads * size} bytes of scratch rows")
    with nogil:
        share(
            <part_function>part, job, total, memory + CACHE_LINE - <size_t>memory % CACHE_LINE,
            size, num_threads,
        )
    free(memory)
    return 0
