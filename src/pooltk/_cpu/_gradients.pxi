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
    void gather_row_float(
        int columns, int stride, int padding, int rows, const int32_t** places,
        const float** grads, int32_t place, Py_ssize_t n, float* dst,
    )
    void gather_row_double(
        int columns, int stride, int padding, int rows, const int64_t** places,
        const double** grads, int64_t place, Py_ssize_t n, double* dst,
    )

ctypedef fused grad_t:
    float
    double

cdef enum:
    BLOCK = 32768        # gradients that are added up in scratch before they are stored
    GATHERED = 32768     # outputs that the gradients of a block are gathered from, at most
    MOST_GATHERED = 12   # windows that hold an element, of those that are gathered
    BESIDE = 32          # places beside a row, where no window is


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
    if job.way == SCANNED:
        return False
    if (
        most_windows(&job.window[0]) * most_windows(height) > MOST_GATHERED // most_windows(width)
        or job.window[0].output_size * width.output_size * most_windows(height)
        > GATHERED // 2 // job.tile_c
    ):
        return False
    if job.channels >= FEW_CHANNELS:
        return True
    if job.indices.data != NULL and width.output_size < LONG_ROW:
        return False
    return (
        job.channels == 1 and width.kind == SLIDING and width.dilation == 1
        and 2 <= width.kernel_size <= 3 and width.stride <= 2
    )


