# Which tap won each maximum: for indices, and for the backward of a maximum.
#
# Short integers and halves are compared as floats, 32-bit integers as doubles, which hold each of
# them. Places in the plane are int32 beside floats, so that vectors of both have the same length.

cdef extern from "_winners.h" nogil:
    ctypedef struct winners_row:
        Py_ssize_t channels, pixel, outputs
        const Py_ssize_t* first
        const Py_ssize_t* count
        Py_ssize_t step
    void winners_of_row_float(
        const winners_row* windows, int rows, const float** row, const int32_t* row_place,
        float identity, float* values, int32_t* places, int64_t* indices,
    )
    void winners_of_row_double(
        const winners_row* windows, int rows, const double** row, const int64_t* row_place,
        double identity, double* values, int64_t* places, int64_t* indices,
    )
    void winners_of_rows_float(
        int rows, const float** row, const int32_t** row_places, float* values, int32_t* places,
        int64_t* indices, Py_ssize_t n,
    )
    void winners_of_rows_double(
        int rows, const double** row, const int64_t** row_places, double* values, int64_t* places,
        int64_t* indices, Py_ssize_t n,
    )
    void rank_row(
        const float* src, Py_ssize_t pixel, double* dst, Py_ssize_t columns, Py_ssize_t channels,
        int32_t place,
    )
    void unrank(
        const double* src, Py_ssize_t n, float identity, float* values, int32_t* places,
        int64_t* indices,
    )
    void challenge_later_double(double* values, int64_t* places, Py_ssize_t shift, Py_ssize_t n)

ctypedef fused winner_t:
    float
    double
    int64_t
    uint64_t

cdef enum:
    MOST_CHANNELS = 256
    SMALL_KERNEL = 5   # of more columns, the winners are not found in registers
    WINNERS = 16384    # outputs whose winners are found at once
    NARROW_WINNERS = 32     # rows of so few columns lie side by side with other planes'
    SIDE = 180         # of a square of elements whose windows overlap much
    MOST_SLOTS = 16    # rows whose winners are kept: more than MOST_ROWS
    MOST_DOUBLED = 1 << 18  # elements of a window: scratch is twice as large, at least
    MOST_RANKED = 1 << 20   # the same of ranks, of which there are four times as many, at least
    FEW_TAPS = 9       # of overlapping windows: of fewer, the winners are found in registers
    FEW_CHANNELS = 8   # as many as a vector holds at any level

cdef struct sink_t:
    # Where the winners of a tile go: a row's values and places, and elements to the next row's and
    # to the next depth's.
    void* values
    Py_ssize_t values_row, values_depth
    void* places      # indices, int64, or places as they are beside values of this type
    Py_ssize_t places_row, places_depth
    bint as_indices
    Py_ssize_t planes, values_plane, places_plane  # IN_STRIPS, IN_BINS: so many items


cdef inline kind_t winner_kind(kind_t kind) noexcept nogil:
    """The type as which elements are compared."""
    if kind == FLOAT64 or kind == INT32 or kind == UINT32:
        return FLOAT64
    return kind if kind == INT64 or kind == UINT64 else FLOAT32


cdef inline bint beats(winner_t b, winner_t a) noexcept nogil:
    """Whether b wins over a, which came earlier."""
    return (not a >= b) and a == a


cdef void find_winners(
    const job_t* job, const tile_t* tile, const sink_t* sink, winner_t* scratch
) noexcept nogil:
    """The tile's maxima, and where in the plane they are (-1: nowhere)."""
    if winner_t is float or winner_t is double:
        if job.way == IN_ROWS:
            find_in_rows(job, tile, sink, scratch)
            return
        if job.way == IN_STRIPS:
            find_in_strips(job, tile, sink, scratch)
            return
        if job.way == IN_BINS:
            find_in_bins(job, tile, sink, scratch)
            return
    if winner_t is float:
        if job.way == RANKED:
            find_by_ranks(job, tile, sink, scratch)
            return
    elif winner_t is double:
        if job.way == DOUBLED:
            find_by_doubling(job, tile, sink, scratch)
            return
    scan_for_winners(job, tile, sink, scratch)


# By rows --------------------------------------------------------------------------------------

cdef inline void merge_winners(
    int rows, const vector_t** row, const void** row_places, vector_t* values, void* places,
    bint as_indices, Py_ssize_t n,
) noexcept nogil:
    """Of n outputs the winners of rows that have theirs."""
    cdef int64_t* indices = <int64_t*>places if as_indices else NULL
    if vector_t is float:
        winners_of_rows_float(
            rows, row, <const int32_t**>row_places, values, <int32_t*>places, indices, n
        )
    else:
        winners_of_rows_double(
            rows, row, <const int64_t**>row_places, values, <int64_t*>places, indices, n
        )


