# Which tap won each maximum: for indices, and for the backward of a maximum.
#
# A winner is found like a maximum, rows first, but on pairs of value and key. A key is larger the
# later a tap comes in row-major order, so that among equals the smaller key wins, in whatever
# order they meet. Keys are as wide as values, so that vectors of both have the same length.

cdef extern from "_rows.h" nogil:
    void challenge_float(float* a, int32_t* keys, const float* b, int32_t key, Py_ssize_t n)
    void challenge_double(double* a, double* keys, const double* b, double key, Py_ssize_t n)
    void winners_float(
        const float* a, const int32_t* keys_a, const float* b, const int32_t* keys_b,
        float* dst, int32_t* keys, Py_ssize_t n,
    )
    void winners_double(
        const double* a, const double* keys_a, const double* b, const double* keys_b,
        double* dst, double* keys, Py_ssize_t n,
    )


cdef extern from "_small_winners.h" nogil:
    const bint WINNERS_OF_PIXELS
    void winners_of_row(
        const small_windows* windows, const float* row, int32_t place, float* values,
        int32_t* places,
    )
    void winners_of_rows(
        int rows, const float** row, const int32_t** row_places, float* values, int64_t* indices,
        Py_ssize_t n,
    )


cdef inline Py_ssize_t last_key(const acc_t* _) noexcept nogil:
    """The key of padding, behind those of all taps."""
    return <Py_ssize_t>1 << 53 if acc_t is double else INT32_MAX


cdef inline void set_key(const acc_t* _, void* keys, Py_ssize_t j, Py_ssize_t key) noexcept nogil:
    if acc_t is double:
        (<double*>keys)[j] = <double>key
    else:
        (<int32_t*>keys)[j] = <int32_t>key


cdef inline Py_ssize_t get_key(const acc_t* _, const void* keys, Py_ssize_t j) noexcept nogil:
    if acc_t is double:
        return <Py_ssize_t>(<const double*>keys)[j]
    else:
        return (<const int32_t*>keys)[j]


cdef inline void challenge(
    acc_t* a, void* keys, const acc_t* b, Py_ssize_t key, Py_ssize_t n
) noexcept nogil:
    """A row of later taps challenges the winners so far."""
    cdef Py_ssize_t j
    cdef int32_t* k = <int32_t*>keys
    if acc_t is float:
        challenge_float(a, <int32_t*>keys, b, <int32_t>key, n)
    elif acc_t is double:
        challenge_double(a, <double*>keys, b, <double>key, n)
    else:
        for j in range(n):
            k[j] = <int32_t>key if b[j] > a[j] else k[j]
            a[j] = b[j] if b[j] > a[j] else a[j]


