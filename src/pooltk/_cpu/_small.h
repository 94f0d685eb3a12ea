/* Windows of few rows and columns, for each T that includes this: float and double.
 *
 * The rows of a window (`tap`: where they lie, in bytes from the first) are merged in registers, the
 * columns of the merged row by shuffles, and a sum is divided before it is stored: nothing goes
 * through scratch. What is merged with what, in which order, is as in the general way through
 * scratch rows, for the same bits; windows that stick out take the identity for what they lack.
 */
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define OF_T(name) JOIN(name, T)
#define VECTOR OF_T(VECTOR_)
#define WIDTH OF_T(WIDTH_)

/* How a result leaves: as it is, times a reciprocal that is exact, or divided. */
enum OF_T(finish_) { OF_T(AS_IT_IS_), OF_T(PRODUCT_), OF_T(QUOTIENT_) };

static ALWAYS_INLINE VECTOR OF_T(joined_)(int op, VECTOR a, VECTOR b)
{
    return op == OP_SUM ? OF_T(sum_)(a, b) : OF_T(max_)(a, b);
}

static ALWAYS_INLINE T OF_T(scalar_joined_)(int op, T a, T b)
{
    return op == OP_SUM ? a + b : OF_T(scalar_max_)(a, b);
}

/* Element j of the merged row, and a vector of them. */
static ALWAYS_INLINE T OF_T(scalar_merged_)(int op, int taps, const T *const *row, ptrdiff_t j)
{
    T a = row[0][j];
    if (taps == 1)
        return a;
    a = OF_T(scalar_joined_)(op, a, row[1][j]);
    if (taps == 2)
        return a;
    return OF_T(scalar_joined_)(
        op, a, taps == 3 ? row[2][j] : OF_T(scalar_joined_)(op, row[2][j], row[3][j]));
}

static ALWAYS_INLINE VECTOR OF_T(merged_)(int op, int taps, const T *const *row, ptrdiff_t j)
{
    VECTOR a = OF_T(load_)(row[0] + j), b;
    if (taps == 1)
        return a;
    a = OF_T(joined_)(op, a, OF_T(load_)(row[1] + j));
    if (taps == 2)
        return a;
    b = OF_T(load_)(row[2] + j);
    return OF_T(joined_)(op, a, taps == 3 ? b : OF_T(joined_)(op, b, OF_T(load_)(row[3] + j)));
}

static ALWAYS_INLINE VECTOR OF_T(finished_)(int finish, VECTOR value, VECTOR by)
{
    if (finish == OF_T(AS_IT_IS_))
        return value;
    value = finish == OF_T(PRODUCT_) ? OF_T(product_)(value, by) : OF_T(quotient_)(value, by);
    return OF_T(choose_)(OF_T(unordered_)(value), OF_T(all_)((T)NAN), value);
}

static ALWAYS_INLINE T OF_T(scalar_finished_)(int finish, T value, T by)
{
    if (finish == OF_T(AS_IT_IS_))
        return value;
    value = finish == OF_T(PRODUCT_) ? value * by : value / by;
    return value == value ? value : (T)NAN;
}

/* n outputs whose windows lie within the row; n is WIDTH at least. */
static ALWAYS_INLINE void OF_T(within_)(
    int op, int taps, int columns, int stride, int finish, const T *const *row, T *dst, ptrdiff_t n,
    T by)
{
    VECTOR divisor = OF_T(all_)(by), first, second, next, next_second, value;
    ptrdiff_t j = 0, block = stride * WIDTH;
    T beyond[WIDTH] = {0};
    first = OF_T(merged_)(op, taps, row, 0);
    second = stride == 2 ? OF_T(merged_)(op, taps, row, WIDTH) : first;
    for (;;) {
        ptrdiff_t at = stride * j + block; /* the next block */
        int more = j + 2 * WIDTH <= n;
        if (more) {
            next = OF_T(merged_)(op, taps, row, at);
            next_second = stride == 2 ? OF_T(merged_)(op, taps, row, at + WIDTH) : next;
        } else { /* as many columns as windows of this block still reach */
            if (columns > stride)
                beyond[0] = OF_T(scalar_merged_)(op, taps, row, at);
            if (columns > stride + 1)
                beyond[1] = OF_T(scalar_merged_)(op, taps, row, at + 1);
            next = next_second = OF_T(load_)(beyond);
        }
        if (stride == 1) {
            value = OF_T(joined_)(op, first, OF_T(after1_)(first, next));
            if (columns == 3)
                value = OF_T(joined_)(op, value, OF_T(after2_)(first, next));
        } else {
            value = OF_T(joined_)(op, OF_T(even_)(first, second), OF_T(odd_)(first, second));
            value = OF_T(sorted_)(value);
            if (columns == 3) {
                VECTOR even = OF_T(sorted_)(OF_T(even_)(first, second));
                VECTOR next_even = OF_T(even_)(next, next_second); /* its first is in place */
                value = OF_T(joined_)(op, value, OF_T(after1_)(even, next_even));
            }
        }
        OF_T(store_)(dst + j, OF_T(finished_)(finish, value, divisor));
        if (j + WIDTH == n)
            return;
        j += WIDTH;
        first = next;
        second = next_second;
        if (!more) { /* a last block, over its neighbour */
            j = n - WIDTH;
            first = OF_T(merged_)(op, taps, row, stride * j);
            second = stride == 2 ? OF_T(merged_)(op, taps, row, stride * j + WIDTH) : first;
        }
    }
}

