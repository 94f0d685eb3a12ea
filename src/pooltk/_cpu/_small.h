/* Windows of few rows and columns, for each T that includes this: float and double.
 *
 * For each row of outputs, the rows of its windows (`tap`: where they lie) are merged into a padded
 * row, and the columns of that one are merged into the row of results, which are divided on the
 * way. There are two padded rows: one is filled while the other is read, as a load that
 * spans two stores waits until both have reached the cache.
 */
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define OF_T(name) JOIN(name, T)
#define VECTOR OF_T(VECTOR_)
#define WIDTH OF_T(WIDTH_)
#define LOAD(p) OF_T(load_)(p)

static ALWAYS_INLINE VECTOR OF_T(joined_)(int op, VECTOR a, VECTOR b)
{
    return op == OP_SUM ? OF_T(sum_)(a, b) : OF_T(max_)(a, b);
}

static ALWAYS_INLINE T OF_T(scalar_joined_)(int op, T a, T b)
{
    return op == OP_SUM ? a + b : OF_T(scalar_max_)(a, b);
}

static ALWAYS_INLINE VECTOR OF_T(merged_)(int op, int taps, const T *const *row, ptrdiff_t j)
{
    VECTOR a = LOAD(row[0] + j);
    if (taps >= 2)
        a = OF_T(joined_)(op, a, LOAD(row[1] + j));
    if (taps == 3)
        a = OF_T(joined_)(op, a, LOAD(row[2] + j));
    if (taps == 4)
        a = OF_T(joined_)(op, a, OF_T(joined_)(op, LOAD(row[2] + j), LOAD(row[3] + j)));
    return a;
}

static ALWAYS_INLINE T OF_T(scalar_merged_)(int op, int taps, const T *const *row, ptrdiff_t j)
{
    T a = row[0][j];
    if (taps >= 2)
        a = OF_T(scalar_joined_)(op, a, row[1][j]);
    if (taps == 3)
        a = OF_T(scalar_joined_)(op, a, row[2][j]);
    if (taps == 4)
        a = OF_T(scalar_joined_)(op, a, OF_T(scalar_joined_)(op, row[2][j], row[3][j]));
    return a;
}

/* The rows of a window, merged into the middle of a padded row. */
static ALWAYS_INLINE void OF_T(merge_taps_)(
    int op, int taps, const small_windows *w, const char *src, T *dst, T identity)
{
    const T *row[4];
    ptrdiff_t n = w->columns_inside, j = 0;
    for (int k = 0; k < taps; k++)
        row[k] = (const T *)(src + w->tap[k]);
    if (n >= WIDTH) {
        for (; j < n - WIDTH; j += WIDTH)
            OF_T(store_)(dst + j, OF_T(merged_)(op, taps, row, j));
        OF_T(store_)(dst + n - WIDTH, OF_T(merged_)(op, taps, row, n - WIDTH));
        return;
    }
    if ((const char *)(row[taps - 1] + WIDTH) <= w->src_end) /* what lies behind a short row */
        OF_T(store_)(dst, OF_T(merged_)(op, taps, row, 0));
    else
        for (; j < n; j++)
            dst[j] = OF_T(scalar_merged_)(op, taps, row, j);
    for (j = n; j < WIDTH; j++)
        dst[j] = identity;
}

/* Results: windows of a merged row's columns, `stride` apart. */
static ALWAYS_INLINE VECTOR OF_T(columns_)(int op, int columns, int stride, const T *row)
{
    VECTOR a, b;
    if (columns == 1)
        return LOAD(row);
    if (stride == 1) {
        a = OF_T(joined_)(op, LOAD(row), LOAD(row + 1));
        return columns == 2 ? a : OF_T(joined_)(op, a, LOAD(row + 2));
    }
    a = LOAD(row);
    b = LOAD(row + WIDTH);
    a = OF_T(joined_)(op, OF_T(even_)(a, b), OF_T(odd_)(a, b));
    if (columns == 3)
        a = OF_T(joined_)(op, a, OF_T(even_)(LOAD(row + 2), LOAD(row + 2 + WIDTH)));
    return OF_T(sorted_)(a);
}

static ALWAYS_INLINE VECTOR OF_T(finished_)(int finish, VECTOR value, const T *divisor, VECTOR by)
{
    if (finish == AS_IT_IS)
        return value;
    if (finish == DIVIDED_EACH)
        by = LOAD(divisor);
    value = finish == MULTIPLIED ? OF_T(product_)(value, by) : OF_T(quotient_)(value, by);
    return OF_T(choose_)(OF_T(unordered_)(value), OF_T(all_)((T)NAN), value);
}

static ALWAYS_INLINE void OF_T(merge_columns_)(
    int op, int columns, int stride, int finish, const small_windows *w, const T *row, T *dst,
    ptrdiff_t following)
{
    const T *divisors = (const T *)w->divisors;
    VECTOR by = OF_T(all_)((T)w->by);
    ptrdiff_t n = w->outputs, j;
#define RESULTS(j) \
    OF_T(finished_)(finish, OF_T(columns_)(op, columns, stride, row + stride * (j)), divisors + (j), by)
    if (n >= WIDTH) {
        for (j = 0; j < n - WIDTH; j += WIDTH)
            OF_T(store_)(dst + j, RESULTS(j));
        OF_T(store_)(dst + n - WIDTH, RESULTS(n - WIDTH));
    } else if (n + following >= WIDTH) { /* what lies behind a short row is written later */
        OF_T(store_)(dst, RESULTS(0));
    } else {
        T results[WIDTH];
        OF_T(store_)(results, RESULTS(0));
        memcpy(dst, results, n * sizeof(T));
    }
#undef RESULTS
}