cdef inline void merge_winners(
    const acc_t* a, const void* keys_a, const acc_t* b, const void* keys_b,
    acc_t* dst, void* keys, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t j
    cdef const int32_t* first = <const int32_t*>keys_a
    cdef const int32_t* second = <const int32_t*>keys_b
    cdef int32_t* result = <int32_t*>keys
    cdef bint wins
    if acc_t is float:
        winners_float(a, first, b, second, dst, result, n)
    elif acc_t is double:
        winners_double(
            a, <const double*>keys_a, b, <const double*>keys_b, dst, <double*>keys, n
        )
    else:
        for j in range(n):
            wins = (b[j] > a[j]) | ((b[j] == a[j]) & (second[j] < first[j]))
            result[j] = second[j] if wins else first[j]
            dst[j] = b[j] if wins else a[j]


cdef inline bint beats(acc_t b, acc_t a) noexcept nogil:
    """Whether b wins over a, which came earlier."""
    return (not a >= b) and a == a


cdef void add_columns(
    const acc_t* _, void* keys, Py_ssize_t first, Py_ssize_t columns, Py_ssize_t channels,
    Py_ssize_t bits,
) noexcept nogil:
    """keys = keys << bits, plus the column."""
    cdef Py_ssize_t x, c
    cdef int32_t* k = <int32_t*>keys
    cdef double* d = <double*>keys
    cdef double scale = <double>(<Py_ssize_t>1 << bits)
    if acc_t is double:
        for x in range(columns):
            for c in range(channels):
                d[x * channels + c] = d[x * channels + c] * scale + <double>(first + x)
    elif channels == 1:
        for x in range(columns):
            k[x] = (k[x] << bits) + <int32_t>(first + x)
    else:
        for x in range(columns):
            for c in range(channels):
                k[c] = (k[c] << bits) + <int32_t>(first + x)
            k += channels


cdef inline Py_ssize_t key_size(const acc_t* _) noexcept nogil:
    return 8 if acc_t is double else 4


cdef void find_winners(
    const job_t* job, const tile_t* tile, acc_t* scratch, acc_t* values, int64_t* indices
) noexcept nogil:
    """The tile's maxima, and where in the plane they are (-1: nowhere)."""
    cdef Py_ssize_t row
    if job.small:
        if acc_t is float:
            row = (tile.x_end - tile.x) * tile.channels
            find_small_winners(job, tile, scratch, values, indices, row, row)
    elif job.keyed:
        find_winners_by_keys(job, tile, scratch, values, indices)
    else:
        scan_for_winners(job, tile, scratch, values, indices)


cdef void find_small_winners(
    const job_t* job, const tile_t* tile, float* scratch, float* values, int64_t* indices,
    Py_ssize_t values_row, Py_ssize_t indices_row,
) noexcept nogil:
    """Windows of few rows and columns, by _small_winners.h."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t taps_z = tap_count(depth, tile.z), first_z = first_tap(depth, tile.z)
    cdef Py_ssize_t first_y = first_tap(height, tile.y), taps_y, z, y, t, row
    cdef Py_ssize_t rows = span_end(height, tile.y_end - 1) - first_y
    cdef Py_ssize_t n = (tile.x_end - tile.x) * tile.channels
    cdef float* row_values = scratch + job.at_merged
    cdef int32_t* row_places = <int32_t*>(scratch + job.at_keys)
    cdef const float* tap_values[MOST_ROWS]
    cdef const int32_t* tap_places[MOST_ROWS]
    cdef small_windows w
    w.columns = <int>width.kernel_size
    w.stride = <int>width.stride
    w.channels = tile.channels
    w.outputs = tile.x_end - tile.x
    w.columns_inside = width.input_size
    w.first_column = tile.x * width.stride - width.padding
    for z in range(taps_z):
        for y in range(rows):
            row = (first_z + z) * height.input_size + first_y + y
            winners_of_row(
                &w, <const float*>(
                    tile.src_offset + address(&job.src, first_z + z, first_y + y, 0, 0)
                ),
                <int32_t>(row * width.input_size),
                row_values + (z * rows + y) * n, row_places + (z * rows + y) * n,
            )
    for y in range(tile.y, tile.y_end):
        taps_y = tap_count(height, y)
        for z in range(taps_z):
            for t in range(taps_y):
                row = z * rows + first_tap(height, y) + t - first_y
                tap_values[z * taps_y + t] = row_values + row * n
                tap_places[z * taps_y + t] = row_places + row * n
        winners_of_rows(<int>(taps_z * taps_y), tap_values, tap_places, values, indices, n)
        values += values_row
        indices += indices_row


cdef void find_winners_by_keys(
    const job_t* job, const tile_t* tile, acc_t* scratch, acc_t* values, int64_t* indices
) noexcept nogil:
    """Pairs of value and key, merged by rows and then by doubling along them."""
    cdef const axis_t* axis = &job.window[2]
    cdef acc_t identity = identity_of(job, scratch)
    cdef acc_t* merged = scratch + job.at_merged
    cdef acc_t* loaded = scratch + job.at_loaded
    cdef acc_t* value
    cdef acc_t* wider
    cdef char* keys = <char*>(scratch + job.at_keys)
    cdef char* row_keys
    cdef char* key
    cdef char* wider_key
    cdef const acc_t* row
    cdef const char* src
    cdef Py_ssize_t channels = tile.channels, n = tile.columns * channels
    cdef Py_ssize_t width = tile.pitch * channels, size = key_size(scratch)
    cdef Py_ssize_t begin = tile.left * channels, outputs = tile.x_end - tile.x
    cdef Py_ssize_t part = job.at_even - job.at_merged  # elements of each buffer
    cdef Py_ssize_t y, z, ty, tap, j, last = last_key(scratch), reach, done, shift
    cdef Py_ssize_t taps_y, taps_z, first_z, first_y
    cdef int64_t* bases = <int64_t*>(scratch + job.at_bases)

    taps_z = tap_count(&job.window[0], tile.z)
    first_z = first_tap(&job.window[0], tile.z)
    for y in range(tile.y, tile.y_end):
        value = merged + (y - tile.y) * width
        row_keys = keys + (y - tile.y) * width * size
        taps_y = tap_count(&job.window[1], y)
        first_y = first_tap(&job.window[1], y)
        if taps_y * taps_z * n == 0:
            fill(value, identity, width)
            for j in range(width):
                set_key(scratch, row_keys, j, last)
            continue
        tap = 0
        for z in range(taps_z):
            for ty in range(taps_y):
                src = tile.src_offset + address(
                    &job.src, first_z + z * job.window[0].step,
                    first_y + ty * job.window[1].step, tile.column, tile.c,
                )
                if job.direct_rows:
                    row = <const acc_t*>src
                else:
                    load_columns(&job.src, WHOLE, src, tile.columns, channels, loaded)
                    row = loaded
                if tap == 0:
                    copy(row, value + begin, n)
                    memset(row_keys, 0, width * size)
                else:
                    challenge(value + begin, row_keys + begin * size, row, tap, n)
                tap += 1
        # From the row that won to the tap: its column counts after its row.
        add_columns(
            scratch, row_keys + begin * size, tile.left, tile.columns, channels, job.key_bits
        )
        for j in range(begin):
            value[j] = identity
            set_key(scratch, row_keys, j, last)
        for j in range(begin + n, width):
            value[j] = identity
            set_key(scratch, row_keys, j, last)

    # All rows as one: windows of 1, 2, 4, ... taps, then two that overlap.
    value = merged
    key = keys
    reach = (tile.y_end - tile.y) * width
    shift = axis.dilation * channels
    done = 1
    while done < axis.kernel_size:
        tap = min(done, axis.kernel_size - done)
        reach -= tap * shift
        wider = merged + part if value != merged + part else merged + 2 * part
        wider_key = keys + (wider - merged) * size
        merge_winners(
            value, key, value + tap * shift, key + tap * shift * size, wider, wider_key, reach
        )
        value = wider
        key = wider_key
        done += tap

    for y in range(tile.y, tile.y_end):
        # where in the flattened plane the tile's first column lies, in the row of each tap
        taps_y = tap_count(&job.window[1], y)
        first_y = first_tap(&job.window[1], y)
        for z in range(taps_z):
            for ty in range(taps_y):
                bases[z * taps_y + ty] = tile.column - tile.left + axis.input_size * (
                    (first_z + z * job.window[0].step) * job.window[1].input_size
                    + first_y + ty * job.window[1].step
                )
        decode_winners(
            value + (y - tile.y) * width, key + (y - tile.y) * width * size, outputs,
            axis.stride * channels, channels, bases, job.key_bits, values, indices,
        )
        values += outputs * channels
        indices += outputs * channels


cdef inline void decode_winners(
    const acc_t* value, const char* keys, Py_ssize_t outputs, Py_ssize_t stride,
    Py_ssize_t channels, const int64_t* bases, Py_ssize_t bits, acc_t* values, int64_t* indices,
) noexcept nogil:
    """Of every stride-th pixel the value, and the index that its key stands for."""
    cdef Py_ssize_t x, c, key, mask = (<Py_ssize_t>1 << bits) - 1, last = last_key(value)
    for x in range(outputs):
        for c in range(channels):
            key = get_key(value, keys, x * stride + c)
            values[x * channels + c] = value[x * stride + c]
            # the key of padding names no row
            indices[x * channels + c] = -1 if key == last else bases[key >> bits] + (key & mask)


cdef void scan_for_winners(
    const job_t* job, const tile_t* tile, acc_t* scratch, acc_t* values, int64_t* indices
) noexcept nogil:
    """Tap by tap, for windows of any form and size."""
    cdef const axis_t* axis = &job.window[2]
    cdef acc_t identity = identity_of(job, scratch)
    cdef acc_t* loaded = scratch + job.at_loaded
    cdef const acc_t* row
    cdef const char* src
    cdef Py_ssize_t channels = tile.channels, elements = (tile.x_end - tile.x) * channels
    cdef Py_ssize_t y, z, ty, x, c, t, j, taps_y, taps_z, taps, base, first, begin, end, length
    cdef Py_ssize_t depth, height
    taps_z = tap_count(&job.window[0], tile.z)
    for y in range(tile.y, tile.y_end):
        for j in range(elements):
            values[j] = identity
            indices[j] = -1
        taps_y = tap_count(&job.window[1], y)
        for z in range(taps_z):
            depth = first_tap(&job.window[0], tile.z) + z * job.window[0].step
            for ty in range(taps_y):
                height = first_tap(&job.window[1], y) + ty * job.window[1].step
                base = (depth * job.window[1].input_size + height) * axis.input_size
                # Runs of columns that fit the scratch, where the row has to be loaded.
                begin = tile.column
                while begin < tile.column + tile.columns:
                    end = tile.column + tile.columns
                    src = tile.src_offset + address(&job.src, depth, height, begin, tile.c)
                    if job.direct_rows:
                        row = <const acc_t*>src
                    else:
                        end = min(end, begin + max(1, job.row_size // channels))
                        load_columns(&job.src, WHOLE, src, end - begin, channels, loaded)
                        row = loaded
                    for x in range(tile.x, tile.x_end):
                        taps = tap_count(axis, x)
                        first = first_tap(axis, x)
                        for t in range(taps):
                            length = first + t * axis.step
                            if length < begin:
                                continue
                            if length >= end:
                                break
                            for c in range(channels):
                                j = (x - tile.x) * channels + c
                                if indices[j] < 0 or beats(
                                    row[(length - begin) * channels + c], values[j]
                                ):
                                    values[j] = row[(length - begin) * channels + c]
                                    indices[j] = base + length
                    begin = end
        values += elements
        indices += elements


cdef void plan_winners(job_t* job, const acc_t* _) noexcept nogil:
    """Tiles as `plan` has them, and scratch for winners; keys, where they are wide enough."""
    cdef Py_ssize_t rows, columns, total
    job.find_winners = True
    plan(job, _)
    rows = job.window[0].input_size * job.window[1].input_size
    job.small = (
        acc_t is float and job.small and rows <= INT32_MAX // job.window[2].input_size
        and (
            job.channels == 1 and job.window[2].stride <= 2
            or WINNERS_OF_PIXELS and job.channels >= 8
        )
        and job.window[1].stride <= 2 * job.window[1].kernel_size
    )
    rows = min(job.window[0].kernel_size, job.window[0].input_size)
    rows *= min(job.window[1].kernel_size, job.window[1].input_size)
    columns = most_columns(&job.window[2], job.tile_x) + job.window[2].stride
    job.key_bits = 1
    while columns >> job.key_bits:
        job.key_bits += 1
    job.keyed = not job.small and job.regular and rows < min(4096, last_key(_) >> job.key_bits)
    total = job.tile_y * job.row_size
    if job.small:
        total = min(job.window[0].kernel_size, job.window[0].input_size) * most_columns(
            &job.window[1], job.tile_y
        ) * job.tile_x * job.tile_c
    elif not job.keyed:
        total = 0
        job.row_size = min(job.row_size, max(CHUNK, job.tile_c))
    job.scratch_size = 0
    job.at_merged = reserve(job, total)
    job.at_even = reserve(job, total)
    job.at_odd = reserve(job, total)
    job.at_keys = reserve(job, 3 * (job.at_even - job.at_merged) * key_size(_) // sizeof(acc_t))
    job.at_bases = reserve(job, rows * sizeof(int64_t) // sizeof(acc_t) if job.keyed else 0)
    job.at_loaded = reserve(job, 0 if job.direct_rows else job.row_size)
    total = job.tile_y * job.tile_x * job.tile_c
    job.at_values = reserve(job, total)
    job.at_indices = reserve(job, total * sizeof(int64_t) // sizeof(acc_t))


cdef void winners_tile(const job_t* job, Py_ssize_t index, acc_t* scratch) noexcept nogil:
    cdef tile_t tile
    cdef acc_t* values = scratch + job.at_values
    cdef int64_t* indices = <int64_t*>(scratch + job.at_indices)
    cdef char* dst
    cdef Py_ssize_t y, x, c, elements
    cdef Py_ssize_t dst_offset, indices_offset
    place_tile(job, index, &tile)
    dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    indices_offset = batch_offset(job, job.batch_stride[2], tile.item)
    elements = (tile.x_end - tile.x) * tile.channels
    if acc_t is float:
        if job.direct_winners:
            find_small_winners(
                job, &tile, scratch,
                <float*>(dst_offset + address(&job.dst, tile.z, tile.y, tile.x, 0)),
                <int64_t*>(indices_offset + address(&job.indices, tile.z, tile.y, tile.x, 0)),
                job.dst.stride[1] // <Py_ssize_t>sizeof(float),
                job.indices.stride[1] // <Py_ssize_t>sizeof(int64_t),
            )
            return
    find_winners(job, &tile, scratch, values, indices)
    for y in range(tile.y, tile.y_end):
        store_columns(
            &job.dst, values, dst_offset + address(&job.dst, tile.z, y, tile.x, tile.c),
            tile.x_end - tile.x, tile.channels,
        )
        dst = indices_offset + address(&job.indices, tile.z, y, tile.x, tile.c)
        store_columns(&job.indices, indices, dst, tile.x_end - tile.x, tile.channels)
        values += elements
        indices += elements


cdef int find_tiles(job_t* job, const acc_t* _, int num_threads) except -1:
    cdef Py_ssize_t total, index
    cdef acc_t* scratch
    plan_winners(job, _)
    job.direct_winners = (
        job.small and job.direct_dst and job.indices.kind == INT64
        and job.indices.stride[3] == sizeof(int64_t)
        and job.indices.stride[2] == job.channels * <Py_ssize_t>sizeof(int64_t)
        and job.indices.stride[1] % <Py_ssize_t>sizeof(int64_t) == 0
        and job.dst.stride[1] % <Py_ssize_t>sizeof(float) == 0
    )
    total = job.items * job.tiles[1] * job.tiles[2] * job.tiles[3] * job.tiles[4]
    num_threads = <int>min(num_threads, total)
    scratch = <acc_t*>allocate(num_threads * job.scratch_size * sizeof(acc_t))
    if num_threads == 1:
        with nogil:
            for index in range(total):
                winners_tile(job, index, scratch)
    else:
        for index in prange(total, nogil=True, num_threads=num_threads, schedule="static"):
            winners_tile(job, index, scratch + threadid() * job.scratch_size)
    free(scratch)
    return 0


# Backward -------------------------------------------------------------------------------------

ctypedef fused grad_t:
    float
    double


cdef inline Py_ssize_t first_window(const axis_t* axis, Py_ssize_t begin) noexcept nogil:
    """No earlier window reaches `begin` or what lies behind it."""
    if axis.kind == ADAPTIVE:
        return begin * axis.output_size // axis.input_size
    return max(0, ceil_div(begin + axis.padding + 1 - extent(axis), axis.stride))


cdef inline Py_ssize_t end_window(const axis_t* axis, Py_ssize_t end) noexcept nogil:
    """This window and later ones begin at `end` or behind it."""
    if axis.kind == ADAPTIVE:
        return min(axis.output_size, ceil_div(end * axis.output_size, axis.input_size))
    return max(0, min(axis.output_size, floor_div(end - 1 + axis.padding, axis.stride) + 1))


cdef void scatter_tile(
    const job_t* job, const tile_t* tile, acc_t* scratch, grad_t* grads, grad_t* block,
    Py_ssize_t begin, Py_ssize_t length,
) noexcept nogil:
    """Add the tile's gradients, in row-major order, to those winners that lie in the block."""
    cdef acc_t* values = scratch + job.at_values
    cdef int64_t* indices = <int64_t*>(scratch + job.at_indices)
    cdef const grad_t* grad
    cdef const char* src
    cdef Py_ssize_t y, x, c, outputs = tile.x_end - tile.x, channels = tile.channels
    cdef Py_ssize_t grad_offset = batch_offset(job, job.batch_stride[3], tile.item)
    cdef Py_ssize_t indices_offset
    cdef uint64_t place
    if job.indices.data == NULL:
        find_winners(job, tile, scratch, values, indices)
    for y in range(tile.y, tile.y_end):
        if job.indices.data != NULL:
            indices_offset = batch_offset(job, job.batch_stride[2], tile.item)
            load_columns(
                &job.indices, WHOLE,
                indices_offset + address(&job.indices, tile.z, y, tile.x, tile.c),
                outputs, channels, indices,
            )
        src = grad_offset + address(&job.grad, tile.z, y, tile.x, tile.c)
        load_columns(&job.grad, WHOLE, src, outputs, channels, grads)
        for x in range(outputs):
            for c in range(channels):
                # As unsigned numbers, -1 and what lies before the block are beyond it too.
                place = <uint64_t>(indices[x * channels + c] - begin)
                if place < <uint64_t>length:
                    block[place * channels + c] += grads[x * channels + c]
        if job.indices.data == NULL:
            indices += outputs * channels


cdef void scatter_block(
    const job_t* job, Py_ssize_t index, acc_t* scratch, grad_t* grads
) noexcept nogil:
    """Gradients of one block of the input: every window that may reach it, in row-major order."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t rows = depth.input_size * height.input_size, row, row_end, column, column_end
    cdef Py_ssize_t z, y, x, y_begin, y_end, x_begin, x_end, begin, length, step, dst_offset
    cdef grad_t* block = grads + job.tile_x * job.tile_c
    cdef tile_t tile
    tile.limb = WHOLE
    column = index % job.blocks[1] * job.block_columns
    index //= job.blocks[1]
    row = index % job.blocks[0] * job.block_rows
    index //= job.blocks[0]
    tile.c = index % job.tiles[4] * job.tile_c
    tile.channels = min(job.tile_c, job.channels - tile.c)
    tile.item = index // job.tiles[4]
    tile.src_offset = batch_offset(job, job.batch_stride[0], tile.item)
    dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    row_end = min(rows, row + job.block_rows)
    column_end = min(width.input_size, column + job.block_columns)
    begin = row * width.input_size + column
    length = (row_end - 1) * width.input_size + column_end - begin
    if job.direct_block:
        block = <grad_t*>(
            dst_offset + address(
                &job.dst, row // height.input_size, row % height.input_size, column, tile.c
            )
        )
    memset(block, 0, length * tile.channels * sizeof(grad_t))
    y_begin = 0
    y_end = height.output_size
    if depth.input_size == 1:
        y_begin = first_window(height, row)
        y_end = end_window(height, row_end)
    x_begin = first_window(width, column)
    x_end = end_window(width, column_end)
    step = job.tile_y if x_end - x_begin <= job.tile_x else 1
    for z in range(
        first_window(depth, row // height.input_size),
        end_window(depth, (row_end - 1) // height.input_size + 1),
    ):
        tile.z = z
        y = y_begin
        while y < y_end:
            tile.y = y
            tile.y_end = min(y + step, y_end)
            x = x_begin
            while x < x_end:
                tile.x = x
                tile.x_end = min(x + job.tile_x, x_end)
                place_columns(job, &tile)
                scatter_tile(job, &tile, scratch, grads, block, begin, length)
                x += job.tile_x
            y += step
    if not job.direct_block:
        for y in range(row, row_end):
            store_columns(
                &job.dst, block,
                dst_offset + address(
                    &job.dst, y // height.input_size, y % height.input_size, column, tile.c
                ),
                column_end - column, tile.channels,
            )
            block += (column_end - column) * tile.channels


cdef int scatter(
    job_t* job, const acc_t* _, const grad_t* grad, int num_threads
) except -1:
    cdef Py_ssize_t total, index, rows, columns, grads_size
    cdef acc_t* scratch
    cdef grad_t* grads
    plan_winners(job, _)
    rows = job.window[0].input_size * job.window[1].input_size
    columns = job.window[2].input_size
    job.direct_block = (
        job.dst.kind == kind_of(grad) and job.tile_c == job.channels
        and job.dst.stride[3] == job.dst.item
        and job.dst.stride[2] == job.channels * job.dst.item
        and job.dst.stride[1] == columns * job.dst.stride[2]
        and (
            job.window[0].input_size == 1
            or job.dst.stride[0] == job.window[1].input_size * job.dst.stride[1]
        )
    )
    job.block_columns = columns
    job.block_rows = rows
    if not job.direct_block:
        job.block_columns = max(1, min(columns, BLOCK // job.tile_c))
        job.block_rows = max(1, min(rows, BLOCK // (columns * job.tile_c)))
    elif job.items < 4 * num_threads:
        # Few planes: blocks of rows for the threads, though some windows are visited twice.
        job.block_rows = max(
            min(rows, 4 * extent(&job.window[1])), ceil_div(rows, 4 * num_threads)
        )
    job.blocks[0] = ceil_div(rows, job.block_rows)
    job.blocks[1] = ceil_div(columns, job.block_columns)
    total = job.items * job.tiles[4] * job.blocks[0] * job.blocks[1]
    num_threads = <int>min(num_threads, total)
    grads_size = job.tile_x * job.tile_c
    if not job.direct_block:
        grads_size += job.block_rows * job.block_columns * job.tile_c
    grads_size += 64
    scratch = <acc_t*>allocate(
        num_threads * (job.scratch_size * sizeof(acc_t) + grads_size * sizeof(grad_t))
    )
    grads = <grad_t*>(scratch + num_threads * job.scratch_size)
    if num_threads == 1:
        with nogil:
            for index in range(total):
                scatter_block(job, index, scratch, grads)
    else:
        for index in prange(total, nogil=True, num_threads=num_threads, schedule="static"):
            scatter_block(
                job, index, scratch + threadid() * job.scratch_size,
                grads + threadid() * grads_size,
            )
    free(scratch)
    return 0