cdef void find_in_rows(
    const job_t* job, const tile_t* tile, const sink_t* sink, vector_t* scratch
) noexcept nogil:
    """Each row's winners are found once, for as many rows of windows as share it."""
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t n = (tile.x_end - tile.x) * tile.channels, slots = job.slots, slot, row
    cdef Py_ssize_t first_z = first_tap(&job.window[0], tile.z), first_y, y, z, t, left, i
    cdef Py_ssize_t taps_z = tap_count(&job.window[0], tile.z), taps_y
    cdef vector_t* values = <vector_t*>sink.values
    cdef char* places = <char*>sink.places
    cdef Py_ssize_t place_size = 8 if sink.as_indices else sizeof(vector_t)
    cdef const vector_t* row_values[MOST_ROWS]
    cdef const void* row_places[MOST_ROWS]
    cdef Py_ssize_t in_slot[MOST_ROWS * MOST_SLOTS]
    cdef int rows
    cdef winners_row w
    describe_row(job, tile, &w, <Py_ssize_t*>(scratch + job.at_tables))
    for i in range(MOST_ROWS * slots):
        in_slot[i] = -1
    for y in range(tile.y, tile.y_end):
        taps_y = tap_count(height, y)
        first_y = first_tap(height, y)
        left = taps_z * taps_y
        rows = 0
        if job.few_taps and left:
            find_in_windows(
                job, tile, &w, first_z, taps_z, first_y, taps_y, scratch, values, places,
                sink.as_indices,
            )
            values += sink.values_row
            places += sink.places_row * place_size
            continue
        for z in range(taps_z):
            for t in range(taps_y):
                row = (first_z + z * job.window[0].step) * height.input_size + first_y + t
                slot = z % MOST_ROWS * slots + (first_y + t) % slots
                row_values[rows] = scratch + job.at_rows + slot * n
                row_places[rows] = scratch + job.at_places + slot * n
                if in_slot[slot] != row:
                    find_in_row(job, tile, &w, row, scratch, slot * n)
                    in_slot[slot] = row
                rows += 1
                left -= 1
                if rows == MOST_ROWS and left:
                    merge_winners(
                        rows, row_values, row_places, scratch + job.at_so_far,
                        scratch + job.at_so_far_places, False, n,
                    )
                    row_values[0] = scratch + job.at_so_far
                    row_places[0] = scratch + job.at_so_far_places
                    rows = 1
        if rows == 0:  # dilation may leave no row inside
            find_in_row(job, tile, NULL, 0, scratch, 0)
            row_values[0] = scratch + job.at_rows
            row_places[0] = scratch + job.at_places
            in_slot[0] = -1
            rows = 1
        merge_winners(rows, row_values, row_places, values, places, sink.as_indices, n)
        values += sink.values_row
        places += sink.places_row * place_size


cdef inline void winners_of_row(
    const winners_row* w, int rows, const vector_t** taps, const Py_ssize_t* row_place,
    vector_t identity, vector_t* values, void* places, bint as_indices,
) noexcept nogil:
    """A row of outputs, of taps in these rows, whose first columns are at these places."""
    cdef int64_t* indices = <int64_t*>places if as_indices else NULL
    cdef int32_t short_places[MOST_ROWS]
    cdef int64_t long_places[MOST_ROWS]
    cdef int k
    if vector_t is float:
        for k in range(rows):
            short_places[k] = <int32_t>row_place[k]
        winners_of_row_float(
            w, rows, taps, short_places, identity, values, <int32_t*>places, indices
        )
    else:
        for k in range(rows):
            long_places[k] = row_place[k]
        winners_of_row_double(
            w, rows, taps, long_places, identity, values, <int64_t*>places, indices
        )


cdef void find_in_windows(
    const job_t* job, const tile_t* tile, const winners_row* w, Py_ssize_t first_z,
    Py_ssize_t taps_z, Py_ssize_t first_y, Py_ssize_t taps_y, vector_t* scratch, vector_t* values,
    void* places, bint as_indices,
) noexcept nogil:
    """A row of outputs: all taps of few at once.

    The rows of the next one are fetched meanwhile: the processor foresees no more than one of them.
    """
    cdef Py_ssize_t z, y, depth
    cdef const vector_t* taps[MOST_ROWS]
    cdef Py_ssize_t row_place[MOST_ROWS]
    cdef Py_ssize_t fresh = tile.columns * tile.channels * <Py_ssize_t>sizeof(vector_t)
    cdef Py_ssize_t ahead = 0
    cdef int rows = 0
    if job.window[1].stride < job.window[1].input_size:  # else the product may overflow
        ahead = job.window[1].stride * job.src.stride[1]
    for z in range(taps_z):
        depth = first_z + z * job.window[0].step
        for y in range(first_y, first_y + taps_y):
            taps[rows] = NULL
            if tile.columns:
                taps[rows] = <const vector_t*>(
                    tile.src_offset + address(&job.src, depth, y, tile.column, tile.c)
                )
                prefetch(<const char*>taps[rows] + ahead, fresh)
            row_place[rows] = (
                (depth * job.window[1].input_size + y) * job.window[2].input_size + tile.column
            )
            rows += 1
    winners_of_row(
        w, rows, taps, row_place, identity_of(job, scratch), values, places, as_indices
    )


cdef void describe_row(
    const job_t* job, const tile_t* tile, winners_row* w, Py_ssize_t* tables
) noexcept nogil:
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t outputs = tile.x_end - tile.x, x = 0
    w.channels = tile.channels
    w.pixel = tile.channels
    if job.direct_rows and tile.channels > 1:
        w.pixel = job.src.stride[2] // job.src.item
    w.outputs = outputs
    w.step = width.step
    w.first = tables
    w.count = tables + outputs
    while x < outputs:
        tables[x] = first_tap(width, tile.x + x) - tile.column
        tables[outputs + x] = tap_count(width, tile.x + x)
        x += 1


cdef void find_in_row(
    const job_t* job, const tile_t* tile, const winners_row* w, Py_ssize_t row, vector_t* scratch,
    Py_ssize_t slot,
) noexcept nogil:
    """Of one row of the input, or, without `w`, of none."""
    cdef vector_t identity = identity_of(job, scratch)
    cdef Py_ssize_t place = row * job.window[2].input_size + tile.column, j
    cdef vector_t* values = scratch + job.at_rows + slot
    cdef void* places = scratch + job.at_places + slot
    cdef const vector_t* taps = NULL
    cdef const char* src
    if w == NULL:
        fill(values, identity, (tile.x_end - tile.x) * tile.channels)
        memset(places, -1, (tile.x_end - tile.x) * tile.channels * sizeof(vector_t))
        return
    if tile.columns:
        src = tile.src_offset + address(
            &job.src, row // job.window[1].input_size, row % job.window[1].input_size,
            tile.column, tile.c,
        )
        taps = <const vector_t*>src
        if not job.direct_rows:
            load_columns(
                &job.src, WHOLE, src, tile.columns, tile.channels, scratch + job.at_loaded
            )
            taps = scratch + job.at_loaded
    winners_of_row(w, 1, &taps, &place, identity, values, places, False)


