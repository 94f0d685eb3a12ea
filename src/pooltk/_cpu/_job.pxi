# An operation: its arrays and windows, what is planned for it, and a tile of it.

cdef enum:
    CHUNK = 4096        # elements of a row that are loaded at once
    LONG_ROW = 24       # shorter rows are pooled together
    TILE = 2048         # elements of merged rows in a tile
    IMAGE_ROW = 16384   # bytes of a row of short elements that a tile holds
    PIXEL_ROW = 32768   # elements of a row of pixels that are not merged in scratch
    MERGED_PIXELS = 16384  # of one that is, of windows that overlap
    PART_OF_CHANNELS = 256  # at least, where channels are shared among threads
    LINE_OF_PIXELS = 128  # elements of one, up to which all rows of a window are merged as one line
    WIDE_ROWS = 8       # windows of more rows, overlapping by three quarters, share merges of them
    WIDE_TILE = 6144    # bytes of a merged row of such windows
    FEW_ELEMENTS = 1024  # maxima of fewer are not taken as of numbers first
    FETCHED = 8388608   # bytes: of smaller arrays caches hold enough to fetch nothing ahead
    MOST_JOINED_RUN = 256  # elements of windows that are reduced side by side
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


cdef enum in_registers_t:  # what of planes of few columns is kept there (_lines.pxi)
    NOTHING
    WINDOWS_OF_LINES
    BINS_OF_LINES
    GRADIENTS_OF_LINES


cdef struct array_t:
    kind_t kind
    Py_ssize_t item
    char* data
    Py_ssize_t size[4]    # depth, height, width, channels
    Py_ssize_t stride[4]  # in bytes


ctypedef const Py_ssize_t* sizes_t


cdef struct job_t:
    int op
    kind_t acc            # what is computed with: acc_t,
    Py_ssize_t acc_item   # and its bytes
    int num_threads
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
    bint sparse           # gradients are few beside the elements that they may reach
    bint direct_block     # gradients are added up in dst itself
    bint whole_rows       # of gradients and indices, which lie one behind the other
    bint direct_grads     # read where they are
    Py_ssize_t planes     # whose gradients are scattered at once
    Py_ssize_t chunk      # outputs whose gradients are scattered at once
    Py_ssize_t block_rows, block_columns, blocks[2]
    # batch axes: those that do not merge into one are walked here
    Py_ssize_t items
    Py_ssize_t batch_axes
    bint fetches          # what is read is prefetched
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
    in_registers_t in_registers
    bint of_numbers       # maxima are taken as such first, see _numbers.h
    bint regular          # windows slide along the row over padded scratch
    bint spread           # the inverse of strided windows: results are interleaved
    bint wide_rows        # windows overlap so much along the height that they share merges
    bint rows_repeat      # more rows of outputs than of the input: many have the same windows
    bint rows_at_once     # of a plane so small that all its rows make one long row
    bint few_pixels       # of bins: they are merged in registers, and divided there
    bint short_runs       # of one channel are bins of a row, which are reduced in vectors
    bint merged_rows      # are what src has: windows have one, or few that are merged with columns
    bint rows_first       # are merged before planes are side by side
    bint whole_windows    # a window is reduced where it lies,
    bint runs_join        # or many side by side
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
    int op                             # the job's, or GREATER in place of MAX
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
    if is_sum(job.op, _):
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