cdef void plan_gather(job_t* job, const vector_t* _, Py_ssize_t parts) noexcept nogil:
    """Blocks of rows, as many as `parts` at least where there are so many; and their scratch."""
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t n = job.window[0].output_size * width.output_size * job.tile_c, rows
    rows = max(most_windows(height), GATHERED // n)
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
    job.gathered_row = (width.output_size + 2 * BESIDE) * job.tile_c
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
    cdef Py_ssize_t channels = tile.channels, outputs = width.output_size * channels
    cdef Py_ssize_t beside = BESIDE * channels, z, y, x, oz, oy, line
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    cdef Py_ssize_t* windows = <Py_ssize_t*>(scratch + job.at_windows)
    cdef vector_t* places = scratch + job.at_gathered
    cdef vector_t* grads = scratch + job.at_grads
    cdef vector_t* result
    cdef vector_t* to_row
    cdef char* dst
    cdef const void* place_rows[MOST_GATHERED]
    cdef const vector_t* grad_rows[MOST_GATHERED]
    cdef int count
    cdef bint direct = job.dst.kind == kind_of(scratch) and job.dst.stride[3] == job.dst.item and (
        channels > 1 or job.dst.stride[2] == job.dst.item
    ) and job.dst.stride[2] % job.dst.item == 0
    cdef Py_ssize_t dst_pixel = job.dst.stride[2] // job.dst.item if direct else channels
    for z in range(depth.output_size):
        tile.z = z
        place_winners(job, tile, y_begin, y_begin + rows, scratch)
    if channels > 1:
        for x in range(width.input_size):
            windows[x] = first_window(width, x)
            windows[width.input_size + x] = end_window(width, x + 1)
    for z in range(depth.input_size):
        for y in range(row, row_end):
            count = 0
            for oz in range(first_window(depth, z), end_window(depth, z + 1)):
                for oy in range(first_window(height, y), end_window(height, y + 1)):
                    line = (oz * rows + oy - y_begin) * job.gathered_row + beside
                    place_rows[count] = places + line
                    grad_rows[count] = grads + line
                    count += 1
            dst = dst_offset + address(&job.dst, z, y, 0, tile.c)
            result = <vector_t*>dst if direct else scratch + job.at_result
            line = (z * height.input_size + y) * width.input_size
            if channels == 1:
                # Windows from half the padding on.
                for oy in range(count):
                    x = width.padding if width.stride == 1 else width.padding // 2
                    place_rows[oy] = <const vector_t*>place_rows[oy] + x
                    grad_rows[oy] += x
            if vector_t is float:
                if channels == 1:
                    gather_row_float(
                        <int>width.kernel_size, <int>width.stride, <int>(width.padding % 2), count,
                        <const int32_t**>place_rows, grad_rows, <int32_t>line, width.input_size,
                        result,
                    )
                else:
                    gather_pixels_float(
                        count, <const int32_t**>place_rows, grad_rows, windows,
                        windows + width.input_size, <int32_t>line, width.input_size, channels,
                        result, dst_pixel,
                    )
            else:
                if channels == 1:
                    gather_row_double(
                        <int>width.kernel_size, <int>width.stride, <int>(width.padding % 2), count,
                        <const int64_t**>place_rows, grad_rows, line, width.input_size, result,
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
    """Rows of places and of gradients side by side, of one depth; beside them nothing."""
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t channels = tile.channels, outputs = width.output_size * channels
    cdef Py_ssize_t beside = BESIDE * channels, y, x, j, line
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
        sink.values = scratch + job.at_values
        sink.values_row = 0
        sink.places_row = job.gathered_row
        sink.as_indices = False
        y = y_begin
        while y < y_end:
            tile.y = y
            tile.y_end = min(y + job.tile_y, y_end)
            x = 0
            while x < width.output_size:
                tile.x = x
                tile.x_end = min(x + job.tile_x, width.output_size)
                place_columns(job, tile)
                sink.places = places + (y - y_begin) * job.gathered_row + beside + x * channels
                find_winners(job, tile, &sink, scratch)
                x += job.tile_x
            y += job.tile_y
    for y in range(y_begin, y_end):
        memset(places, -1, beside * sizeof(vector_t))
        memset(places + beside + outputs, -1, beside * sizeof(vector_t))
        if job.indices.data != NULL:
            load_columns(
                &job.indices, WHOLE, indices_offset + address(&job.indices, tile.z, y, 0, tile.c),
                width.output_size, channels, indices,
            )
            if vector_t is float:
                narrow_places(indices, <int32_t*>places + beside, outputs)
            else:
                copy(indices, <int64_t*>places + beside, outputs)
        load_columns(
            &job.grad, WHOLE, grad_offset + address(&job.grad, tile.z, y, 0, tile.c),
            width.output_size, channels, grads + beside,
        )
        places += job.gathered_row
        grads += job.gathered_row


# Scattered ------------------------------------------------------------------------------------

cdef void scatter_rows(
    const job_t* job, tile_t* tile, winner_t* scratch, grad_t* grads, grad_t* block,
    Py_ssize_t begin, Py_ssize_t length,
) noexcept nogil:
    """Add the gradients of some outputs, in row-major order, to those winners that lie in the
    block."""
    cdef int64_t* indices = <int64_t*>(scratch + job.at_indices)
    cdef const int64_t* places = indices
    cdef const grad_t* gradients
    cdef const char* src
    cdef Py_ssize_t channels = tile.channels, x = tile.x, x_end = tile.x_end, y, j, c, n
    cdef Py_ssize_t outputs = x_end - x, rows = 1
    cdef Py_ssize_t grad_offset = batch_offset(job, job.batch_stride[3], tile.item)
    cdef Py_ssize_t indices_offset = batch_offset(job, job.batch_stride[2], tile.item)
    cdef uint64_t place
    cdef sink_t sink
    if job.indices.data == NULL:
        sink.values = scratch + job.at_values
        sink.values_row = 0
        sink.places_row = outputs * channels
        sink.as_indices = True
        while tile.x < x_end:
            tile.x_end = min(tile.x + job.tile_x, x_end)
            place_columns(job, tile)
            sink.places = indices + (tile.x - x) * channels
            find_winners(job, tile, &sink, scratch)
            tile.x = tile.x_end
        tile.x = x
    if job.whole_rows and channels == 1 and outputs == job.window[2].output_size:
        rows = tile.y_end - tile.y  # which lie one behind the other
    n = rows * outputs
    y = tile.y
    while y < tile.y_end:
        src = grad_offset + address(&job.grad, tile.z, y, x, tile.c)
        gradients = <const grad_t*>src
        if not job.whole_rows:
            load_columns(&job.grad, WHOLE, src, outputs, channels, grads)
            gradients = grads
        if job.indices.data != NULL:
            src = indices_offset + address(&job.indices, tile.z, y, x, tile.c)
            places = <const int64_t*>src
            if not job.whole_rows:
                load_columns(&job.indices, WHOLE, src, outputs, channels, indices)
                places = indices
        if channels == 1:
            for j in range(n):
                # As unsigned numbers, -1 and what lies before the block are beyond it too.
                place = <uint64_t>(places[j] - begin)
                if place < <uint64_t>length:
                    block[place] += gradients[j]
        else:
            for j in range(n):
                for c in range(channels):
                    place = <uint64_t>(places[j * channels + c] - begin)
                    if place < <uint64_t>length:
                        block[place * channels + c] += gradients[j * channels + c]
        if job.indices.data == NULL:
            places += n * channels
        y += rows


cdef void scatter_block(
    const job_t* job, tile_t* tile, Py_ssize_t block_index, winner_t* scratch, grad_t* grads
) noexcept nogil:
    """Gradients of one block of the input: every window that may reach it, in row-major order."""
    cdef const axis_t* depth = &job.window[0]
    cdef const axis_t* height = &job.window[1]
    cdef const axis_t* width = &job.window[2]
    cdef Py_ssize_t rows = depth.input_size * height.input_size, row, row_end, column, column_end
    cdef Py_ssize_t z, y, x, y_begin, y_end, x_begin, x_end, begin, length, step_x, step_y
    cdef Py_ssize_t dst_offset = batch_offset(job, job.batch_stride[1], tile.item)
    cdef grad_t* block = grads + job.chunk
    column = block_index % job.blocks[1] * job.block_columns
    row = block_index // job.blocks[1] * job.block_rows
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
    # Whole rows, as many as there is room for; or parts of one.
    step_x = max(1, min(x_end - x_begin, job.chunk // tile.channels))
    step_y = 1
    if step_x == x_end - x_begin:
        step_y = max(1, min(job.tile_y, job.chunk // (step_x * tile.channels)))
    for z in range(
        first_window(depth, row // height.input_size),
        end_window(depth, (row_end - 1) // height.input_size + 1),
    ):
        tile.z = z
        y = y_begin
        while y < y_end:
            tile.y = y
            tile.y_end = min(y + step_y, y_end)
            x = x_begin
            while x < x_end:
                tile.x = x
                tile.x_end = min(x + step_x, x_end)
                scatter_rows(job, tile, scratch, grads, block, begin, length)
                x += step_x
            y += step_y
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


cdef Py_ssize_t plan_scatter(
    job_t* job, const winner_t* _, const grad_t* grad, int num_threads
) noexcept nogil:
    """Blocks of the input; and the gradients that a thread has in scratch."""
    cdef Py_ssize_t rows = job.window[0].input_size * job.window[1].input_size
    cdef Py_ssize_t columns = job.window[2].input_size, size
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
    job.whole_rows = (
        job.tile_c == job.channels and rows_are_direct(&job.grad, kind_of(grad), job.channels)
        and job.grad.stride[1] == job.window[2].output_size * job.grad.stride[2]
        and (
            job.indices.data == NULL or rows_are_direct(&job.indices, INT64, job.channels)
            and job.indices.stride[1] == job.window[2].output_size * job.indices.stride[2]
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
    size = job.window[2].output_size * job.tile_c
    job.chunk = max(job.tile_x * job.tile_c, min(2 * WINNERS, job.tile_y * size))
    job.at_values = reserve(job, job.tile_x * job.tile_c)
    job.at_indices = reserve(job, job.chunk * 8 // <Py_ssize_t>sizeof(winner_t))
    size = job.chunk + 64
    if not job.direct_block:
        size += job.block_rows * job.block_columns * job.tile_c
    return size


# Either ---------------------------------------------------------------------------------------

cdef void backward_block(
    const job_t* job, Py_ssize_t index, winner_t* scratch, grad_t* grads
) noexcept nogil:
    cdef tile_t tile
    cdef Py_ssize_t blocks = job.blocks[0] if job.gathers else job.blocks[0] * job.blocks[1], row
    cdef Py_ssize_t block = index % blocks
    index //= blocks
    tile.limb = WHOLE
    place_channels(job, index % job.tiles[4], &tile)
    tile.item = index // job.tiles[4]
    tile.src_offset = batch_offset(job, job.batch_stride[0], tile.item)
    if winner_t is float or winner_t is double:
        if job.gathers:
            row = block * job.block_rows
            gather_block(
                job, &tile, row, min(row + job.block_rows, job.window[1].input_size), scratch
            )
            return
    scatter_block(job, &tile, block, scratch, grads)


cdef int max_backward(
    job_t* job, const winner_t* _, const grad_t* grad, int num_threads
) except -1:
    cdef Py_ssize_t total, index, grads_size = 0
    cdef winner_t* scratch
    cdef grad_t* grads
    if winner_t is float and grad_t is float or winner_t is double and grad_t is double:
        if gradients_may_join(job, _):
            return gather_joined(job, _, num_threads)
    plan_winners(job, _)
    job.gathers = may_gather(job, _, grad)
    total = job.items * job.tiles[4]
    if not job.gathers:
        grads_size = plan_scatter(job, _, grad, num_threads)
        total *= job.blocks[1]
    elif winner_t is float or winner_t is double:
        plan_gather(job, _, ceil_div(4 * num_threads, total) if num_threads > 1 else 1)
    total *= job.blocks[0]
    num_threads = <int>min(num_threads, total)
    scratch = <winner_t*>allocate(
        num_threads * (job.scratch_size * sizeof(winner_t) + grads_size * sizeof(grad_t))
    )
    grads = <grad_t*>(scratch + num_threads * job.scratch_size)
    if num_threads == 1:
        with nogil:
            for index in range(total):
                backward_block(job, index, scratch, grads)
    else:
        for index in prange(total, nogil=True, num_threads=num_threads, schedule="static"):
            backward_block(
                job, index, scratch + threadid() * job.scratch_size,
                grads + threadid() * grads_size,
            )
    free(scratch)
    return 0


# Planes side by side --------------------------------------------------------------------------

cdef bint gradients_may_join(const job_t* job, const vector_t* _) noexcept nogil:
    cdef job_t inner = joined_job(job)
    if not (
        winners_may_join(job, _) and job.indices.data == NULL
        and job.grad.kind == kind_of(_) and job.grad.stride[2] == job.grad.item
    ):
        return False
    plan_winners(&inner, _)
    return may_gather(&inner, _, _)


cdef int gather_joined(job_t* job, const vector_t* _, int num_threads) except -1:
    """As max_backward, PLANES at a time."""
    cdef job_t inner = joined_job(job)
    cdef Py_ssize_t rows = job.window[1].input_size, total, index, size
    cdef vector_t* scratch
    # Blocks of rows, so many that there is room for what the windows that hold them read.
    while rows > 1 and not block_may_join(job, windows_of_block(&job.window[1], rows)):
        rows = ceil_div(rows, 2)
    plan_winners(&inner, _)
    plan_gather(&inner, _, ceil_div(inner.window[1].input_size, rows))
    rows = windows_of_block(&job.window[1], inner.block_rows)
    join_array(&inner.src, _, joined_rows(job, rows) // job.window[0].input_size)
    join_array(&inner.grad, _, rows)
    join_array(&inner.dst, _, inner.block_rows)
    size = elements_of(&inner.dst)
    job.at_loaded = reserve(&inner, elements_of(&inner.src))
    job.at_grads = reserve(&inner, elements_of(&inner.grad))
    job.at_result = reserve(&inner, size + size // inner.dst.size[0])
    total = ceil_div(job.items, PLANES) * inner.blocks[0]
    num_threads = <int>min(num_threads, total)
    scratch = <vector_t*>allocate(num_threads * inner.scratch_size * sizeof(vector_t))
    if num_threads == 1:
        with nogil:
            for index in range(total):
                gather_planes(job, &inner, index, scratch)
    else:
        for index in prange(total, nogil=True, num_threads=num_threads, schedule="static"):
            gather_planes(job, &inner, index, scratch + threadid() * inner.scratch_size)
    free(scratch)
    return 0


cdef void gather_planes(
    const job_t* job, const job_t* plan, Py_ssize_t index, vector_t* scratch
) noexcept nogil:
    """One block of rows of one group's gradients."""
    cdef job_t inner = plan[0]
    cdef tile_t tile
    cdef const axis_t* height = &job.window[1]
    cdef Py_ssize_t group = index // inner.blocks[0], row = index % inner.blocks[0]
    cdef Py_ssize_t row_end, y, y_end, first, end
    cdef Py_ssize_t offset[PLANES]
    row *= inner.block_rows
    row_end = min(row + inner.block_rows, height.input_size)
    y = first_window(height, row)
    y_end = max(y, end_window(height, row_end))
    first = span_begin(height, y)
    end = max(first, span_end(height, y_end - 1))
    inner.src.data = <char*>(scratch + job.at_loaded) - first * inner.src.stride[1]
    inner.grad.data = <char*>(scratch + job.at_grads) - y * inner.grad.stride[1]
    inner.dst.data = <char*>(scratch + job.at_result) - row * inner.dst.stride[1]
    if y < y_end:
        place_planes(job, group, 0, offset)
        join_rows(&job.src, offset, first, end, scratch + job.at_loaded, &inner.src)
        place_planes(job, group, 3, offset)
        join_rows(&job.grad, offset, y, y_end, scratch + job.at_grads, &inner.grad)
    tile.limb = WHOLE
    tile.item = tile.c = tile.src_offset = 0
    tile.channels = PLANES
    gather_block(&inner, &tile, row, row_end, scratch)
    place_planes(job, group, 1, offset)
    part_rows(
        &job.dst, offset, row, row_end, scratch + job.at_result, &inner.dst,
        scratch + job.at_result + elements_of(&inner.dst),
    )