# By ranks -------------------------------------------------------------------------------------

cdef void find_by_ranks(
    const job_t* job, const tile_t* tile, const sink_t* sink, float* scratch
) noexcept nogil:
    """What the tile's windows reach becomes ranks, and their maxima are the winners."""
    cdef job_t inner = job.by_ranks[0]
    cdef tile_t part = tile[0]
    cdef Py_ssize_t channels = tile.channels, outputs = tile.x_end - tile.x, n = outputs * channels
    cdef Py_ssize_t z = span_begin(&job.window[0], tile.z), y = span_begin(&job.window[1], tile.y)
    cdef Py_ssize_t z_end = span_end(&job.window[0], tile.z_end - 1), row
    cdef Py_ssize_t y_end = span_end(&job.window[1], tile.y_end - 1)
    cdef Py_ssize_t rows, run, at, place
    cdef float identity = identity_of(job, scratch)
    cdef double* found = <double*>(scratch + job.at_found)
    cdef double* inner_scratch = <double*>(scratch + job.at_inner)
    cdef float* values = NULL
    cdef int32_t* places = NULL
    cdef int64_t* indices = NULL
    inner.channels = inner.tile_c = channels
    lay_block(&inner.src, max(0, y_end - y), tile.columns, channels)
    lay_block(&inner.dst, inner.rank_rows, outputs, channels)
    inner.src.data = <char*>(scratch + job.at_ranks) - (
        z * inner.src.stride[0] + y * inner.src.stride[1] + tile.column * inner.src.stride[2]
    )
    if tile.columns:
        for z in range(z, z_end):
            load_ranks(job, tile, z, y, y_end, &inner.src, scratch)
    part.op = inner.op
    part.src_offset = part.item = part.c = 0
    part.item_end = 1
    for z in range(tile.z, tile.z_end):
        part.z = z
        part.x = tile.x
        while part.x < tile.x_end:
            part.x_end = min(part.x + inner.tile_x, tile.x_end)
            part.y = tile.y
            start_rows(&inner, &part, inner_scratch)
            while part.y < tile.y_end:
                part.y_end = min(part.y + inner.rank_rows, tile.y_end)
                inner.dst.data = <char*>found - (
                    z * inner.dst.stride[0] + part.y * inner.dst.stride[1]
                    + part.x * inner.dst.stride[2]
                )
                if inner.small:
                    pool_small_tile(&inner, &part, inner_scratch)
                else:
                    pool_chunk(&inner, &part, inner_scratch)
                rows = part.y_end - part.y
                run = 1
                if part.x_end - part.x == outputs and sink.places_row == n and (
                    sink.values == NULL or sink.values_row == n
                ):
                    run = rows  # one behind the other
                row = 0
                while row < rows:
                    at = (part.x - tile.x) * channels
                    place = at + (part.y + row - tile.y) * sink.places_row
                    place += (z - tile.z) * sink.places_depth
                    if sink.as_indices:
                        indices = <int64_t*>sink.places + place
                    else:
                        places = <int32_t*>sink.places + place
                    if sink.values != NULL:
                        at += (part.y + row - tile.y) * sink.values_row
                        values = <float*>sink.values + at + (z - tile.z) * sink.values_depth
                    unrank(
                        found + row * n, run * (part.x_end - part.x) * channels, identity, values,
                        places, indices,
                    )
                    row += run
                part.y = part.y_end
            part.x = part.x_end


cdef inline void lay_block(
    array_t* array, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t channels
) noexcept nogil:
    """Describe so many rows and columns at each depth, one behind the other."""
    array.size[3] = channels
    array.stride[3] = array.item
    array.stride[2] = channels * array.item
    array.stride[1] = columns * array.stride[2]
    array.stride[0] = rows * array.stride[1]


cdef inline void load_ranks(
    const job_t* job, const tile_t* tile, Py_ssize_t z, Py_ssize_t y, Py_ssize_t y_end,
    const array_t* ranks, float* scratch,
) noexcept nogil:
    """Rows of the input at one depth, as far as the tile reaches; whole rows at once."""
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t pixel = job.src.stride[2] // job.src.item, run = 1
    cdef const char* src
    cdef const float* row
    if (
        job.direct_rows and tile.columns == width.input_size
        and job.src.stride[1] == tile.columns * job.src.stride[2]
    ):
        run = max(1, y_end - y)
    while y < y_end:
        src = tile.src_offset + address(&job.src, z, y, tile.column, tile.c)
        row = <const float*>src
        if not job.direct_rows:
            load_columns(
                &job.src, WHOLE, src, tile.columns, tile.channels, scratch + job.at_loaded
            )
            row = scratch + job.at_loaded
            pixel = tile.channels
        rank_row(
            row, pixel, <double*>address(ranks, z, y, tile.column, 0), run * tile.columns,
            tile.channels,
            <int32_t>((z * job.window[1].input_size + y) * width.input_size + tile.column),
        )
        y += run


