# Winners of wide bins of one channel, or of windows that hardly overlap: first down their columns,
# then across them.

cdef extern from "_winners.h" nogil:
    enum:
        WIDE_WINNER
        BIN_ROWS
        LONG_RUN
    void winners_of_runs_float(
        const winners_row* windows, const float* row, int32_t place, float* values,
        int32_t* places, int64_t* indices,
    )
    void winners_of_runs_double(
        const winners_row* windows, const double* row, int64_t place, double* values,
        int64_t* places, int64_t* indices,
    )
    void winners_of_planes_float(
        Py_ssize_t planes, const char* src, Py_ssize_t src_plane, Py_ssize_t n, float* values,
        Py_ssize_t values_plane, int32_t* places, int64_t* indices, Py_ssize_t places_plane,
    )
    void winners_of_planes_double(
        Py_ssize_t planes, const char* src, Py_ssize_t src_plane, Py_ssize_t n, double* values,
        Py_ssize_t values_plane, int64_t* places, int64_t* indices, Py_ssize_t places_plane,
    )
    void winners_down_float(
        const char* src, Py_ssize_t src_row, Py_ssize_t rows, int32_t place, int32_t place_row,
        Py_ssize_t n, bint more, float* values, int32_t* places,
    )
    void winners_down_double(
        const char* src, Py_ssize_t src_row, Py_ssize_t rows, int64_t place, int64_t place_row,
        Py_ssize_t n, bint more, double* values, int64_t* places,
    )
    void winners_across_float(
        const winners_row* windows, const float* columns, const int32_t* column_places,
        float* values, int32_t* places, int64_t* indices,
    )
    void winners_across_double(
        const winners_row* windows, const double* columns, const int64_t* column_places,
        double* values, int64_t* places, int64_t* indices,
    )

cdef enum:
    MOST_BIN_COLUMNS = 1 << 16


cdef inline bint are_bins(const axis_t* axis) noexcept nogil:
    """Windows without gaps that hardly overlap, each of which has taps."""
    if axis.kind == ADAPTIVE:
        return axis.output_size <= axis.input_size
    return slides_over_taps(axis) and axis.kernel_size - axis.stride <= axis.stride


cdef inline bint is_one_run(const job_t* job) noexcept nogil:
    """Whether a plane is one row, and one window."""
    return (
        takes_all(&job.window[2])
        and job.window[0].input_size == job.window[0].output_size == 1
        and job.window[1].input_size == job.window[1].output_size == 1
    )


cdef bint fits_bins(const job_t* job) noexcept nogil:
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t columns = width.kernel_size
    cdef bint one_row = job.window[0].kernel_size == job.window[1].kernel_size == 1
    if width.kind == ADAPTIVE:
        columns = width.input_size // width.output_size
    return (
        job.channels == 1 and are_bins(width) and are_bins(&job.window[1])
        and are_bins(&job.window[0])
        and columns >= (LONG_RUN if one_row else WIDE_WINNER)
        and (is_one_run(job) or most_columns(width, 1) <= MOST_BIN_COLUMNS)
    )


