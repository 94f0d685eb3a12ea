# Winners of small windows of one channel that slide: down strips of columns, in registers
# (_strips.h).

cdef extern from "_winners.h" nogil:
    ctypedef struct strips_tile:
        const void* src
        Py_ssize_t src_row, src_depth, src_plane, ahead
        int depths
        int64_t place, place_depth
        Py_ssize_t y, y_end, x, x_end
        void* values
        void* places
        int64_t* indices
        Py_ssize_t values_row, places_row, planes, values_plane, places_plane
    void winners_in_strips_float(const strips_t* strips, const strips_tile* tile)
    void winners_in_strips_double(const strips_t* strips, const strips_tile* tile)


cdef bint fits_strips(const job_t* job) noexcept nogil:
    """Small windows of one channel that slide, each of which has taps."""
    cdef const axis_t* width = &job.window[2]
    return (
        job.channels == 1 and slides_over_taps(&job.window[0])
        and slides_over_taps(&job.window[1]) and slides_over_taps(width)
        and job.window[1].kernel_size <= 3 and width.kernel_size <= MOST_COLUMNS
        and (
            width.stride == 1 or width.stride == 2 and 2 <= width.kernel_size <= 3
            or width.stride == width.kernel_size == 4
        )
    )


cdef void plan_strips(job_t* job) noexcept nogil:
    """The geometry, and tiles whose rows stay in the cache while strips go down."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef strips_t* strips = &job.strips
    strips.columns = <int>width.kernel_size
    strips.stride = <int>width.stride
    strips.padding = width.padding
    strips.input_columns = width.input_size
    strips.rows = <int>height.kernel_size
    strips.row_stride = height.stride
    strips.row_padding = height.padding
    strips.input_rows = height.input_size
    strips.outputs = width.output_size
    strips.inner = ceil_div(width.padding, width.stride)
    strips.outer = min(width.output_size, floor_div(
        width.input_size - width.kernel_size + width.padding, width.stride
    ) + 1)
    # Tiles of equal width: none is less than a vector.
    job.tile_x = ceil_div(width.output_size, ceil_div(width.output_size, TILE))
    job.tile_y = 2 * TILE // (job.tile_x * height.stride * width.stride)
    job.tile_y = min(height.output_size, max(2 * height.kernel_size, job.tile_y))


cdef void find_in_strips(
    const job_t* job, const tile_t* tile, const sink_t* sink, vector_t* scratch
) noexcept nogil:
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t z = first_tap(depth, tile.z), y = span_begin(height, tile.y), row
    cdef Py_ssize_t rows = span_end(height, tile.y_end - 1) - y
    cdef vector_t* loaded = scratch + job.at_loaded
    cdef const char* src = tile.src_offset + address(&job.src, z, y, tile.column, 0)
    cdef strips_tile t
    t.depths = <int>tap_count(depth, tile.z)
    t.place_depth = height.input_size * job.window[2].input_size
    t.place = z * t.place_depth
    if job.direct_rows:
        t.src_row = job.src.stride[1]
        t.src_depth = job.src.stride[0]
        t.src = src - y * job.src.stride[1] - tile.column * job.src.item
        t.ahead = (tile.y_end - tile.y) * height.stride * job.src.stride[1]
        if sink.planes > 1:
            t.ahead = sink.planes * job.batch_stride[0][0]
        elif height.input_size == 1:
            t.ahead = AHEAD
        elif tile.y_end - tile.y == height.output_size:
            t.ahead = depth.stride * job.src.stride[0]
    else:
        t.src_row = tile.columns * <Py_ssize_t>sizeof(vector_t)
        t.src_depth = rows * t.src_row
        t.src = loaded - y * tile.columns - tile.column
        t.ahead = 0
        for z in range(z, z + t.depths):
            for row in range(y, y + rows):
                load_columns(
                    &job.src, WHOLE,
                    tile.src_offset + address(&job.src, z, row, tile.column, 0), tile.columns, 1,
                    loaded,
                )
                loaded += tile.columns
    t.y = tile.y
    t.y_end = tile.y_end
    t.x = tile.x
    t.x_end = tile.x_end
    t.values = sink.values
    t.values_row = sink.values_row
    t.places = sink.places
    t.indices = <int64_t*>sink.places if sink.as_indices else NULL
    t.places_row = sink.places_row
    t.planes = sink.planes
    t.src_plane = job.batch_stride[0][0]
    t.values_plane = sink.values_plane
    t.places_plane = sink.places_plane
    if vector_t is float:
        winners_in_strips_float(&job.strips, &t)
    else:
        winners_in_strips_double(&job.strips, &t)
