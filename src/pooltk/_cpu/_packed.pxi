# Views whose rows do not run on: the rows that some rows of outputs read are packed into scratch,
# once, and pooled there as those of contiguous arrays are.

cdef enum:
    PACKED = 32768        # bytes that are packed at once,
    MOST_PACKED = 262144  # if there are no less to a row of outputs
    PACKED_END = 256      # bytes behind them that may be read


cdef inline Py_ssize_t packed_bytes(const job_t* job, Py_ssize_t outputs) noexcept nogil:
    """What so many rows of outputs of one depth read."""
    cdef Py_ssize_t rows = min(most_columns(&job.window[1], outputs), job.window[1].input_size)
    rows *= min(job.window[0].kernel_size, job.window[0].input_size)
    return rows * job.window[2].input_size * job.channels * job.src.item


cdef bint plan_packed(const job_t* job, job_t* inner) noexcept nogil:
    """Whether small windows over such rows are worth it; if so, the operation on packed ones."""
    cdef const axis_t* height = &job.window[1]
    cdef array_t* src = &inner.src
    cdef Py_ssize_t rows = height.output_size
    if job.small or job.divide_first or height.kind != SLIDING:
        return False
    if packed_bytes(job, 1) > MOST_PACKED:
        return False
    inner[0] = job[0]
    inner.fetches = False
    src.stride[3] = src.item
    src.stride[2] = job.channels * src.item
    if job.src.stride[2] == src.stride[2] and (
        job.channels == 1 or job.src.stride[3] == src.stride[3]
    ):
        return False
    src.stride[1] = src.size[2] * src.stride[2]
    while rows > 1 and packed_bytes(job, rows) > PACKED:
        rows = ceil_div(rows, 2)
    inner.block_rows = rows
    src.stride[0] = packed_bytes(job, rows) // min(
        job.window[0].kernel_size, job.window[0].input_size
    )
    inner.items = 1
    if job.batch_axes == 1 and rows == height.output_size and job.window[0].output_size == 1:
        inner.items = max(1, min(job.items, PACKED // packed_bytes(job, rows)))
    inner.batch_axes = 1
    plan(inner)
    if rows < height.output_size and height.kernel_size > 2:
        inner.in_registers = NOTHING
    return inner.small


cdef int pool_packed(
    const job_t* job, job_t* inner, const acc_t* _, int num_threads
) except -1:
    """As pool_tiles, a block of rows of outputs at a time."""
    cdef Py_ssize_t plane = packed_bytes(job, inner.block_rows)
    cdef job_t outer = job[0]
    inner.items = max(1, min(inner.items, job.items // (4 * num_threads)))
    inner.batch_stride[0] = &plane
    outer.inner = inner
    outer.blocks[0] = ceil_div(job.window[1].output_size, inner.block_rows)
    outer.at_joined = inner.scratch_size * sizeof(acc_t)
    return share_parts(
        <part_t>pool_block[acc_t], &outer,
        ceil_div(job.items, inner.items) * job.window[0].output_size * outer.blocks[0],
        outer.at_joined + inner.items * plane + PACKED_END, num_threads,
    )


cdef void pool_block(const job_t* job, Py_ssize_t index, acc_t* scratch) noexcept nogil:
    """Rows of outputs of one depth, of one plane or of all rows of some."""
    cdef job_t inner = job.inner[0]
    cdef const axis_t* height = &job.window[1]
    cdef char* packed = <char*>scratch + job.at_joined
    cdef Py_ssize_t item, first, z
    cdef tile_t tile
    tile.y = index % job.blocks[0] * inner.block_rows
    tile.y_end = min(tile.y + inner.block_rows, height.output_size)
    index //= job.blocks[0]
    tile.z = index % job.window[0].output_size
    item = index // job.window[0].output_size * inner.items
    tile.item = tile.c = tile.src_offset = 0
    tile.item_end = min(inner.items, job.items - item)
    tile.channels = job.channels
    first = span_begin(height, tile.y)
    z = span_begin(&job.window[0], tile.z)
    # The first row that is read lies first.
    inner.src.data = packed - z * inner.src.stride[0] - first * inner.src.stride[1]
    inner.dst.data += batch_offset(job, job.batch_stride[1], item)
    for item in range(item, item + tile.item_end):
        pack_rows(
            &job.src, batch_offset(job, job.batch_stride[0], item), z,
            span_end(&job.window[0], tile.z), first, span_end(height, tile.y_end - 1),
            packed, inner.src.stride[0],
        )
        packed += inner.batch_stride[0][0]
    tile.x = 0
    while tile.x < job.window[2].output_size:
        tile.x_end = min(tile.x + inner.tile_x, job.window[2].output_size)
        pool_rows(&inner, &tile, scratch)
        tile.x = tile.x_end


cdef void pack_rows(
    const array_t* array, Py_ssize_t offset, Py_ssize_t z, Py_ssize_t z_end, Py_ssize_t y,
    Py_ssize_t y_end, char* packed, Py_ssize_t packed_depth,
) noexcept nogil:
    """Rows y to y_end of each depth, one behind the other."""
    cdef Py_ssize_t row, size = array.size[2] * array.size[3] * array.item, ahead = 0, span
    cdef Py_ssize_t step = array.stride[2], begin = min(0, (array.size[2] - 1) * step)
    cdef array_t raw = array[0]
    cdef const char* src
    cdef char* dst
    raw.kind = bits_of(array.item)
    # Rows that are farther apart than they are long are not foreseen.
    span = (array.size[2] - 1) * max(step, -step)
    if -64 <= step <= 64 and array.size[3] == 1:
        ahead = (AHEAD // (span + 64) + 1) * array.stride[1]
    for z in range(z, z_end):
        dst = packed
        for row in range(y, y_end):
            src = offset + address(array, z, row, 0, 0)
            if ahead:
                prefetch(src + begin + ahead, span)
            pack_row(&raw, src, dst)
            dst += size
        packed += packed_depth


cdef inline kind_t bits_of(Py_ssize_t item) noexcept nogil:
    """The kind of so many bytes, whatever they mean."""
    return UINT8 if item == 1 else UINT16 if item == 2 else UINT32 if item == 4 else UINT64


cdef inline void pack_row(const array_t* raw, const char* src, char* dst) noexcept nogil:
    if raw.kind == UINT8:
        load_columns(raw, WHOLE, src, raw.size[2], raw.size[3], <uint8_t*>dst)
    elif raw.kind == UINT16:
        load_columns(raw, WHOLE, src, raw.size[2], raw.size[3], <uint16_t*>dst)
    elif raw.kind == UINT32:
        load_columns(raw, WHOLE, src, raw.size[2], raw.size[3], <uint32_t*>dst)
    else:
        load_columns(raw, WHOLE, src, raw.size[2], raw.size[3], <uint64_t*>dst)