cdef void plan_ranks(job_t* job, job_t* inner) noexcept nogil:
    """Blocks whose ranks are in scratch at once: of whole planes, as many depths as there is room
    for."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t depths = min(most_columns(depth, 1), depth.input_size)
    cdef Py_ssize_t rows, columns, area, side = 1
    cdef int axis
    # Squares, about: each block reads a window's size more than it has outputs.
    area = max(1, SIDE * SIDE // (depths * job.tile_c))
    while (side + 1) * (side + 1) <= area:
        side += 1
    rows = min(most_columns(height, height.output_size), max(side, 2 * extent(height)))
    columns = max(area // rows, 2 * extent(width))
    job.tile_x = min(width.output_size, (columns - extent(width)) // width.stride + 1)
    columns = min(width.input_size, most_columns(width, job.tile_x))
    rows = max(area // columns, extent(height))
    job.tile_y = min(height.output_size, (rows - extent(height)) // height.stride + 1)
    rows = min(height.input_size, most_columns(height, job.tile_y))
    if depth.kind == SLIDING:
        depths = max(SIDE * SIDE // (rows * columns * job.tile_c), extent(depth))
        job.tile_z = min(
            (depths - extent(depth)) // depth.stride + 1,
            2 * WINNERS // (job.tile_y * job.tile_x * job.tile_c),
        )
        job.tile_z = max(1, min(job.tile_z, depth.output_size))
    depths = min(depth.input_size, most_columns(depth, job.tile_z))
    job.by_ranks = inner
    inner[0] = job[0]
    inner.op = RANK
    inner.channels = job.tile_c
    inner.items = 1
    inner.batch_axes = 0
    inner.src.kind = inner.dst.kind = FLOAT64
    inner.src.item = inner.dst.item = sizeof(double)
    for axis in range(3):
        inner.dst.size[axis] = job.window[axis].output_size
    lay_block(&inner.src, rows, columns, job.tile_c)
    lay_block(&inner.dst, job.tile_y, job.tile_x, job.tile_c)
    inner.num_threads = 1
    inner.acc = FLOAT64
    inner.acc_item = sizeof(double)
    plan(inner)
    inner.rank_rows = inner.chunk_y
    job.scratch_size = 0
    job.at_ranks = reserve(job, 2 * depths * rows * columns * job.tile_c)
    job.at_found = reserve(job, 2 * inner.rank_rows * job.tile_x * job.tile_c)
    job.at_inner = reserve(job, 2 * inner.scratch_size)
    job.row_size = columns * job.tile_c
    job.at_loaded = reserve(job, 0 if job.direct_rows else job.row_size)


# By doubling ----------------------------------------------------------------------------------

cdef inline Py_ssize_t first_in_step(Py_ssize_t tap, Py_ssize_t step) noexcept nogil:
    """The first tap that is not before the plane, of those to which this one belongs."""
    return tap if tap >= 0 else (tap % step + step) % step


cdef void place_taps(
    const axis_t* width, Py_ssize_t first, Py_ssize_t apart, Py_ssize_t columns,
    Py_ssize_t channels, Py_ssize_t base, int64_t* places,
) noexcept nogil:
    """The places of columns of a row, the first of which may lie before it.

    Padding before the first tap stands for that tap, which wins where nothing is larger; padding
    behind the last one stands for nothing.
    """
    cdef Py_ssize_t x, c, column
    cdef int64_t place
    for x in range(columns):
        column = first + x * apart
        if column < 0:
            column = first_in_step(column, width.dilation)
        place = base + column if column < width.input_size else -1
        places[x * channels] = place
        for c in range(1, channels):
            places[x * channels + c] = place


cdef void places_below(
    int64_t* places, Py_ssize_t n, Py_ssize_t rows, Py_ssize_t columns
) noexcept nogil:
    """Of each row after the first one of n places, as many columns further on."""
    cdef Py_ssize_t j
    for j in range(n, rows * n):
        places[j] = -1 if places[j - n] < 0 else places[j - n] + columns


cdef void challenge_taps(
    double* values, int64_t* places, Py_ssize_t taps, Py_ssize_t shift, Py_ssize_t n
) noexcept nogil:
    """Windows of so many taps, `shift` apart, from n elements, in place."""
    cdef Py_ssize_t done = 1, more
    while done < taps:
        more = min(done, taps - done)
        n -= more * shift
        challenge_later_double(values, places, more * shift, n)
        done += more


cdef void find_by_doubling(
    const job_t* job, const tile_t* tile, const sink_t* sink, double* scratch
) noexcept nogil:
    """All rows of the tile as one: first padded rows, then rows of outputs."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef double identity = identity_of(job, scratch)
    cdef Py_ssize_t channels = tile.channels, n, row, x
    cdef Py_ssize_t rows = (tile.y_end - tile.y - 1) * height.stride + extent(height)
    cdef Py_ssize_t top = tile.y * height.stride - height.padding, above, inside, base
    cdef Py_ssize_t taps_z = tap_count(&job.window[0], tile.z), depth, y, z
    cdef Py_ssize_t place_size = 8 if sink.as_indices else sizeof(double)
    cdef double* values = scratch + job.at_rows
    cdef int64_t* places = <int64_t*>(scratch + job.at_places)
    cdef const double* row_values[2]
    cdef const void* row_places[2]
    cdef void* to_places
    n = (tile.x_end - tile.x) * channels
    above = min(rows, max(0, -top))
    inside = max(0, min(rows, height.input_size - top) - above) if tile.columns and taps_z else 0
    for z in range(max(1, taps_z)):
        depth = first_tap(&job.window[0], tile.z) + z * job.window[0].step
        # Windows of columns, and of them those of outputs, each row's `n` behind the other's.
        if inside:
            double_columns(
                job, tile, depth, top + above, inside, values + above * n, places + above * n
            )
        for row in range(above):
            # Padding above stands for the first row below it.
            if row and height.dilation == 1:
                copy(places, places + row * n, n)
                continue
            base = first_in_step(top + row, height.dilation)
            if not inside or base >= height.input_size:
                memset(places + row * n, -1, n * sizeof(double))
                continue
            base = (depth * height.input_size + base) * width.input_size
            x = tile.x * width.stride - width.padding
            place_taps(
                width, x, width.stride, tile.x_end - tile.x, channels, base, places + row * n
            )
        fill(values, identity, above * n)
        row = above + inside
        fill(values + row * n, identity, (rows - row) * n)
        memset(places + row * n, -1, (rows - row) * n * sizeof(double))
        challenge_taps(values, places, height.kernel_size, height.dilation * n, rows * n)
        for y in range(tile.y_end - tile.y):
            row_values[0] = scratch + job.at_so_far + y * n
            row_places[0] = scratch + job.at_so_far_places + y * n
            row_values[z > 0] = values + y * height.stride * n
            row_places[z > 0] = places + y * height.stride * n
            if z + 1 < taps_z:
                merge_winners(
                    1 + (z > 0), row_values, row_places, scratch + job.at_so_far + y * n,
                    scratch + job.at_so_far_places + y * n, False, n,
                )
            else:
                to_places = <char*>sink.places + y * sink.places_row * place_size
                merge_winners(
                    1 + (z > 0), row_values, row_places,
                    <double*>sink.values + y * sink.values_row, to_places, sink.as_indices, n,
                )


