# What the kernels are made of: operations on rows of contiguous memory, which compilers turn
# into vector code at every ISA level. `op` does not change within a row, so its test leaves the
# loops. Sums are balanced trees, so that errors grow with the logarithm of a window's size, and
# of one shape whatever the vector width, so that every level gives the same bits.

cdef extern from "_vectors.h" nogil:
    cdef enum:
        MAX "OP_MAX"
        SUM "OP_SUM"
        RANK "OP_RANK"
        GREATER "OP_GREATER"
    const double NO_RANK
    void prefetch(const char* address, Py_ssize_t bytes)
    float scalar_max_float(float a, float b)
    double scalar_max_double(double a, double b)

cdef extern from "_rows.h" nogil:
    const int LANES  # partial results of a row that is reduced to one value
    const int SHORT_RUN  # elements of a bin, at most, that is reduced to 8 of them
    const int MOST_TAPS
    void merge_windows_apart_float(
        int op, int columns, const float* row, Py_ssize_t stride, float* dst, Py_ssize_t n
    )
    void merge_pixel_windows_float(
        int op, int columns, const float* row, Py_ssize_t stride, Py_ssize_t next, float* dst,
        Py_ssize_t outputs, Py_ssize_t n
    )
    void merge_windows_apart_double(
        int op, int columns, const double* row, Py_ssize_t stride, double* dst, Py_ssize_t n
    )
    void merge_pixel_windows_double(
        int op, int columns, const double* row, Py_ssize_t stride, Py_ssize_t next, double* dst,
        Py_ssize_t outputs, Py_ssize_t n
    )
    void merge_short_runs_float(
        int op, const float* row, const float* end, const Py_ssize_t* bins, Py_ssize_t step,
        Py_ssize_t most, Py_ssize_t count, float* dst
    )
    void merge_runs_float(
        int op, const float* row, Py_ssize_t step, Py_ssize_t n, float* dst, Py_ssize_t count
    )
    void merge_short_runs_double(
        int op, const double* row, const double* end, const Py_ssize_t* bins, Py_ssize_t step,
        Py_ssize_t most, Py_ssize_t count, double* dst
    )
    void merge_runs_double(
        int op, const double* row, Py_ssize_t step, Py_ssize_t n, double* dst, Py_ssize_t count
    )
    void sum_runs_float16(
        const float16_t* row, Py_ssize_t step, Py_ssize_t n, float* dst, Py_ssize_t count
    )
    void sum_runs_bfloat16(
        const bfloat16_t* row, Py_ssize_t step, Py_ssize_t n, float* dst, Py_ssize_t count
    )
    void floats_of_float16s(const float16_t* src, float* dst, Py_ssize_t n)
    void floats_of_bfloat16s(const bfloat16_t* src, float* dst, Py_ssize_t n)
    void float16s_of_floats(const float* src, float16_t* dst, Py_ssize_t n)
    void bfloat16s_of_floats(const float* src, bfloat16_t* dst, Py_ssize_t n)
    void merge2_float(int op, const float* a, const float* b, float* dst, Py_ssize_t n)
    void merge3_float(
        int op, const float* a, const float* b, const float* c, float* dst, Py_ssize_t n
    )
    void merge4_float(
        int op, const float* a, const float* b, const float* c, const float* d, float* dst,
        Py_ssize_t n,
    )
    void merge_rows_float(
        int op, int count, const char* row, Py_ssize_t step, float* dst, Py_ssize_t n
    )
    void sum_groups_float(
        const float** rows, const Py_ssize_t* sizes, Py_ssize_t groups, float* dst, Py_ssize_t n
    )
    void merge2_double(int op, const double* a, const double* b, double* dst, Py_ssize_t n)
    void merge3_double(
        int op, const double* a, const double* b, const double* c, double* dst, Py_ssize_t n
    )
    void merge4_double(
        int op, const double* a, const double* b, const double* c, const double* d, double* dst,
        Py_ssize_t n,
    )
    void merge_rows_double(
        int op, int count, const char* row, Py_ssize_t step, double* dst, Py_ssize_t n
    )
    void sum_groups_double(
        const double** rows, const Py_ssize_t* sizes, Py_ssize_t groups, double* dst, Py_ssize_t n
    )