cdef void plan_bins(job_t* job) noexcept nogil:
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t columns = ceil_div(width.input_size, width.output_size)
    if width.kind == SLIDING:
        columns = width.stride
    job.tile_x = min(width.output_size, max(1, CHUNK // columns))
    columns = most_columns(width, job.tile_x)
    job.tile_y = min(height.output_size, max(1, WINNERS // (columns * height.kernel_size)))


cdef inline Py_ssize_t bin_rows(Py_ssize_t columns) noexcept nogil:
    """Rows that are in scratch at once."""
    return max(1, min(BIN_ROWS, 2 * WINNERS // max(1, columns)))


cdef void find_in_bins(
    const job_t* job, const tile_t* tile, const sink_t* sink, vector_t* scratch
) noexcept nogil:
    cdef Py_ssize_t p, y
    cdef Py_ssize_t place_size = 8 if sink.as_indices else sizeof(vector_t)
    cdef vector_t* values
    cdef char* places
    cdef winners_row w
    if is_one_run(job):
        find_in_planes(job, tile, sink, scratch)
        return
    describe_row(job, tile, &w, <Py_ssize_t*>(scratch + job.at_tables))
    for p in range(sink.planes):
        for y in range(tile.y, tile.y_end):
            values = <vector_t*>sink.values + p * sink.values_plane
            values += (y - tile.y) * sink.values_row
            places = <char*>sink.places + p * sink.places_plane * place_size
            places += (y - tile.y) * sink.places_row * place_size
            find_in_row_of_bins(
                job, tile, &w, p * job.batch_stride[0][0], y, scratch, values, places,
                <int64_t*>places if sink.as_indices else NULL,
            )


cdef void find_in_row_of_bins(
    const job_t* job, const tile_t* tile, const winners_row* w, Py_ssize_t src_offset, Py_ssize_t y,
    vector_t* scratch, vector_t* values, void* places, int64_t* indices,
) noexcept nogil:
    """Of bins in one row of the plane at once, of others first down their columns."""
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t first_z = first_tap(&job.window[0], tile.z), z, row, rows, place
    cdef Py_ssize_t taps_z = tap_count(&job.window[0], tile.z), taps_y = tap_count(height, y)
    cdef Py_ssize_t first_y = first_tap(height, y), src_row, place_row = job.window[2].input_size
    cdef vector_t* columns = scratch + job.at_rows
    cdef void* column_places = scratch + job.at_places
    cdef const char* src
    cdef bint more = False
    for z in range(first_z, first_z + taps_z):
        row = first_y
        while row < first_y + taps_y:
            rows = first_y + taps_y - row
            place = (z * height.input_size + row) * place_row + tile.column
            src = tile.src_offset + src_offset + address(&job.src, z, row, tile.column, 0)
            src_row = job.src.stride[1]
            if not job.direct_rows:
                rows = min(rows, bin_rows(tile.columns))
                load_rows(
                    &job.src, src, src_row, rows, tile.columns, scratch + job.at_loaded
                )
                src = <const char*>(scratch + job.at_loaded)
                src_row = tile.columns * sizeof(vector_t)
            if taps_z * taps_y == 1:
                winners_of_runs(w, <const vector_t*>src, place, values, places, indices)
                return
            winners_down(
                src, src_row, rows, place, place_row, tile.columns, more, columns, column_places
            )
            more = True
            row += rows
    winners_across(w, columns, column_places, values, places, indices)


cdef void find_in_planes(
    const job_t* job, const tile_t* tile, const sink_t* sink, vector_t* scratch
) noexcept nogil:
    """Planes of one row and one window: where they lie, or as many as there is room for."""
    cdef Py_ssize_t n = job.window[2].input_size, src_plane = job.batch_stride[0][0], p = 0, planes
    cdef const char* src = tile.src_offset + address(&job.src, 0, 0, 0, 0)
    cdef vector_t* loaded = scratch + job.at_loaded
    if job.direct_rows:
        winners_of_planes(sink, 0, sink.planes, <const vector_t*>src, src_plane, n)
        return
    while p < sink.planes:
        planes = min(sink.planes - p, max(1, CHUNK // n))
        if n > CHUNK:
            find_in_parts(job, src + p * src_plane, n, sink, p, loaded)
        else:
            load_rows(&job.src, src + p * src_plane, src_plane, planes, n, loaded)
            winners_of_planes(sink, p, planes, loaded, n * <Py_ssize_t>sizeof(vector_t), n)
        p += planes


cdef inline void winners_of_planes(
    const sink_t* sink, Py_ssize_t first, Py_ssize_t planes, const vector_t* src,
    Py_ssize_t src_plane, Py_ssize_t n,
) noexcept nogil:
    """Of planes from the sink's first one on."""
    cdef vector_t* values = <vector_t*>sink.values + first * sink.values_plane
    cdef Py_ssize_t place_size = 8 if sink.as_indices else sizeof(vector_t)
    cdef void* places = <char*>sink.places + first * sink.places_plane * place_size
    cdef int64_t* indices = <int64_t*>places if sink.as_indices else NULL
    if vector_t is float:
        winners_of_planes_float(
            planes, <const char*>src, src_plane, n, values, sink.values_plane, <int32_t*>places,
            indices, sink.places_plane,
        )
    else:
        winners_of_planes_double(
            planes, <const char*>src, src_plane, n, values, sink.values_plane, <int64_t*>places,
            indices, sink.places_plane,
        )


cdef void find_in_parts(
    const job_t* job, const char* src, Py_ssize_t n, const sink_t* sink, Py_ssize_t p,
    vector_t* loaded,
) noexcept nogil:
    """A plane for which there is no room: a later part's winner has to beat those before it."""
    cdef Py_ssize_t done = 0, part
    cdef vector_t value, most = 0
    cdef int64_t place, first = 0
    cdef sink_t one
    one.values = &value
    one.places = &place
    one.values_plane = one.places_plane = 0
    one.as_indices = True
    while done < n:
        part = min(CHUNK, n - done)
        load_row(
            job.src.kind, WHOLE, src + done * job.src.stride[2], job.src.stride[2], loaded, part
        )
        winners_of_planes(&one, 0, 1, loaded, 0, part)
        if done == 0 or beats(value, most):
            most = value
            first = done + place
        done += part
    (<vector_t*>sink.values + p * sink.values_plane)[0] = most
    if vector_t is float:
        if not sink.as_indices:
            (<int32_t*>sink.places + p * sink.places_plane)[0] = <int32_t>first
            return
    (<int64_t*>sink.places + p * sink.places_plane)[0] = first


cdef inline void winners_of_runs(
    const winners_row* w, const vector_t* row, Py_ssize_t place, vector_t* values, void* places,
    int64_t* indices,
) noexcept nogil:
    if vector_t is float:
        winners_of_runs_float(w, row, <int32_t>place, values, <int32_t*>places, indices)
    else:
        winners_of_runs_double(w, row, place, values, <int64_t*>places, indices)


cdef inline void winners_down(
    const char* src, Py_ssize_t src_row, Py_ssize_t rows, Py_ssize_t place, Py_ssize_t place_row,
    Py_ssize_t n, bint more, vector_t* values, void* places,
) noexcept nogil:
    if vector_t is float:
        winners_down_float(
            src, src_row, rows, <int32_t>place, <int32_t>place_row, n, more, values,
            <int32_t*>places,
        )
    else:
        winners_down_double(
            src, src_row, rows, place, place_row, n, more, values, <int64_t*>places
        )


cdef inline void winners_across(
    const winners_row* w, const vector_t* columns, const void* column_places, vector_t* values,
    void* places, int64_t* indices,
) noexcept nogil:
    if vector_t is float:
        winners_across_float(
            w, columns, <const int32_t*>column_places, values, <int32_t*>places, indices
        )
    else:
        winners_across_double(
            w, columns, <const int64_t*>column_places, values, <int64_t*>places, indices
        )