cdef void double_columns(
    const job_t* job, const tile_t* tile, Py_ssize_t depth, Py_ssize_t first, Py_ssize_t rows,
    double* values, int64_t* places,
) noexcept nogil:
    """The winners of the columns of rows inside, as many a row as the tile has outputs."""
    cdef const axis_t* width = &job.window[2]
    cdef double identity = identity_of(job, values)
    cdef Py_ssize_t channels = tile.channels, pitch = tile.pitch * channels, row, x, base
    cdef Py_ssize_t n = (tile.x_end - tile.x) * channels, left = tile.left * channels
    cdef Py_ssize_t behind = left + tile.columns * channels
    for row in range(rows):
        load_columns(
            &job.src, WHOLE,
            tile.src_offset + address(&job.src, depth, first + row, tile.column, tile.c),
            tile.columns, channels, values + row * pitch + left,
        )
        fill(values + row * pitch, identity, left)
        fill(values + row * pitch + behind, identity, pitch - behind)
    base = (depth * job.window[1].input_size + first) * width.input_size
    x = tile.x * width.stride - width.padding
    place_taps(width, x, 1, tile.pitch, channels, base, places)
    places_below(places, pitch, rows, width.input_size)
    challenge_taps(values, places, width.kernel_size, width.dilation * channels, rows * pitch)
    for row in range(rows):
        if width.stride == 1:
            memmove(values + row * n, values + row * pitch, n * sizeof(double))
            memmove(places + row * n, places + row * pitch, n * sizeof(double))
        else:
            every(
                values + row * pitch, values + row * n, tile.x_end - tile.x, width.stride, channels
            )
            every(
                places + row * pitch, places + row * n, tile.x_end - tile.x, width.stride, channels
            )


# Tap by tap -----------------------------------------------------------------------------------

cdef void scan_for_winners(
    const job_t* job, const tile_t* tile, const sink_t* sink, winner_t* scratch
) noexcept nogil:
    cdef const axis_t* axis = &job.window[2]
    cdef winner_t identity = identity_of(job, scratch)
    cdef winner_t* loaded = scratch + job.at_loaded
    cdef winner_t* values = <winner_t*>sink.values
    cdef int64_t* indices = <int64_t*>sink.places
    cdef const winner_t* row
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
                    if job.direct_rows and channels == 1:
                        row = <const winner_t*>src
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
                                    values[j] = one_nan(row[(length - begin) * channels + c]) + 0
                                    indices[j] = base + length
                    begin = end
        values += sink.values_row
        indices += sink.places_row


# Tiles ----------------------------------------------------------------------------------------

cdef way_t way_of(const job_t* job, const winner_t* _) noexcept nogil:
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef bint pixels = job.channels >= FEW_CHANNELS, regular
    cdef way_t otherwise = SCANNED
    if not (winner_t is float or winner_t is double):
        return SCANNED
    if winner_t is float and (
        depth.input_size * height.input_size > INT32_MAX // width.input_size
    ):
        return SCANNED
    if fits_strips(job) and depth.stride >= depth.kernel_size:
        return IN_STRIPS
    if fits_bins(job):
        return IN_BINS
    regular = is_regular(height) and is_regular(width)
    if winner_t is float and regular and (
        extent(height) <= MOST_RANKED // extent(width) // most_columns(depth, 1)
    ):
        if is_regular(depth) and depth.stride < extent(depth) or (
            # Of pixels, a vector of channels is found in registers; planes side by side are ranked.
            (job.channels < FEW_CHANNELS or job.channels == PLANES)
            and height.stride == width.stride == 1
            and height.kernel_size * width.kernel_size >= FEW_TAPS
        ):
            return RANKED
        otherwise = RANKED
    elif winner_t is double and regular and extent(height) <= MOST_DOUBLED // extent(width):
        otherwise = DOUBLED
    if (
        pixels and height.step == 1
        and (height.kernel_size <= MOST_ROWS or height.kernel_size - height.stride <= height.stride
             or height.kind == ADAPTIVE)
        and (width.kernel_size <= SMALL_KERNEL or not regular
             or width.kernel_size - width.stride <= width.stride)
    ):
        return IN_ROWS
    return otherwise


cdef inline bint is_regular(const axis_t* axis) noexcept nogil:
    """Windows that slide over not much more than the axis, without large gaps."""
    return (
        axis.kind == SLIDING and extent(axis) <= 2 * axis.input_size + 64
        and axis.stride <= 2 * extent(axis)
    )


