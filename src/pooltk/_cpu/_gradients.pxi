# The backward of a maximum: each gradient goes to the tap that won.
#
# Where few windows hold an element, its gradient is gathered from them; else gradients are
# scattered. Either adds them up in the order of the outputs.

cdef extern from "_winners.h" nogil:
    void narrow_places(const int64_t* indices, int32_t* places, Py_ssize_t n)
    void gather_pixels_float(
        int rows, const int32_t** places, const float** grads, const Py_ssize_t* begin,
        const Py_ssize_t* end, int32_t place, Py_ssize_t columns, Py_ssize_t channels, float* dst,
        Py_ssize_t dst_pixel,
    )
    void gather_pixels_double(
        int rows, const int64_t** places, const double** grads, const Py_ssize_t* begin,
        const Py_ssize_t* end, int64_t place, Py_ssize_t columns, Py_ssize_t channels,
        double* dst, Py_ssize_t dst_pixel,
    )
    ctypedef struct pairs_t:
        Py_ssize_t pairs, outputs
        const void* row[2]
        Py_ssize_t src_pair
        const int64_t* indices
        Py_ssize_t indices_row
        int64_t place
        Py_ssize_t columns
        const void* grads
        Py_ssize_t grads_row
        void* dst[2]
        Py_ssize_t dst_pair
    void gather_pairs_float(const pairs_t* pairs)
    void gather_pairs_double(const pairs_t* pairs)
    enum:
        AT_ONCE  # planes that are scattered to
    ctypedef struct scatter_t:
        Py_ssize_t planes, block_plane, indices_plane, grads_plane
        Py_ssize_t begin, length
        Py_ssize_t step
        Py_ssize_t n, channels
    bint scatter_float(
        const scatter_t* s, float* block, const int64_t* indices, const float* grads
    )
    bint scatter_double(
        const scatter_t* s, double* block, const int64_t* indices, const double* grads
    )
    void one_nan_each_float(float* block, Py_ssize_t n)
    void one_nan_each_double(double* block, Py_ssize_t n)

ctypedef fused grad_t:
    float
    double

ctypedef fused half_t:
    float16_t
    bfloat16_t

cdef enum:
    BLOCK = 32768        # gradients that are added up in scratch before they are stored
    PART = 8192          # elements of small planes that are scattered to at once
    LEAST_SPARSE = 1024  # elements of planes of halves that few gradients are scattered to
    MOST_SPARSE = 131072
    SPARSE_PLANES = 64   # of which so many share the block that is cleared
    GATHERED = 32768     # outputs that the gradients of a block are gathered from, at most
    MOST_GATHERED = 12   # windows that hold an element, of those that are gathered


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


cdef inline Py_ssize_t most_windows(const axis_t* axis) noexcept nogil:
    """So many hold an element, at most."""
    if axis.kind == ADAPTIVE:
        return axis.output_size // axis.input_size + 2
    return min(axis.output_size, ceil_div(extent(axis), axis.stride))


# Gathered -------------------------------------------------------------------------------------

cdef bint may_gather(const job_t* job, const winner_t* _, const grad_t* grad) noexcept nogil:
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    if not (
        winner_t is float and grad_t is float or winner_t is double and grad_t is double
    ):
        return False
    if job.way == SCANNED or job.channels < FEW_CHANNELS:
        return False
    if (
        most_windows(&job.window[0]) * most_windows(height) > MOST_GATHERED // most_windows(width)
        or job.window[0].output_size * width.output_size * most_windows(height)
        > GATHERED // job.tile_c
    ):
        return False
    return True