/* Pairs of columns without padding: nothing goes through a padded row. */
static ALWAYS_INLINE void OF_T(pool_pairs_)(int op, int taps, int finish, const small_windows *w)
{
    VECTOR by = OF_T(all_)((T)w->by);
    const T *row[4];
    const char *src = w->src;
    char *dst = w->dst;
    ptrdiff_t last = w->outputs - WIDTH, y, j;
#define PAIR(part, j) \
    OF_T(part)(OF_T(merged_)(op, taps, row, 2 * (j)), OF_T(merged_)(op, taps, row, 2 * (j) + WIDTH))
#define PAIRS(j) \
    OF_T(finished_)(finish, OF_T(sorted_)(OF_T(joined_)(op, PAIR(even_, j), PAIR(odd_, j))), 0, by)
    for (y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row) {
        for (int k = 0; k < taps; k++)
            row[k] = (const T *)(src + w->tap[k]);
        prefetch(src + w->ahead, w->fresh);
        for (j = 0; j < last; j += WIDTH)
            OF_T(store_)((T *)dst + j, PAIRS(j));
        OF_T(store_)((T *)dst + last, PAIRS(last));
    }
#undef PAIR
#undef PAIRS
}

static ALWAYS_INLINE void OF_T(pool_rows_)(
    int op, int taps, int columns, int stride, int finish, const small_windows *w)
{
    T *padded[2] = {(T *)w->padded[0], (T *)w->padded[1]};
    T identity = op == OP_SUM ? 0 : (T)-INFINITY;
    const char *src = w->src;
    char *dst = w->dst;
    ptrdiff_t row = w->outputs * sizeof(T), y;
    /* results of rows to come, if they lie behind */
    ptrdiff_t following = w->dst_row == row ? (w->rows - 1) * w->outputs : 0;
    if (columns == 2 && stride == 2 && finish != DIVIDED_EACH && !w->before &&
        w->outputs >= WIDTH && 2 * w->outputs <= w->columns_inside) {
        OF_T(pool_pairs_)(op, taps, finish, w);
        return;
    }
    OF_T(merge_taps_)(op, taps, w, src, padded[0] + w->before, identity);
    for (y = 0; y < w->rows; y++) {
        if (y + 1 < w->rows) {
            src += w->src_row;
            prefetch(src + w->ahead, w->fresh);
            OF_T(merge_taps_)(op, taps, w, src, padded[(y + 1) & 1] + w->before, identity);
        }
        OF_T(merge_columns_)(op, columns, stride, finish, w, padded[y & 1], (T *)dst, following);
        dst += w->dst_row;
        following -= w->outputs;
    }
}

#define FOR_TAPS(op, columns, stride, finish)                            \
    switch (w->taps) {                                                   \
    case 1: OF_T(pool_rows_)(op, 1, columns, stride, finish, w); return; \
    case 2: OF_T(pool_rows_)(op, 2, columns, stride, finish, w); return; \
    case 3: OF_T(pool_rows_)(op, 3, columns, stride, finish, w); return; \
    case 4: OF_T(pool_rows_)(op, 4, columns, stride, finish, w); return; \
    }

#define FOR_COLUMNS(op, finish)               \
    switch (2 * w->columns + w->stride) {     \
    case 3: FOR_TAPS(op, 1, 1, finish) break; \
    case 5: FOR_TAPS(op, 2, 1, finish) break; \
    case 6: FOR_TAPS(op, 2, 2, finish) break; \
    case 7: FOR_TAPS(op, 3, 1, finish) break; \
    case 8: FOR_TAPS(op, 3, 2, finish) break; \
    }

/* Put the identity around the padded rows. */
static void OF_T(pad_small_)(const small_windows *w)
{
    T identity = w->op == OP_SUM ? 0 : (T)-INFINITY;
    ptrdiff_t end = w->before + w->columns_inside;
    for (int i = 0; i < 2; i++) {
        T *padded = (T *)w->padded[i];
        for (ptrdiff_t j = 0; j < w->before; j++)
            padded[j] = identity;
        for (ptrdiff_t j = end; j < end + w->columns + 2 * WIDTH; j++)
            padded[j] = identity;
    }
}

/* Fill the rows of outputs that `w` names. */
static void OF_T(pool_small_)(const small_windows *w)
{
    if (w->op == OP_MAX) {
        FOR_COLUMNS(OP_MAX, AS_IT_IS)
    } else if (w->finish == MULTIPLIED) {
        FOR_COLUMNS(OP_SUM, MULTIPLIED)
    } else if (w->finish == DIVIDED) {
        FOR_COLUMNS(OP_SUM, DIVIDED)
    } else {
        FOR_COLUMNS(OP_SUM, DIVIDED_EACH)
    }
}

#undef FOR_TAPS
#undef FOR_COLUMNS
#undef JOIN2
#undef JOIN
#undef OF_T
#undef VECTOR
#undef WIDTH
#undef LOAD
#undef T