cdef extern from "_numbers.h" nogil:
    bint notes_nan
    void find_whether_nan_is_noted()
    bint met_nan()
    void settle_numbers(float* row, Py_ssize_t n)
    void number_windows(int width, const float* row, float* dst, Py_ssize_t n)

cdef extern from "_kinds.h" nogil:
    cdef enum:
        AS_IT_IS
        MULTIPLIED
        DIVIDED
        DIVIDED_EACH
        MOST_COLUMNS
        MOST_ROWS
        MERGED_ROWS
    ctypedef struct small_windows:
        int op, taps, columns, stride, finish
        Py_ssize_t tap[9]
        bint pad
        Py_ssize_t rows, src_row, dst_row
        const char* src
        const char* src_end
        Py_ssize_t planes
        const Py_ssize_t* plane
        char* dst
        void* padded
        Py_ssize_t padded_rows, padded_size
        void* columns_kept
        bint pixels
        void* unstrided
        Py_ssize_t channels, outputs
        Py_ssize_t before, columns_inside
        Py_ssize_t pitch
        Py_ssize_t first_column
        double by
        const void* divisors
        int shift
        Py_ssize_t ahead, fresh
        int first_taps
        Py_ssize_t lines, line
    ctypedef struct pixel_bins:
        int op, divides
        double by
        Py_ssize_t rows, row, outputs, channels
        const Py_ssize_t* bins
        const char* src
        const char* fetched
        Py_ssize_t each
    void merge_bins_float(const pixel_bins* bins, float* dst)
    void merge_bins_double(const pixel_bins* bins, double* dst)
    cdef enum:
        MOST_VECTORS
        HALVES_IN_REGISTERS
        REGISTER  # bytes
        LINE
    void pool_planes_in_registers(kind_t kind, const small_windows* windows)
    cdef enum:
        BINS
        MOST_BIN
        MOST_BIN_VECTORS
    ctypedef struct bin_planes:
        int op, vectors, taps, least
        Py_ssize_t planes, src_plane, src_row, dst_plane, dst_row
        Py_ssize_t rows, outputs, columns, fresh
        const Py_ssize_t* first
        const Py_ssize_t* count
        int32_t column[9][8]
        const float* row_divisors
        float column_divisors[8]
        const char* src
        float* dst
        const float* dst_end
    void pool_bins(const bin_planes* planes)
    cdef enum:
        SPREAD
        MOST_SPREAD_ROWS
        MOST_SPREAD_TO
        NONE
        PADDING
    ctypedef struct spread_planes_t:
        Py_ssize_t planes, src_plane, src_row, dst_plane, dst_row
        Py_ssize_t src_rows, src_columns, columns, runs
        const Py_ssize_t* begin
        const Py_ssize_t* row[2]
        const int32_t* column[2]
        const float* divisors
        float by
        const char* src
        char* dst
    void spread_planes(const spread_planes_t* planes)
    void pool_small(kind_t kind, const small_windows* windows)
    void merge_planes(kind_t kind, const small_windows* windows, void* dst)
    void sum_rows_float16(const float16_t** rows, Py_ssize_t count, float* dst, Py_ssize_t n)
    void sum_rows_bfloat16(const bfloat16_t** rows, Py_ssize_t count, float* dst, Py_ssize_t n)
    void max_runs_float16(
        const int16_t* row, Py_ssize_t step, Py_ssize_t n, int16_t* dst, Py_ssize_t count
    )
    void max_runs_bfloat16(
        const int16_t* row, Py_ssize_t step, Py_ssize_t n, int16_t* dst, Py_ssize_t count
    )
    void max_rows_float16(const int16_t** rows, Py_ssize_t count, int16_t* dst, Py_ssize_t n)
    void max_rows_bfloat16(const int16_t** rows, Py_ssize_t count, int16_t* dst, Py_ssize_t n)