cdef void plan_gather(job_t* job, const vector_t* _, Py_ssize_t parts) noexcept nogil:
    """Blocks of rows, as many as `parts` at least where there are so many; and their scratch."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t n = job.window[0].output_size * width.output_size * job.tile_c, rows
    rows = max(2 * most_windows(height) + 1, GATHERED // n)
    # Rows of outputs that a block of so many rows needs.
    job.block_rows = height.input_size
    while job.block_rows > 1 and (
        windows_of_block(height, job.block_rows) > rows
        or ceil_div(height.input_size, job.block_rows) < parts
        and job.block_rows > 4 * extent(height)
    ):
        job.block_rows = ceil_div(job.block_rows, 2)
    job.blocks[0] = ceil_div(height.input_size, job.block_rows)
    rows = windows_of_block(height, job.block_rows)
    job.gathered_row = width.output_size * job.tile_c
    job.at_gathered = reserve(job, job.window[0].output_size * rows * job.gathered_row)
    job.at_grads = reserve(job, job.window[0].output_size * rows * job.gathered_row)
    job.at_values = reserve(job, job.tile_x * job.tile_c)
    job.at_indices = reserve(
        job, width.output_size * job.tile_c * 8 // <Py_ssize_t>sizeof(vector_t)
    )
    job.at_windows = reserve(
        job, 2 * width.input_size * <Py_ssize_t>sizeof(Py_ssize_t) // <Py_ssize_t>sizeof(vector_t)
    )
    job.at_result = reserve(job, width.input_size * job.tile_c)


cdef inline Py_ssize_t windows_of_block(const axis_t* axis, Py_ssize_t rows) noexcept nogil:
    """Windows, at most, that hold elements of so many adjacent rows."""
    if axis.kind == ADAPTIVE:
        return min(axis.output_size, rows * axis.output_size // axis.input_size + 2)
    return min(axis.output_size, (rows - 1) // axis.stride + 1 + most_windows(axis))


cdef void gather_block(
    const job_t* job, tile_t* tile, Py_ssize_t row, Py_ssize_t row_end, vector_t* scratch
) noexcept nogil:
    """Rows of gradients of one item, at all depths: those of all windows that may reach them."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t y_begin = first_window(height, row)
    cdef Py_ssize_t rows = max(0, end_window(height, row_end) - y_begin)
    cdef Py_ssize_t channels = tile.channels, z, y, x, oz, oy, line
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    cdef Py_ssize_t* windows = <Py_ssize_t*>(scratch + job.at_windows)
    cdef vector_t* places = scratch + job.at_gathered
    cdef vector_t* grads = scratch + job.at_grads
    cdef vector_t* result
    cdef char* dst
    cdef const void* place_rows[MOST_GATHERED]
    cdef const vector_t* grad_rows[MOST_GATHERED]
    cdef int count
    cdef bint direct = (
        job.dst.kind == kind_of(scratch) and job.dst.stride[3] == job.dst.item
        and job.dst.stride[2] % job.dst.item == 0
    )
    cdef Py_ssize_t dst_pixel = job.dst.stride[2] // job.dst.item if direct else channels
    for z in range(depth.output_size):
        tile.z = z
        tile.z_end = z + 1
        place_winners(job, tile, y_begin, y_begin + rows, scratch)
    for x in range(width.input_size):
        windows[x] = first_window(width, x)
        windows[width.input_size + x] = end_window(width, x + 1)
    for z in range(depth.input_size):
        for y in range(row, row_end):
            count = 0
            for oz in range(first_window(depth, z), end_window(depth, z + 1)):
                for oy in range(first_window(height, y), end_window(height, y + 1)):
                    line = (oz * rows + oy - y_begin) * job.gathered_row
                    place_rows[count] = places + line
                    grad_rows[count] = grads + line
                    count += 1
            dst = dst_offset + address(&job.dst, z, y, 0, tile.c)
            result = <vector_t*>dst if direct else scratch + job.at_result
            line = (z * height.input_size + y) * width.input_size
            if vector_t is float:
                gather_pixels_float(
                    count, <const int32_t**>place_rows, grad_rows, windows,
                    windows + width.input_size, <int32_t>line, width.input_size, channels,
                    result, dst_pixel,
                )
            else:
                gather_pixels_double(
                    count, <const int64_t**>place_rows, grad_rows, windows,
                    windows + width.input_size, line, width.input_size, channels, result,
                    dst_pixel,
                )
            if not direct:
                store_columns(&job.dst, result, dst, width.input_size, channels)


cdef void place_winners(
    const job_t* job, tile_t* tile, Py_ssize_t y_begin, Py_ssize_t y_end, vector_t* scratch
) noexcept nogil:
    """Rows of places and of gradients, of one depth."""
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t channels = tile.channels, outputs = width.output_size * channels
    cdef Py_ssize_t y, x, line
    cdef Py_ssize_t indices_offset = batch_offset(job, job.batch_stride[2], tile.item)
    cdef Py_ssize_t grad_offset = batch_offset(job, job.batch_stride[3], tile.item)
    cdef vector_t* places = scratch + job.at_gathered
    cdef vector_t* grads = scratch + job.at_grads
    cdef int64_t* indices = <int64_t*>(scratch + job.at_indices)
    cdef sink_t sink
    line = tile.z * (y_end - y_begin) * job.gathered_row
    places += line
    grads += line
    if job.indices.data == NULL:
        sink.values = NULL if needs_no_values(job) else scratch + job.at_values
        sink.values_row = sink.values_depth = 0
        sink.places_row = job.gathered_row
        sink.places_depth = 0  # one depth at a time
        sink.as_indices = False
        sink.planes = 1
        y = y_begin
        while y < y_end:
            tile.y = y
            tile.y_end = min(y + job.tile_y, y_end)
            x = 0
            while x < width.output_size:
                tile.x = x
                tile.x_end = min(x + job.tile_x, width.output_size)
                place_columns(job, tile)
                sink.places = places + (y - y_begin) * job.gathered_row + x * channels
                find_winners(job, tile, &sink, scratch)
                x += job.tile_x
            y += job.tile_y
    for y in range(y_begin, y_end):
        if job.indices.data != NULL:
            load_columns(
                &job.indices, WHOLE, indices_offset + address(&job.indices, tile.z, y, 0, tile.c),
                width.output_size, channels, indices,
            )
            if vector_t is float:
                narrow_places(indices, <int32_t*>places, outputs)
            else:
                copy(indices, <int64_t*>places, outputs)
        load_columns(
            &job.grad, WHOLE, grad_offset + address(&job.grad, tile.z, y, 0, tile.c),
            width.output_size, channels, grads,
        )
        places += job.gathered_row
        grads += job.gathered_row