cdef void plan_winners(
    job_t* job, const winner_t* _, job_t* by_ranks, Py_ssize_t most_channels=MOST_CHANNELS
) noexcept nogil:
    """Choose how winners are found, and the tiles; lay out a thread's scratch.

    If by ranks, `by_ranks` is filled, and used as long as `job` is.
    """
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t rows, columns, total, so_far = 0
    job.way = way_of(job, _)
    job.regular = job.way == DOUBLED
    job.spread = False
    job.tile_items = 1
    job.tile_z = 1
    if job.way == DOUBLED:
        most_channels = 16
    elif job.way == RANKED:
        most_channels = PLANES
    job.tiles[4] = ceil_div(job.channels, most_channels)
    job.tile_c = ceil_div(job.channels, job.tiles[4])
    job.direct_rows = (
        job.src.kind == kind_of(_) and job.src.stride[3] == job.src.item
        and (job.channels > 1 or job.src.stride[2] == job.src.item)
        and job.src.stride[2] % job.src.item == 0
    )
    job.tile_x = min(width.output_size, max(1, TILE // job.tile_c))
    total = job.window[0].kernel_size * height.kernel_size
    job.few_taps = (  # in rows that few rows of windows share
        job.direct_rows and total <= MOST_ROWS
        and (total * width.kernel_size <= 9 or total <= height.stride)
    )
    job.slots = 4 if height.kernel_size <= 4 else MOST_SLOTS
    if winner_t is float:
        if job.way == RANKED:
            plan_ranks(job, by_ranks)
    if job.way == DOUBLED:
        # Squares, about: each tile reads a window's size more than it has outputs.
        rows = min(most_columns(height, height.output_size), max(SIDE, 2 * extent(height)))
        columns = max(SIDE * SIDE // rows // job.tile_c, 2 * extent(width))
        job.tile_x = min(width.output_size, (columns - extent(width)) // width.stride + 1)
        columns = ceil_div(most_columns(width, job.tile_x), width.stride) * width.stride
        rows = max(SIDE * SIDE // (columns * job.tile_c), extent(height))
        job.tile_y = min(height.output_size, (rows - extent(height)) // height.stride + 1)
        rows = most_columns(height, job.tile_y)
        total = rows * columns * job.tile_c + 64
        so_far = job.tile_y * job.tile_x * job.tile_c if job.window[0].kernel_size > 1 else 0
    elif job.way == IN_ROWS:
        job.tile_y = min(height.output_size, max(1, WINNERS // (job.tile_x * job.tile_c)))
        total = min(job.window[0].kernel_size, MOST_ROWS) * job.slots * job.tile_x * job.tile_c
        so_far = job.tile_x * job.tile_c
    elif job.way == SCANNED:
        job.tile_y = min(height.output_size, max(1, TILE // (job.tile_x * job.tile_c)))
        total = 0
    elif job.way == IN_STRIPS:
        total = 0
        plan_strips(job)
    elif job.way == IN_BINS:
        plan_bins(job)
        total = most_columns(width, job.tile_x)
        if total > MOST_BIN_COLUMNS:  # of one row, which is not gone down
            total = 0
    job.tiles[1] = ceil_div(job.window[0].output_size, job.tile_z)
    job.tiles[2] = ceil_div(height.output_size, job.tile_y)
    job.tiles[3] = ceil_div(width.output_size, job.tile_x)
    if job.way == RANKED:
        return
    job.row_size = min(most_columns(width, job.tile_x), width.input_size) * job.tile_c
    if job.way == SCANNED:
        job.row_size = min(job.row_size, max(CHUNK, job.tile_c))
    elif job.way == IN_STRIPS:
        rows = min(job.window[0].kernel_size, job.window[0].input_size)
        job.row_size *= 0 if job.direct_rows else rows * most_columns(height, job.tile_y)
    elif job.way == IN_BINS:
        if job.direct_rows:
            job.row_size = 0
        elif is_one_run(job):
            job.row_size = CHUNK
        else:
            job.row_size = max(job.row_size, min(BIN_ROWS * job.row_size, 2 * WINNERS))
    job.scratch_size = 0
    job.at_rows = reserve(job, total)
    job.at_places = reserve(job, total)
    job.at_so_far = reserve(job, so_far)
    job.at_so_far_places = reserve(job, so_far)
    job.at_loaded = reserve(job, job.row_size)
    job.at_tables = reserve(
        job, 2 * job.tile_x * <Py_ssize_t>sizeof(Py_ssize_t) // <Py_ssize_t>sizeof(winner_t)
    )


cdef void winners_tile(const job_t* job, Py_ssize_t index, winner_t* scratch) noexcept nogil:
    cdef tile_t tile
    cdef sink_t sink
    cdef winner_t* values = scratch + job.at_values
    cdef int64_t* indices = <int64_t*>(scratch + job.at_indices)
    cdef char* dst
    cdef Py_ssize_t z, y, elements
    cdef Py_ssize_t dst_offset, indices_offset
    place_tile(job, index, &tile)
    dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    indices_offset = batch_offset(job, job.batch_stride[2], tile.item)
    elements = (tile.x_end - tile.x) * tile.channels
    sink.as_indices = True
    sink.planes = tile.item_end - tile.item
    sink.values_plane = job.batch_stride[1][0] // <Py_ssize_t>sizeof(winner_t)
    sink.places_plane = job.batch_stride[2][0] // <Py_ssize_t>sizeof(int64_t)
    if job.direct_winners:
        sink.values = dst_offset + address(&job.dst, tile.z, tile.y, tile.x, tile.c)
        sink.places = indices_offset + address(&job.indices, tile.z, tile.y, tile.x, tile.c)
        sink.values_row = job.dst.stride[1] // <Py_ssize_t>sizeof(winner_t)
        sink.places_row = job.indices.stride[1] // <Py_ssize_t>sizeof(int64_t)
        sink.values_depth = job.dst.stride[0] // <Py_ssize_t>sizeof(winner_t)
        sink.places_depth = job.indices.stride[0] // <Py_ssize_t>sizeof(int64_t)
        find_winners(job, &tile, &sink, scratch)
        return
    sink.values = values
    sink.places = indices
    sink.values_row = sink.places_row = elements
    sink.values_depth = sink.places_depth = (tile.y_end - tile.y) * elements
    sink.values_plane = sink.places_plane = 1
    find_winners(job, &tile, &sink, scratch)
    if sink.planes > 1:  # of one output each
        dst = dst_offset + address(&job.dst, 0, 0, 0, 0)
        store_row(job.dst.kind, values, dst, job.batch_stride[1][0], sink.planes)
        dst = indices_offset + address(&job.indices, 0, 0, 0, 0)
        store_row(INT64, indices, dst, job.batch_stride[2][0], sink.planes)
        return
    for z in range(tile.z, tile.z_end):
        for y in range(tile.y, tile.y_end):
            dst = dst_offset + address(&job.dst, z, y, tile.x, tile.c)
            store_columns(&job.dst, values, dst, tile.x_end - tile.x, tile.channels)
            dst = indices_offset + address(&job.indices, z, y, tile.x, tile.c)
            store_columns(&job.indices, indices, dst, tile.x_end - tile.x, tile.channels)
            values += elements
            indices += elements


cdef inline bint rows_are_direct(
    const array_t* array, kind_t kind, Py_ssize_t channels
) noexcept nogil:
    """Whether its rows are runs of elements of this kind."""
    return (
        array.kind == kind and array.stride[3] == array.item
        and array.stride[2] == channels * array.item and array.stride[1] % array.item == 0
        and array.stride[0] % array.item == 0
    )


cdef Py_ssize_t planes_at_once(const job_t* job) noexcept nogil:
    """How many small planes' winners may be found at once."""
    cdef Py_ssize_t size = job.window[1].input_size * job.window[2].input_size
    if not (
        (job.way == IN_STRIPS or job.way == IN_BINS) and job.batch_axes == 1
        and (job.direct_rows or job.way == IN_BINS and is_one_run(job))
        and job.window[0].input_size * job.tiles[2] * job.tiles[3] == 1
    ):
        return 1
    return max(1, 2 * TILE // size)


cdef inline bint takes_all(const axis_t* axis) noexcept nogil:
    """Whether there is one window, of all elements."""
    return axis.output_size == 1 and (
        axis.kind == ADAPTIVE
        or axis.kind == SLIDING and axis.dilation == 1 and axis.padding == 0
        and axis.kernel_size >= axis.input_size
    )


cdef void see_as_row(array_t* array) noexcept nogil:
    array.size[2] *= array.size[1] * array.size[0]
    array.size[1] = array.size[0] = 1


cdef bint is_one_window(const job_t* job) noexcept nogil:
    """Whether it takes a plane whose rows lie one behind the other: as one row of as many elements
    the plane has the same winner, at the same place."""
    return (
        job.channels == 1 and takes_all(&job.window[0]) and takes_all(&job.window[1])
        and takes_all(&job.window[2])
        and is_run(&job.src, job.src.kind, 1, job.window[0].input_size)
    )


cdef void merge_axes(job_t* job) noexcept nogil:
    """Of one window, and rows that lie so: see them as one."""
    cdef axis_t* width = &job.window[2]
    see_as_row(&job.src)
    width.kind = ADAPTIVE
    width.input_size = width.kernel_size = job.src.size[2]
    job.window[0] = job.window[1] = each_of(1)


cdef int find_tiles(job_t* job, const winner_t* _, int num_threads) except -1:
    cdef Py_ssize_t total
    cdef job_t by_ranks
    if is_one_window(job):
        merge_axes(job)
    if winner_t is float or winner_t is double:
        if winners_may_join(job, _):
            return find_joined(job, _, num_threads)
    plan_winners(job, _, &by_ranks)
    job.direct_winners = (
        job.tile_c == job.channels and rows_are_direct(&job.dst, kind_of(_), job.channels)
        and rows_are_direct(&job.indices, INT64, job.channels)
    )
    if job.direct_winners or is_one_run(job):
        job.tile_items = min(planes_at_once(job), max(1, job.items // 4 // num_threads))
    total = job.tile_items * job.tile_z * job.tile_y * job.tile_x * job.tile_c
    if job.direct_winners:
        total = 0
    job.at_values = reserve(job, total)
    job.at_indices = reserve(job, total * 8 // <Py_ssize_t>sizeof(winner_t))
    total = ceil_div(job.items, job.tile_items) * job.tiles[1] * job.tiles[2] * job.tiles[3]
    total *= job.tiles[4]
    return share_parts(
        <part_t>winners_tile[winner_t], job, total, job.scratch_size * sizeof(winner_t), num_threads
    )


# Planes side by side --------------------------------------------------------------------------

cdef bint winners_may_join(const job_t* job, const vector_t* _) noexcept nogil:
    """Whether it pays: for short rows, and for windows of which a row has no vectors."""
    cdef const axis_t* width = &job.window[2]
    cdef job_t inner = joined_job(job)
    return (
        job.channels == 1 and job.items >= 2 * PLANES and job.src.stride[2] == job.src.item
        and way_of(job, _) != IN_STRIPS and way_of(job, _) != IN_BINS
        and (
            width.input_size <= NARROW_WINNERS or way_of(job, _) == SCANNED
            or way_of(job, _) >= DOUBLED and width.kernel_size - width.stride <= width.stride
        )
        and joined_elements(job, 1) <= MOST_JOINED // PLANES
        and (
            way_of(&inner, _) == IN_ROWS
            or way_of(&inner, _) == RANKED
            and (width.input_size < LANES or job.window[1].kernel_size > WIDE_ROWS)
            # whose blocks would be read again for each few rows
            and joined_elements(job, job.window[1].output_size) <= JOINED // PLANES
        )
    )


cdef Py_ssize_t joined_winners_plan(
    job_t* job, job_t* inner, job_t* by_ranks, const vector_t* _
) noexcept nogil:
    """Plan the winners of PLANES planes; returns how many rows of outputs are found at once."""
    cdef Py_ssize_t rows = rows_to_join(job), size
    inner[0] = joined_job(job)
    job.inner = inner
    lay_planes(&inner.src, joined_rows(job, rows) // job.window[0].input_size)
    size = job.window[0].output_size * rows * job.window[2].output_size
    plan_winners(inner, _, by_ranks)
    job.at_loaded = reserve(inner, bytes_of(&inner.src) // <Py_ssize_t>sizeof(vector_t))
    job.at_values = reserve(inner, size * PLANES)
    return rows


cdef void find_in_group(
    const job_t* job, Py_ssize_t group, Py_ssize_t y, Py_ssize_t rows, vector_t* scratch,
    int64_t* indices, Py_ssize_t rows_apart,
) noexcept nogil:
    """The winners of rows y to y + rows of the outputs of one group's planes, side by side.

    Their indices of one depth lie so many rows behind those of the one before.
    """
    cdef job_t inner = job.inner[0]
    cdef tile_t tile
    cdef sink_t sink
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t outputs = job.window[2].output_size, place
    cdef Py_ssize_t y_end = min(y + rows, height.output_size)
    cdef Py_ssize_t first = span_begin(height, y), end = max(first, span_end(height, y_end - 1))
    cdef Py_ssize_t offset[PLANES]
    inner.src.data = <char*>(scratch + job.at_loaded) - first * inner.src.stride[1]
    place_planes(job, group, 0, offset)
    join_rows(&job.src, offset, first, end, &inner.src)
    tile.item = tile.c = tile.src_offset = 0
    tile.channels = PLANES
    sink.as_indices = True
    sink.planes = 1
    sink.values_row = sink.places_row = outputs * PLANES
    sink.values_depth = rows * sink.values_row
    sink.places_depth = rows_apart * sink.places_row
    tile.z = 0
    while tile.z < job.window[0].output_size:
        tile.z_end = min(tile.z + inner.tile_z, job.window[0].output_size)
        tile.y = y
        while tile.y < y_end:
            tile.y_end = min(tile.y + inner.tile_y, y_end)
            tile.x = 0
            while tile.x < outputs:
                tile.x_end = min(tile.x + inner.tile_x, outputs)
                place_columns(&inner, &tile)
                place = (tile.y - y) * sink.places_row + tile.x * PLANES
                sink.values = scratch + job.at_values + tile.z * sink.values_depth + place
                sink.places = indices + tile.z * sink.places_depth + place
                find_winners(&inner, &tile, &sink, scratch)
                tile.x = tile.x_end
            tile.y = tile.y_end
        tile.z = tile.z_end


cdef int find_joined(job_t* job, const vector_t* _, int num_threads) except -1:
    """As find_tiles, PLANES at a time."""
    cdef job_t inner, by_ranks
    cdef Py_ssize_t rows = joined_winners_plan(job, &inner, &by_ranks, _)
    job.block_rows = rows
    job.blocks[0] = ceil_div(job.window[1].output_size, rows)
    lay_planes(&inner.dst, rows)
    lay_planes(&inner.indices, rows)
    job.at_indices = reserve(
        &inner, bytes_of(&inner.indices) // <Py_ssize_t>sizeof(vector_t)
    )
    job.at_result = job.at_values
    if job.dst.kind != kind_of(_):
        job.at_result = reserve(&inner, bytes_of(&inner.dst) // <Py_ssize_t>sizeof(vector_t))
    return share_parts(
        <part_t>store_group[vector_t], job, ceil_div(job.items, PLANES) * job.blocks[0],
        inner.scratch_size * sizeof(vector_t), num_threads,
    )


cdef void store_group(const job_t* job, Py_ssize_t index, vector_t* scratch) noexcept nogil:
    """A block of rows of one group's winners."""
    cdef array_t values = job.inner.dst, indices = job.inner.indices
    cdef Py_ssize_t group = index // job.blocks[0], rows = job.block_rows
    cdef Py_ssize_t y = index % job.blocks[0] * rows, y_end = min(y + rows, values.size[1]), z, row
    cdef Py_ssize_t outputs = values.size[2]
    cdef Py_ssize_t offset[PLANES]
    cdef const vector_t* found
    find_in_group(job, group, y, rows, scratch, <int64_t*>(scratch + job.at_indices), rows)
    values.data = <char*>(scratch + job.at_result) - y * values.stride[1]
    indices.data = <char*>(scratch + job.at_indices) - y * indices.stride[1]
    if values.kind != kind_of(scratch):
        for z in range(values.size[0]):
            for row in range(y, y_end):
                found = scratch + job.at_values + (z * rows + row - y) * outputs * PLANES
                store_columns(&values, found, address(&values, z, row, 0, 0), outputs, PLANES)
    place_planes(job, group, 1, offset)
    part_rows(&job.dst, offset, y, y_end, &values)
    place_planes(job, group, 2, offset)
    part_rows(&job.indices, offset, y, y_end, &indices)