cdef inline bint is_sum(int op, const acc_t* _) noexcept nogil:
    """Sums are kept in four types: without this, half of the others' code were never run."""
    if acc_t is float or acc_t is double or acc_t is int32_t or acc_t is int64_t:
        return op == SUM
    return False


cdef inline acc_t merge(int op, acc_t a, acc_t b) noexcept nogil:
    """The larger, or NaN if either is; or the sum."""
    if is_sum(op, &a):
        return <acc_t>(a + b)
    if acc_t is float:
        return scalar_max_float(a, b)
    elif acc_t is double:
        return scalar_max_double(a, b)
    else:
        return a if a > b else b


cdef inline void fill(acc_t* dst, acc_t value, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        dst[j] = value


cdef inline void copy(const acc_t* a, acc_t* dst, Py_ssize_t n) noexcept nogil:
    memcpy(dst, a, n * sizeof(acc_t))


cdef inline void merge2(
    int op, const acc_t* a, const acc_t* b, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t j
    if acc_t is float:
        merge2_float(op, a, b, dst, n)
    elif acc_t is double:
        merge2_double(op, a, b, dst, n)
    elif not is_sum(op, dst):
        for j in range(n):
            dst[j] = merge(MAX, a[j], b[j])
    else:
        for j in range(n):
            dst[j] = merge(SUM, a[j], b[j])


cdef inline void merge3(
    int op, const acc_t* a, const acc_t* b, const acc_t* c, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t j
    if acc_t is float:
        merge3_float(op, a, b, c, dst, n)
    elif acc_t is double:
        merge3_double(op, a, b, c, dst, n)
    elif not is_sum(op, dst):
        for j in range(n):
            dst[j] = merge(MAX, merge(MAX, a[j], b[j]), c[j])
    else:
        for j in range(n):
            dst[j] = merge(SUM, merge(SUM, a[j], b[j]), c[j])


cdef inline void merge4(
    int op, const acc_t* a, const acc_t* b, const acc_t* c, const acc_t* d, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t j
    if acc_t is float:
        merge4_float(op, a, b, c, d, dst, n)
    elif acc_t is double:
        merge4_double(op, a, b, c, d, dst, n)
    elif not is_sum(op, dst):
        for j in range(n):
            dst[j] = merge(MAX, merge(MAX, a[j], b[j]), merge(MAX, c[j], d[j]))
    else:
        for j in range(n):
            dst[j] = merge(SUM, merge(SUM, a[j], b[j]), merge(SUM, c[j], d[j]))


cdef inline void merge_up_to_4(
    int op, const acc_t** rows, Py_ssize_t count, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    if count == 1:
        copy(rows[0], dst, n)
    elif count == 2:
        merge2(op, rows[0], rows[1], dst, n)
    elif count == 3:
        merge3(op, rows[0], rows[1], rows[2], dst, n)
    else:
        merge4(op, rows[0], rows[1], rows[2], rows[3], dst, n)


cdef void merge_groups(
    int op, const acc_t** rows, const Py_ssize_t* sizes, Py_ssize_t groups, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """dst = groups of up to three rows, each merged and then joined with those before it."""
    cdef Py_ssize_t count = 0, done, more
    if is_sum(op, dst):
        if acc_t is float:
            sum_groups_float(rows, sizes, groups, dst, n)
            return
        elif acc_t is double:
            sum_groups_double(rows, sizes, groups, dst, n)
            return
    for more in range(groups):
        count += sizes[more]
    done = min(count, 4)
    merge_up_to_4(op, rows, done, dst, n)
    while done < count:  # in any order: these have no rounding
        more = min(count - done, 3)
        rows[done - 1] = dst
        merge_up_to_4(op, rows + done - 1, more + 1, dst, n)
        done += more


cdef inline void merge_short_runs(
    int op, const acc_t* row, const acc_t* end, const Py_ssize_t* bins, Py_ssize_t step,
    Py_ssize_t most, Py_ssize_t count, acc_t* dst,
) noexcept nogil:
    """Bins of one row, of `most` elements or one less; or windows of so many, `step` apart."""
    if acc_t is float:
        merge_short_runs_float(op, row, end, bins, step, most, count, dst)
    elif acc_t is double:
        merge_short_runs_double(op, row, end, bins, step, most, count, dst)


cdef inline void merge_side_by_side(
    int op, const acc_t* row, Py_ssize_t stride, Py_ssize_t width, acc_t* dst, Py_ssize_t count
) noexcept nogil:
    """Windows of so many floats of a row."""
    if width < LANES:
        merge_short_runs(
            op, row, row + (count - 1) * stride + width, NULL, stride, width, count, dst
        )
    elif acc_t is float:
        merge_runs_float(op, row, stride, width, dst, count)
    elif acc_t is double:
        merge_runs_double(op, row, stride, width, dst, count)


cdef inline void merge_pixels_side_by_side(
    int op, const acc_t* row, Py_ssize_t stride, Py_ssize_t width, acc_t* dst, Py_ssize_t count,
    Py_ssize_t n,
) noexcept nogil:
    """The same of n elements each, in the same order, of up to 31."""
    if acc_t is float:
        merge_pixel_windows_float(op, <int>width, row, stride * n, n, dst, count, n)
    elif acc_t is double:
        merge_pixel_windows_double(op, <int>width, row, stride * n, n, dst, count, n)


cdef inline void merge_rows(
    int op, Py_ssize_t count, const char* row, Py_ssize_t step, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """Up to 16, `step` bytes apart, of at least LANES floats."""
    if acc_t is float:
        merge_rows_float(op, <int>count, row, step, dst, n)
    elif acc_t is double:
        merge_rows_double(op, <int>count, row, step, dst, n)


cdef inline bint merge_windows_apart(
    int op, Py_ssize_t width, const acc_t* row, Py_ssize_t stride, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """Windows of one channel, if they are of floats, or the commonest of integers."""
    cdef Py_ssize_t j
    if acc_t is float or acc_t is double:
        if width > MOST_TAPS or n < LANES or op == RANK:
            return False
        if acc_t is float:
            merge_windows_apart_float(op, <int>width, row, stride, dst, n)
        else:
            merge_windows_apart_double(op, <int>width, row, stride, dst, n)
        return True
    if stride != 2 or width > 3:
        return False
    if width == 2 and not is_sum(op, dst):
        for j in range(n):
            dst[j] = merge(MAX, row[2 * j], row[2 * j + 1])
    elif width == 2:
        for j in range(n):
            dst[j] = merge(SUM, row[2 * j], row[2 * j + 1])
    elif not is_sum(op, dst):
        for j in range(n):
            dst[j] = merge(MAX, merge(MAX, row[2 * j], row[2 * j + 1]), row[2 * j + 2])
    else:
        for j in range(n):
            dst[j] = merge(SUM, merge(SUM, row[2 * j], row[2 * j + 1]), row[2 * j + 2])
    return True


cdef void slide(
    int op, const acc_t* src, acc_t* dst, acc_t* even, acc_t* odd,
    Py_ssize_t n, Py_ssize_t shift, Py_ssize_t width,
) noexcept nogil:
    """dst[j] = src[j] op src[j + shift] op ..., `width` taps each.

    Wider windows are merged from each other, alternately in `even` and `odd`, each of
    n + (width - 1) * shift elements. A maximum is up to four of them that overlap.
    """
    cdef Py_ssize_t taps = 1, reach = n + (width - 1) * shift, times, count, i
    cdef const acc_t* window = src
    cdef const acc_t* rows[4]
    cdef acc_t* wider
    # _small.h finds a maximum of 5 by digits too: of doubles a NaN's payload depends on it.
    if width > 4 and is_sum(op, dst) or width == 5 and op != GREATER:
        slide_by_digits(op, src, dst, even, odd, n, shift, width)
        return
    if acc_t is float:
        if op == GREATER and shift == 1 and width > 8 and n >= 8:
            taps = 8 if width <= 16 else 16 if width <= 32 else 32
            reach = n + width - taps
            number_windows(<int>taps, src, even, reach)
            window = even
    # Of one instruction a merge, fewer passes pay; of three, fewer merges.
    times = 4 if op == GREATER or width <= 4 else 2
    while times * taps < width:
        reach -= (times - 1) * taps * shift
        wider = odd if window == even else even
        for i in range(times):
            rows[i] = window + i * taps * shift
        merge_up_to_4(op, rows, times, wider, reach)
        window = wider
        taps *= times
    count = ceil_div(width, taps)
    for i in range(count):
        rows[i] = window + min(i * taps, width - taps) * shift
    merge_up_to_4(op, rows, count, dst, n)


cdef void merge_pixel_windows(
    int op, Py_ssize_t width, const acc_t* row, Py_ssize_t stride, Py_ssize_t shift, acc_t* dst,
    Py_ssize_t outputs, Py_ssize_t n, acc_t* even, acc_t* odd,
) noexcept nogil:
    """Windows of n elements each: nothing is merged for others in between."""
    cdef Py_ssize_t j
    if width <= MOST_TAPS and op != RANK:
        if acc_t is float:
            merge_pixel_windows_float(op, <int>width, row, stride, shift, dst, outputs, n)
            return
        elif acc_t is double:
            merge_pixel_windows_double(op, <int>width, row, stride, shift, dst, outputs, n)
            return
    for j in range(outputs):
        slide(op, row + j * stride, dst + j * n, even, odd, n, shift, width)


cdef void slide_by_digits(
    int op, const acc_t* src, acc_t* dst, acc_t* even, acc_t* odd,
    Py_ssize_t n, Py_ssize_t shift, Py_ssize_t width,
) noexcept nogil:
    """The same from windows of 1, 4, 16, ... taps that the digits of the width name."""
    cdef Py_ssize_t taps = 1, reach = n + (width - 1) * shift, covered = 0, count = 0, i
    cdef Py_ssize_t sizes[3]
    cdef Py_ssize_t groups = 0
    cdef const acc_t* window = src
    cdef const acc_t* rows[9]
    cdef acc_t* wider
    while True:
        sizes[groups] = width // taps % 4
        for i in range(sizes[groups]):
            rows[count] = window + covered * shift
            covered += taps
            count += 1
        groups += sizes[groups] > 0
        if 4 * taps > width:
            break
        wider = odd if window == even else even
        if taps > 4 and groups > 0:  # before what was merged earlier is written over
            merge_groups(op, rows, sizes, groups, dst, n)
            rows[0] = dst
            sizes[0] = count = groups = 1
        reach -= 3 * taps * shift
        merge4(
            op, window, window + taps * shift, window + 2 * taps * shift,
            window + 3 * taps * shift, wider, reach,
        )
        window = wider
        taps *= 4
    merge_groups(op, rows, sizes, groups, dst, n)


cdef void every(
    const acc_t* src, acc_t* dst, Py_ssize_t n, Py_ssize_t stride, Py_ssize_t run
) noexcept nogil:
    """Keep `run` elements of every `stride * run`, n times."""
    cdef Py_ssize_t j, i
    if run == 1:
        if stride == 2:
            for j in range(n):
                dst[j] = src[2 * j]
        else:
            for j in range(n):
                dst[j] = src[stride * j]
    else:
        for j in range(n):
            for i in range(run):
                dst[j * run + i] = src[j * stride * run + i]


cdef void merge_run(
    int op, const acc_t* row, Py_ssize_t count, Py_ssize_t n, acc_t* dst, acc_t* even, acc_t* odd
) noexcept nogil:
    """dst = `count` runs of n elements, one behind the other, merged by fours; even and odd hold
    a quarter of them each, and three more."""
    cdef const acc_t* rows[4]
    cdef acc_t* merged
    cdef Py_ssize_t quarter, i
    rows[0] = row
    while count > 4:
        quarter = count // 4
        merged = odd if row == even else even
        merge4(
            op, row, row + quarter * n, row + 2 * quarter * n, row + 3 * quarter * n,
            merged, quarter * n,
        )
        rows[0] = merged
        count -= 3 * quarter
        if quarter == 1:  # the others stay where they are
            row += 3 * n
            break
        copy(row + 4 * quarter * n, merged + quarter * n, (count - quarter) * n)
        row = merged
    for i in range(1, count):
        rows[i] = row + i * n
    merge_up_to_4(op, rows, count, dst, n)


cdef acc_t reduce_run(int op, const acc_t* row, Py_ssize_t n, acc_t identity) noexcept nogil:
    """One value from n contiguous ones: a balanced tree over vectors of LANES, then over lanes."""
    cdef acc_t stack[768]  # 48 levels of LANES
    cdef acc_t* top = stack
    cdef Py_ssize_t vectors = 0, count
    if n < LANES:
        return reduce_short(op, row, n, identity)
    if acc_t is float or acc_t is double:
        reduce_many_runs(op, row, 0, n, stack, 1, identity)
        return stack[0]
    while n >= LANES:
        if n >= 4 * LANES:
            merge4(op, row, row + LANES, row + 2 * LANES, row + 3 * LANES, top, LANES)
            count = 4
        elif n >= 2 * LANES:
            merge2(op, row, row + LANES, top, LANES)
            count = 2
        else:
            copy(row, top, LANES)
            count = 1
        row += count * LANES
        n -= count * LANES
        # A binary counter: equal trees are merged as soon as there are two.
        while vectors & count:
            top -= LANES
            merge2(op, top, top + LANES, top, LANES)
            vectors -= count
            count *= 2
        vectors += count
        top += LANES
    top -= LANES
    if n:  # the rest joins the smallest tree
        merge2(op, top, row, top, n)
    while top > stack:
        top -= LANES
        merge2(op, top, top + LANES, top, LANES)
    merge2(op, stack, stack + 8, stack, 8)
    merge2(op, stack, stack + 4, stack, 4)
    return merge(op, merge(op, stack[0], stack[2]), merge(op, stack[1], stack[3]))


cdef inline void reduce_many_runs(
    int op, const acc_t* row, Py_ssize_t step, Py_ssize_t n, acc_t* dst, Py_ssize_t count,
    acc_t identity,
) noexcept nogil:
    """Runs of n elements, `step` apart: the rows of global pooling."""
    cdef Py_ssize_t i
    if acc_t is float or acc_t is double:
        if n > MOST_TAPS:
            merge_side_by_side(op, row, step, n, dst, count)
            return
    for i in range(count):
        dst[i] = reduce_run(op, row + i * step, n, identity)


cdef inline acc_t reduce_short(
    int op, const acc_t* row, Py_ssize_t n, acc_t identity
) noexcept nogil:
    """The same for fewer than LANES values."""
    cdef acc_t value
    if n == 0:
        return identity
    if n == 1:
        return row[0]
    if n == 2:
        return merge(op, row[0], row[1])
    if n == 3:
        return merge(op, merge(op, row[0], row[1]), row[2])
    if n < 8:
        value = merge(op, merge(op, row[0], row[1]), merge(op, row[2], row[3]))
        return merge(op, value, reduce_short(op, row + 4, n - 4, identity)) if n > 4 else value
    value = merge(
        op,
        merge(op, merge(op, row[0], row[1]), merge(op, row[2], row[3])),
        merge(op, merge(op, row[4], row[5]), merge(op, row[6], row[7])),
    )
    return merge(op, value, reduce_short(op, row + 8, n - 8, identity)) if n > 8 else value