# Windows of 2 x 2, stride 2, the commonest of all: masks tell winners.

cdef bint are_pairs(const job_t* job) noexcept nogil:
    cdef const axis_t* axis
    cdef int i
    for i in range(3):
        axis = &job.window[i]
        if (
            axis.kind != SLIDING or axis.kernel_size != (1 if i == 0 else 2)
            or axis.stride != axis.kernel_size or axis.padding or axis.dilation != 1
            or axis.output_size * axis.kernel_size > axis.input_size
        ):
            return False
    # Of indices of short rows, scattering them is as fast.
    return job.channels == 1 and 8 <= job.window[2].input_size <= GATHERED and (
        job.indices.data == NULL
        or job.window[2].input_size >= 16 and plane_size(job) <= INT32_MAX
    )


cdef void plan_pairs(
    job_t* job, const vector_t* _, Py_ssize_t parts, Py_ssize_t num_threads
) noexcept nogil:
    """Small planes, some at a time; or blocks of an even number of rows."""
    cdef Py_ssize_t columns = job.window[2].input_size
    cdef bint by_index = job.indices.data != NULL
    job.block_rows = 2 * ceil_div(job.window[1].output_size, parts)
    job.blocks[0] = ceil_div(job.window[1].input_size, job.block_rows)
    if job.blocks[0] == 1 and job.batch_axes == 1:
        job.planes = max(1, min(PART // plane_size(job), job.items // (4 * num_threads)))
    job.chunk_y = max(2, TILE // columns // 2 * 2)  # rows that are in scratch at once, if any is
    job.at_loaded = reserve(job, 2 * job.chunk_y * columns)
    job.at_indices = reserve(job, job.chunk_y * columns)
    job.at_result = reserve(job, job.chunk_y * columns)
    if (
        rows_are_direct(&job.dst, kind_of(_), 1) and rows_are_direct(&job.grad, kind_of(_), 1)
        and rows_are_direct(
            &job.indices if by_index else &job.src, INT64 if by_index else kind_of(_), 1
        )
    ):
        job.chunk_y = job.block_rows


cdef void gather_pairs_block(
    const job_t* job, Py_ssize_t item, Py_ssize_t row, Py_ssize_t row_end, vector_t* scratch
) noexcept nogil:
    """Rows of gradients of one item, at all depths, from an even one on."""
    cdef Py_ssize_t columns = job.window[2].input_size, outputs = job.window[2].output_size
    cdef Py_ssize_t offset[4]
    cdef Py_ssize_t z, y, rows, whole, dst_row, i
    cdef vector_t* loaded = scratch + job.at_loaded
    cdef vector_t* result
    cdef char* dst
    cdef bint direct = rows_are_direct(&job.dst, kind_of(scratch), 1)
    cdef pairs_t w
    for i in range(4):
        offset[i] = batch_offset(job, job.batch_stride[i], item)
    w.outputs = outputs
    w.columns = columns
    w.indices = NULL
    dst_row = job.dst.stride[1] if direct else columns * <Py_ssize_t>sizeof(vector_t)
    w.dst_pair = 2 * dst_row
    for z in range(job.window[0].input_size):
        y = row
        while y < row_end:
            whole = 2 * min(row_end // 2, job.window[1].output_size) - y
            rows = min(job.chunk_y, row_end - y if whole <= 0 else whole)
            dst = offset[1] + address(&job.dst, z, y, 0, 0)
            result = <vector_t*>dst if direct else scratch + job.at_result
            w.dst[0] = result
            w.dst[1] = <char*>result + dst_row
            w.pairs = rows // 2 if whole > 0 else 0
            if w.pairs:
                if job.indices.data == NULL:
                    w.row[0] = rows_of(
                        &job.src, offset[0], z, y, rows, columns, loaded, &w.src_pair
                    )
                    w.row[1] = <const char*>w.row[0] + w.src_pair
                    w.src_pair *= 2
                else:
                    w.indices = <const int64_t*>rows_of(
                        &job.indices, offset[2], z, y // 2, w.pairs, outputs,
                        <int64_t*>(scratch + job.at_indices), &w.indices_row,
                    )
                    w.place = (z * job.window[1].input_size + y) * columns
                w.grads = rows_of(
                    &job.grad, offset[3], z, y // 2, w.pairs, outputs,
                    loaded + job.chunk_y * columns, &w.grads_row,
                )
                if vector_t is float:
                    gather_pairs_float(&w)
                else:
                    gather_pairs_double(&w)
            for i in range(0 if w.pairs and columns == 2 * outputs else rows):
                dst = <char*>result + i * dst_row
                whole = 2 * outputs if w.pairs else 0
                fill(<vector_t*>dst + whole, <vector_t>0, columns - whole)
            if not direct:
                i = z * job.window[1].input_size + y
                store_block(job, offset[1], i, i + rows, 0, columns, 0, 1, result)
            y += rows


cdef const void* rows_of(
    const array_t* array, Py_ssize_t offset, Py_ssize_t z, Py_ssize_t y, Py_ssize_t rows,
    Py_ssize_t columns, acc_t* loaded, Py_ssize_t* stride,
) noexcept nogil:
    """Rows of one channel where they lie, or, if they are of other elements, where they are put;
    and how far apart."""
    cdef const char* src = offset + address(array, z, y, 0, 0)
    stride[0] = array.stride[1]
    if rows_are_direct(array, kind_of(loaded), 1):
        return src
    stride[0] = columns * sizeof(acc_t)
    load_rows(array, src, array.stride[1], rows, columns, loaded)
    return loaded


cdef inline bint needs_no_values(const job_t* job) noexcept nogil:
    """Whether winners are found without room for what they are."""
    return job.way == IN_STRIPS or job.way == RANKED


# Scattered ------------------------------------------------------------------------------------

cdef void find_row_winners(
    const job_t* job, tile_t* tile, Py_ssize_t planes, winner_t* scratch, int64_t* indices
) noexcept nogil:
    """The winners of some outputs, which may be wider than a tile; of planes `chunk` apart."""
    cdef Py_ssize_t x = tile.x, x_end = tile.x_end
    cdef sink_t sink
    sink.values = NULL if needs_no_values(job) else scratch + job.at_values
    sink.values_row = sink.values_depth = 0
    sink.planes = planes
    sink.values_plane = 0
    sink.places_plane = job.chunk
    sink.places_row = (x_end - x) * tile.channels
    sink.places_depth = (tile.y_end - tile.y) * sink.places_row
    sink.as_indices = True
    while tile.x < x_end:
        tile.x_end = min(tile.x + job.tile_x, x_end)
        place_columns(job, tile)
        sink.places = indices + (tile.x - x) * tile.channels
        find_winners(job, tile, &sink, scratch)
        tile.x = tile.x_end
    tile.x = x


cdef inline Py_ssize_t depths_at_once(
    const job_t* job, Py_ssize_t at_once, Py_ssize_t rows, Py_ssize_t row
) noexcept nogil:
    """Of how many depths all rows' winners are found at once, if so many rows' are."""
    if at_once < rows:
        return 1
    return max(1, min(job.tile_z, job.chunk // max(1, rows * row)))


cdef bint scatter_rows(
    const job_t* job, tile_t* tile, scatter_t* s, winner_t* scratch, grad_t* grads, grad_t* block
) noexcept nogil:
    """Add the gradients of some outputs, in row-major order, to those winners that lie in the
    block; or of some planes, to theirs. Returns whether some sum may be NaN."""
    cdef int64_t* found = <int64_t*>(scratch + job.at_indices)
    cdef const int64_t* indices
    cdef const grad_t* gradients
    cdef Py_ssize_t channels = tile.channels, x = tile.x, outputs = tile.x_end - x, rows = 1
    cdef Py_ssize_t item = tile.item, at = 0, at_once = planes_at_once(job), z, y, p = 0
    cdef Py_ssize_t grad_offset = batch_offset(job, job.batch_stride[3], item)
    cdef Py_ssize_t indices_offset = batch_offset(job, job.batch_stride[2], item)
    cdef const char* src
    cdef bint any_nan = False
    while job.indices.data == NULL and p < s.planes:
        tile.src_offset = batch_offset(job, job.batch_stride[0], item + p)
        find_row_winners(
            job, tile, min(at_once, s.planes - p), scratch, found + p * job.chunk
        )
        p += at_once
    if job.whole_rows and channels == 1 and outputs == job.window[2].output_size:
        rows = tile.y_end - tile.y  # which lie one behind the other
    s.n = rows * outputs
    for z in range(tile.z, tile.z_end):
        y = tile.y
        while y < tile.y_end:
            src = grad_offset + address(&job.grad, z, y, x, tile.c)
            gradients = <const grad_t*>src
            s.grads_plane = job.batch_stride[3][0] // <Py_ssize_t>sizeof(grad_t)
            if not job.whole_rows:
                load_columns(&job.grad, WHOLE, src, outputs, channels, grads)
                gradients = grads
            elif not job.direct_grads:
                s.grads_plane = s.n
                for p in range(s.planes):
                    load_row(
                        job.grad.kind, WHOLE, src + p * job.batch_stride[3][0], job.grad.item,
                        grads + p * s.n, s.n * channels,
                    )
                gradients = grads
            indices = found + at
            s.indices_plane = job.chunk
            if job.indices.data != NULL:
                src = indices_offset + address(&job.indices, z, y, x, tile.c)
                indices = <const int64_t*>src
                s.indices_plane = job.batch_stride[2][0] // <Py_ssize_t>sizeof(int64_t)
                if not job.whole_rows:
                    load_columns(&job.indices, WHOLE, src, outputs, channels, found)
                    indices = found
            any_nan |= scatter(s, block, indices, gradients)
            at += s.n * channels
            y += rows
    return any_nan


cdef inline bint scatter(
    const scatter_t* s, grad_t* block, const int64_t* indices, const grad_t* grads
) noexcept nogil:
    if grad_t is float:
        return scatter_float(s, block, indices, grads)
    else:
        return scatter_double(s, block, indices, grads)


cdef inline void one_nan_each(grad_t* block, Py_ssize_t n) noexcept nogil:
    """Which NaN a sum of several has is the compiler's choice."""
    if grad_t is float:
        one_nan_each_float(block, n)
    else:
        one_nan_each_double(block, n)


cdef void scatter_block(
    const job_t* job, tile_t* tile, Py_ssize_t planes, Py_ssize_t block_index, winner_t* scratch,
    grad_t* grads,
) noexcept nogil:
    """Gradients of one block of the input, or of some whole planes of one channel: every window
    that may reach it, in row-major order."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t rows = depth.input_size * height.input_size, row, row_end, column, column_end
    cdef Py_ssize_t z, y, x, y_begin, y_end, x_begin, x_end, step_x, step_y, step_z, z_end, n, p
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    cdef grad_t* block = grads + job.planes * job.chunk
    cdef bint any_nan = False
    cdef scatter_t s
    column = block_index % job.blocks[1] * job.block_columns
    row = block_index // job.blocks[1] * job.block_rows
    row_end = min(rows, row + job.block_rows)
    column_end = min(width.input_size, column + job.block_columns)
    s.planes = planes
    s.step = 1
    s.channels = tile.channels
    s.begin = row * width.input_size + column
    s.length = (row_end - 1) * width.input_size + column_end - s.begin
    n = s.block_plane = s.length * tile.channels
    if job.direct_block:
        s.block_plane = job.batch_stride[1][0] // <Py_ssize_t>sizeof(grad_t)
        block = <grad_t*>(
            dst_offset + address(
                &job.dst, row // height.input_size, row % height.input_size, column, tile.c
            )
        )
    clear_planes(block, s.block_plane, planes, n)
    y_begin = 0
    y_end = height.output_size
    if depth.input_size == 1:
        y_begin = first_window(height, row)
        y_end = end_window(height, row_end)
    x_begin = first_window(width, column)
    x_end = end_window(width, column_end)
    z = first_window(depth, row // height.input_size)
    z_end = end_window(depth, (row_end - 1) // height.input_size + 1)
    # Whole rows, as many as there is room for; or parts of one.
    step_x = max(1, min(x_end - x_begin, job.chunk // tile.channels))
    step_y = step_z = 1
    if step_x == x_end - x_begin:
        if job.indices.data == NULL:
            step_y = max(1, min(job.tile_y, job.chunk // (step_x * tile.channels)))
            step_z = depths_at_once(job, step_y, y_end - y_begin, step_x * tile.channels)
        elif job.direct_grads:
            step_y = max(1, y_end - y_begin)
            step_z = z_end - z
        else:
            step_y = max(1, job.chunk // (step_x * tile.channels))
    while z < z_end:
        tile.z = z
        tile.z_end = min(z + step_z, z_end)
        y = y_begin
        while y < y_end:
            tile.y = y
            tile.y_end = min(y + step_y, y_end)
            x = x_begin
            while x < x_end:
                tile.x = x
                tile.x_end = min(x + step_x, x_end)
                any_nan |= scatter_rows(job, tile, &s, scratch, grads, block)
                x += step_x
            y += step_y
        z = tile.z_end
    for p in range(planes if any_nan else 0):
        one_nan_each(block + p * s.block_plane, n)
    for p in range(0 if job.direct_block else planes):
        store_block(
            job, batch_offset(job, job.batch_stride[1], tile.item + p), row, row_end, column,
            column_end, tile.c, tile.channels, block + p * n,
        )


cdef void scatter_few(
    const job_t* job, tile_t* tile, Py_ssize_t planes, winner_t* scratch, grad_t* grads
) noexcept nogil:
    """As scatter_block, whole planes of halves that hardly any gradient reaches: what none does is
    zero, and never converted."""
    cdef Py_ssize_t length = plane_size(job), first = tile.item, n, p, i
    cdef grad_t* block = grads + job.chunk
    cdef const int64_t* indices = <int64_t*>(scratch + job.at_indices)
    cdef char* dst
    cdef scatter_t s
    tile.y = tile.x = tile.z = 0
    tile.z_end = 1
    tile.y_end = job.window[1].output_size
    tile.x_end = job.window[2].output_size
    n = tile.y_end * tile.x_end
    s.planes = s.step = s.channels = 1
    s.begin = 0
    s.length = s.block_plane = length
    clear_planes(block, length, 1, length)
    for p in range(planes):
        tile.item = first + p
        dst = batch_offset(job, job.batch_stride[1], tile.item) + address(&job.dst, 0, 0, 0, 0)
        memset(dst, 0, length * job.dst.item)
        scatter_rows(job, tile, &s, scratch, grads, block)
        if job.indices.data != NULL:
            indices = <const int64_t*>(
                batch_offset(job, job.batch_stride[2], tile.item)
                + address(&job.indices, 0, 0, 0, 0)
            )
        if job.dst.kind == FLOAT16:
            store_few(block, length, indices, n, <float16_t*>dst)
        else:
            store_few(block, length, indices, n, <bfloat16_t*>dst)
        for i in range(n):
            if 0 <= indices[i] < length:
                block[indices[i]] = 0


cdef inline void store_few(
    const grad_t* block, Py_ssize_t length, const int64_t* indices, Py_ssize_t n, half_t* dst
) noexcept nogil:
    cdef Py_ssize_t i
    cdef grad_t sum
    for i in range(n):
        if 0 <= indices[i] < length:
            sum = one_nan(block[indices[i]])
            restore(&sum, dst + indices[i])


cdef bint are_few(const job_t* job) noexcept nogil:
    """Whether scatter_few serves."""
    cdef Py_ssize_t outputs = job.window[1].output_size * job.window[2].output_size
    return (
        (job.dst.kind == FLOAT16 or job.dst.kind == BFLOAT16) and job.channels == 1
        and job.whole_rows and is_run(&job.dst, job.dst.kind, 1, job.window[0].input_size)
        and job.window[0].output_size == 1 and LEAST_SPARSE <= plane_size(job) <= MOST_SPARSE
        and outputs <= plane_size(job) // 32 and outputs <= 2 * WINNERS
        and (
            job.indices.data != NULL
            or job.tile_y >= job.window[1].output_size and job.tile_x >= job.window[2].output_size
        )
    )


cdef inline void clear_planes(
    grad_t* block, Py_ssize_t block_plane, Py_ssize_t planes, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t p
    if block_plane == n:  # one behind the other
        n *= planes
        planes = 1
    for p in range(planes):
        memset(block + p * block_plane, 0, n * sizeof(grad_t))


cdef inline bint is_run(
    const array_t* array, kind_t kind, Py_ssize_t channels, Py_ssize_t depth
) noexcept nogil:
    """Whether its rows lie one behind the other, and so many depths of them."""
    return rows_are_direct(array, kind, channels) and (
        array.stride[1] == array.size[2] * array.stride[2]
        and (depth == 1 or array.stride[0] == array.size[1] * array.stride[1])
    )


cdef Py_ssize_t plan_scatter(
    job_t* job, const winner_t* _, const grad_t* grad, Py_ssize_t num_threads
) noexcept nogil:
    """Blocks of the input; and the gradients that a thread has in scratch."""
    cdef Py_ssize_t rows = job.window[0].input_size * job.window[1].input_size
    cdef Py_ssize_t columns = job.window[2].input_size, size
    job.direct_block = job.tile_c == job.channels and is_run(
        &job.dst, kind_of(grad), job.channels, job.window[0].input_size
    )
    job.direct_grads = job.grad.kind == kind_of(grad)
    job.whole_rows = (
        job.tile_c == job.channels and is_run(&job.grad, job.grad.kind, job.channels, 1)
        and (job.indices.data == NULL or is_run(&job.indices, INT64, job.channels, 1))
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
    if (
        job.channels == 1 and job.batch_axes == 1 and job.whole_rows
        and job.blocks[0] * job.blocks[1] == 1 and job.window[2].output_size <= WINNERS
        and (job.direct_block or AT_ONCE * rows * columns <= 2 * BLOCK)
    ):
        job.planes = AT_ONCE * max(1, PART // (AT_ONCE * rows * columns))
        job.planes = max(1, min(job.planes, job.items // (4 * num_threads)))
    job.sparse = are_few(job)
    if job.sparse:
        job.block_columns = columns
        job.block_rows = rows
        job.blocks[0] = job.blocks[1] = 1
        job.planes = max(1, min(SPARSE_PLANES, job.items // (4 * num_threads)))
        job.chunk = job.window[1].output_size * job.window[2].output_size
        job.at_values = reserve(job, job.tile_x)
        job.at_indices = reserve(job, job.chunk * 8 // <Py_ssize_t>sizeof(winner_t))
        return job.chunk + 64 + rows * columns
    size = job.window[2].output_size * job.tile_c
    job.chunk = max(job.tile_x * job.tile_c, min(2 * WINNERS, job.tile_z * job.tile_y * size))
    job.at_values = reserve(job, job.tile_x * job.tile_c)
    job.at_indices = reserve(job, job.planes * job.chunk * 8 // <Py_ssize_t>sizeof(winner_t))
    size = job.planes * job.chunk + 64
    if not job.direct_block:
        size += job.planes * job.block_rows * job.block_columns * job.tile_c
    return size


# Either ---------------------------------------------------------------------------------------

cdef void backward_part(const job_t* job, Py_ssize_t index, winner_t* scratch) noexcept nogil:
    if job.grad.kind == FLOAT64:
        backward_block(job, index, scratch, <double*>(scratch + job.scratch_size))
    else:
        backward_block(job, index, scratch, <float*>(scratch + job.scratch_size))


cdef void backward_block(
    const job_t* job, Py_ssize_t index, winner_t* scratch, grad_t* grads
) noexcept nogil:
    cdef tile_t tile
    cdef Py_ssize_t blocks = job.blocks[0] if job.gathers else job.blocks[0] * job.blocks[1]
    cdef Py_ssize_t row, row_end, item, block_planes
    cdef Py_ssize_t block = index % blocks
    index //= blocks
    tile.limb = WHOLE
    place_channels(job, index % job.tiles[4], &tile)
    tile.item = index // job.tiles[4] * job.planes
    tile.src_offset = batch_offset(job, job.batch_stride[0], tile.item)
    if winner_t is float or winner_t is double:
        if job.gathers:
            row = block * job.block_rows
            row_end = min(row + job.block_rows, job.window[1].input_size)
            if job.pairs:
                for item in range(tile.item, min(tile.item + job.planes, job.items)):
                    gather_pairs_block(job, item, row, row_end, scratch)
            else:
                gather_block(job, &tile, row, row_end, scratch)
            return
    block_planes = min(job.planes, job.items - tile.item)
    if job.sparse:
        scatter_few(job, &tile, block_planes, scratch, grads)
    else:
        scatter_block(job, &tile, block_planes, block, scratch, grads)


cdef int max_backward(
    job_t* job, const winner_t* _, const grad_t* grad, int num_threads
) except -1:
    cdef Py_ssize_t total, parts = 4 * <Py_ssize_t>num_threads, grads_size = 0, most_channels
    cdef job_t by_ranks
    if is_one_window(job) and is_run(&job.dst, job.dst.kind, 1, job.window[0].input_size):
        merge_axes(job)
        see_as_row(&job.dst)
    job.pairs = False
    if winner_t is float and grad_t is float or winner_t is double and grad_t is double:
        job.pairs = are_pairs(job)
        if not job.pairs and scatters_joined(job, _):
            return scatter_joined(job, _, num_threads)
    # Of so many channels that there is room for some rows of outputs.
    most_channels = GATHERED // 8 // job.window[2].output_size // 16 * 16
    plan_winners(job, _, &by_ranks, max(64, min(256, most_channels)))
    job.gathers = job.pairs or may_gather(job, _, grad)
    job.planes = 1
    total = job.items * job.tiles[4]
    parts = ceil_div(parts, total) if num_threads > 1 else 1
    if not job.gathers:
        grads_size = plan_scatter(job, _, grad, num_threads)
        total = ceil_div(total, job.planes) * job.blocks[1]
    elif winner_t is float or winner_t is double:
        if job.pairs:
            plan_pairs(job, _, parts, num_threads)
            total = ceil_div(total, job.planes)
        else:
            plan_gather(job, _, parts)
    total *= job.blocks[0]
    return share_parts(
        <part_t>backward_part[winner_t], job, total,
        job.scratch_size * sizeof(winner_t) + grads_size * sizeof(grad_t), num_threads,
    )


# Planes side by side --------------------------------------------------------------------------

cdef inline bint keeps_all(const job_t* job, const vector_t* _) noexcept nogil:
    """Whether all winners of a plane are found before they are scattered: gradients are added up
    one depth after the other, and where they do not belong one plane after the other."""
    return job.window[0].output_size > 1 or not is_run(
        &job.dst, kind_of(_), 1, job.window[0].input_size
    )


cdef bint scatters_joined(const job_t* job, const vector_t* _) noexcept nogil:
    cdef Py_ssize_t rows = job.window[0].output_size
    if keeps_all(job, _):
        rows *= job.window[1].output_size
    return (
        job.indices.data == NULL and winners_may_join(job, _)
        and rows * job.window[2].output_size <= JOINED // PLANES
    )


cdef int scatter_joined(job_t* job, const vector_t* _, int num_threads) except -1:
    """Winners of PLANES planes are found at once; what they won is added to each plane."""
    cdef job_t inner, by_ranks
    cdef Py_ssize_t outputs = job.window[0].output_size * job.window[2].output_size
    job.block_rows = joined_winners_plan(job, &inner, &by_ranks, _)
    job.chunk = job.block_rows
    if outputs * job.window[1].output_size <= JOINED // PLANES:
        job.chunk = job.window[1].output_size
    outputs *= job.chunk
    job.at_indices = reserve(&inner, outputs * PLANES * 8 // <Py_ssize_t>sizeof(vector_t))
    # Gradients that are read, and added up, where they are need no room.
    job.whole_rows = is_run(&job.grad, kind_of(_), 1, 1)
    job.at_grads = reserve(&inner, 0 if job.whole_rows else outputs)
    job.direct_block = is_run(&job.dst, kind_of(_), 1, job.window[0].input_size)
    job.at_result = reserve(&inner, 0 if job.direct_block else plane_size(job))
    return share_parts(
        <part_t>scatter_group[vector_t], job, ceil_div(job.items, PLANES),
        inner.scratch_size * sizeof(vector_t), num_threads,
    )


cdef inline Py_ssize_t plane_size(const job_t* job) noexcept nogil:
    return job.window[0].input_size * job.window[1].input_size * job.window[2].input_size


cdef void scatter_group(const job_t* job, Py_ssize_t group, vector_t* scratch) noexcept nogil:
    cdef Py_ssize_t rows = job.window[1].output_size, columns = job.window[2].output_size
    cdef Py_ssize_t y = 0, y_end, row, p, count, planes = min(PLANES, job.items - group * PLANES)
    cdef Py_ssize_t at_once = 1
    cdef int64_t* indices = <int64_t*>(scratch + job.at_indices)
    if (
        job.batch_axes == 1 and job.direct_block and job.whole_rows and plane_size(job) <= TILE
    ):
        at_once = AT_ONCE
    while y < rows:
        y_end = min(y + job.chunk, rows)
        row = y
        while row < y_end:
            find_in_group(
                job, group, row, job.block_rows, scratch,
                indices + (row - y) * columns * PLANES, job.chunk,
            )
            row += job.block_rows
        p = 0
        while p < planes:
            count = min(at_once, planes - p)
            scatter_found(job, group * PLANES + p, count, y, y_end, indices + p, scratch)
            p += count
        y = y_end


cdef void scatter_found(
    const job_t* job, Py_ssize_t item, Py_ssize_t planes, Py_ssize_t y, Py_ssize_t y_end,
    const int64_t* indices, vector_t* scratch,
) noexcept nogil:
    """Rows of outputs, of some planes of those side by side; with the last of them it is done.

    Planes are scattered to where they are, or one of them in scratch.
    """
    cdef Py_ssize_t columns = job.window[2].output_size, length = plane_size(job), z, row, p
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], item)
    cdef Py_ssize_t grad_offset = batch_offset(job, job.batch_stride[3], item)
    cdef vector_t* block = scratch + job.at_result
    cdef vector_t* loaded = scratch + job.at_grads
    cdef const vector_t* grads
    cdef bint any_nan = False
    cdef scatter_t s
    if job.direct_block:
        block = <vector_t*>(dst_offset + address(&job.dst, 0, 0, 0, 0))
    s.planes = planes
    s.block_plane = job.batch_stride[1][0] // <Py_ssize_t>sizeof(vector_t)
    s.grads_plane = job.batch_stride[3][0] // <Py_ssize_t>sizeof(vector_t)
    s.indices_plane = 1
    s.step = PLANES
    s.begin = 0
    s.length = length
    s.n = (y_end - y) * columns
    s.channels = 1
    if y == 0:
        clear_planes(block, s.block_plane, planes, length)
    for z in range(job.window[0].output_size):
        grads = <const vector_t*>(grad_offset + address(&job.grad, z, y, 0, 0))
        if not job.whole_rows:
            grads = loaded
            for row in range(y, y_end):
                load_columns(
                    &job.grad, WHOLE, grad_offset + address(&job.grad, z, row, 0, 0), columns, 1,
                    loaded + (row - y) * columns,
                )
        any_nan |= scatter(&s, block, indices, grads)
        indices += job.chunk * columns * PLANES
    for p in range(planes if any_nan else 0):
        one_nan_each(block + p * s.block_plane, length)
    if y_end == job.window[1].output_size and not job.direct_block:
        store_block(
            job, dst_offset, 0, job.window[0].input_size * job.window[1].input_size, 0,
            job.window[2].input_size, 0, 1, block,
        )


cdef void store_block(
    const job_t* job, Py_ssize_t offset, Py_ssize_t row, Py_ssize_t row_end, Py_ssize_t column,
    Py_ssize_t column_end, Py_ssize_t c, Py_ssize_t channels, const grad_t* block,
) noexcept nogil:
    """Rows of gradients, numbered through all depths."""
    cdef Py_ssize_t rows = job.window[1].input_size, y
    if column_end - column == job.window[2].input_size and channels == job.channels and is_run(
        &job.dst, job.dst.kind, channels, job.window[0].input_size
    ):
        store_row(
            job.dst.kind, block, offset + address(&job.dst, row // rows, row % rows, 0, 0),
            job.dst.item, (row_end - row) * (column_end - column) * channels,
        )
        return
    for y in range(row, row_end):
        store_columns(
            &job.dst, block, offset + address(&job.dst, y // rows, y % rows, column, c),
            column_end - column, channels,
        )
        block += (column_end - column) * channels