/* The window of an output that sticks out on either side. */
static ALWAYS_INLINE void OF_T(across_)(
    int op, int taps, int finish, const T *const *row, const small_windows *w, T *dst, ptrdiff_t j)
{
    T column[3] = {0}, value;
    for (int k = 0; k < w->columns; k++) {
        ptrdiff_t x = w->first_column + j * w->stride + k;
        column[k] = x >= 0 && x < w->src_columns ? OF_T(scalar_merged_)(op, taps, row, x)
                    : op == OP_SUM                  ? 0
                                                 : (T)-INFINITY;
    }
    value = OF_T(scalar_joined_)(op, column[0], column[1]);
    if (w->columns == 3)
        value = OF_T(scalar_joined_)(op, value, column[2]);
    dst[j] = OF_T(scalar_finished_)(
        finish, value,
        w->counts ? (T)((const T *)w->counts)[j] * (T)w->row_divisor : (T)w->divisor);
}

static ALWAYS_INLINE void OF_T(each_row_)(
    int op, int taps, int columns, int stride, int finish, const small_windows *w)
{
    const char *src = w->src;
    char *dst = w->dst;
    ptrdiff_t begin = w->before, end = w->outputs - w->after, y, j;
    /* Where windows differ in their counts, those at the ends are divided. */
    int edge = finish == OF_T(PRODUCT_) && w->counts ? OF_T(QUOTIENT_) : finish;
    T by = (T)(finish == OF_T(PRODUCT_) ? 1 / w->divisor : w->divisor);
    for (y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row) {
        const T *row[4], *inner[4];
        for (int k = 0; k < taps; k++) {
            row[k] = (const T *)(src + w->tap[k]);
            inner[k] = row[k] + w->first_column + begin * stride;
        }
        prefetch(src + w->ahead, w->fresh);
        for (j = 0; j < begin; j++)
            OF_T(across_)(op, taps, edge, row, w, (T *)dst, j);
        OF_T(within_)(op, taps, columns, stride, finish, inner, (T *)dst + begin, end - begin, by);
        for (j = end; j < w->outputs; j++)
            OF_T(across_)(op, taps, edge, row, w, (T *)dst, j);
    }
}

#define FOR_TAPS(op, columns, stride, finish)                          \
    switch (w->taps) {                                                 \
    case 1: OF_T(each_row_)(op, 1, columns, stride, finish, w); break; \
    case 2: OF_T(each_row_)(op, 2, columns, stride, finish, w); break; \
    case 3: OF_T(each_row_)(op, 3, columns, stride, finish, w); break; \
    default: OF_T(each_row_)(op, 4, columns, stride, finish, w);       \
    }

#define FOR_COLUMNS(op, finish)                      \
    if (w->columns == 2 && w->stride == 2) {         \
        FOR_TAPS(op, 2, 2, finish)                   \
    } else if (w->columns == 3 && w->stride == 2) {  \
        FOR_TAPS(op, 3, 2, finish)                   \
    } else if (w->columns == 3 && w->stride == 1) {  \
        FOR_TAPS(op, 3, 1, finish)                   \
    } else {                                         \
        FOR_TAPS(op, 2, 1, finish)                   \
    }

static void OF_T(pool_small_)(const small_windows *w)
{
    if (w->op != OP_SUM) {
        FOR_COLUMNS(OP_MAX, OF_T(AS_IT_IS_))
    } else if (w->exact) {
        FOR_COLUMNS(OP_SUM, OF_T(PRODUCT_))
    } else {
        FOR_COLUMNS(OP_SUM, OF_T(QUOTIENT_))
    }
}

#undef FOR_TAPS
#undef FOR_COLUMNS
#undef JOIN2
#undef JOIN
#undef OF_T
#undef VECTOR
#undef WIDTH
#undef T
