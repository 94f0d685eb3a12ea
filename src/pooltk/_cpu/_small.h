/* Windows of few rows and columns, for each KIND that includes this. Its elements are S in arrays
 * and T in scratch, whose vectors are those of OF_KIND. There are maxima, or sums if it is one of
 * SUMS, and of T itself, if it is FLOATING, both.
 *
 * For each row of outputs, the rows of its windows (`tap`: where they lie) are merged into a padded
 * row, and the columns of that one are merged into the row of results, which are divided on the
 * way. Some padded rows are filled before the first is read: a load that spans two stores waits
 * until both have reached the cache.
 */
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define OF_T(name) JOIN(name, KIND)
#if !defined(S)
#define S T
#endif
#if !defined(OF_KIND)
#define OF_KIND KIND
#endif
#define OF_V(name) JOIN(name, OF_KIND)
#define VECTOR OF_V(VECTOR_)
#define WIDTH OF_V(WIDTH_)
#define LOAD(p) OF_V(load_)(p)
#if !defined(MAXIMA_LEAVE)
#define MAXIMA_LEAVE AS_IT_IS
#endif
#if defined(FLOATING)
#define APART 1
#define IDENTITY(op) (op == OP_SUM ? 0 : op == OP_RANK ? NO_RANK : (T)-INFINITY)
#define BY VECTOR
#define DIVISOR_OF(w) OF_V(all_)((T)w->by)
#else
#define APART 0
#define IDENTITY(op) LEAST
#define BY int
#define DIVISOR_OF(w) w->shift
#endif

#if defined(READ_AS_IT_IS)
static ALWAYS_INLINE VECTOR OF_T(read_)(const T *p)
{
    return LOAD(p);
}

static ALWAYS_INLINE T OF_T(scalar_read_)(T value)
{
    return value;
}

static ALWAYS_INLINE void OF_T(write_)(T *dst, VECTOR value)
{
    OF_V(store_)(dst, value);
}
#endif

/* What changes no maximum, or no sum. */
static ALWAYS_INLINE VECTOR OF_T(identity_)(int op)
{
    T elements[WIDTH];
    for (int i = 0; i < WIDTH; i++)
        elements[i] = IDENTITY(op);
    return LOAD(elements);
}

static ALWAYS_INLINE VECTOR OF_T(joined_)(int op, VECTOR a, VECTOR b)
{
#if defined(FLOATING)
#if defined(RANKS)
    if (op == OP_RANK)
        return OF_V(rank_)(a, b);
#endif
#if defined(NUMBERS)
    if (op == OP_GREATER)
        return OF_V(greater_)(a, b);
#endif
    return op == OP_SUM ? OF_V(sum_)(a, b) : OF_V(max_)(a, b);
#elif defined(SUMS)
    return a + b;
#else
    return OF_V(max_)(a, b);
#endif
}

static ALWAYS_INLINE T OF_T(scalar_joined_)(int op, T a, T b)
{
#if defined(FLOATING)
    return op == OP_SUM ? a + b : OF_V(scalar_max_)(a, b);
#elif defined(SUMS)
    return (T)(a + b);
#else
    return a > b ? a : b;
#endif
}

#if defined(FLOATING)
#define OPERAND(p) (op == OP_MAX ? OF_V(max_operand_)(p) : LOAD(p))
#else
#define OPERAND(p) LOAD(p)
#endif
#if defined(READ_AS_IT_IS)
#define READ(k) OPERAND(row[k] + j)
#else
#define READ(k) OF_T(read_)(row[k] + j)
#endif
#define SCALAR_READ(k) OF_T(scalar_read_)(row[k][j])

static ALWAYS_INLINE VECTOR OF_T(merged_4_)(int op, int taps, const S *const *row, ptrdiff_t j)
{
    VECTOR a = READ(0);
    if (taps >= 2)
        a = OF_T(joined_)(op, a, READ(1));
    if (taps == 3)
        a = OF_T(joined_)(op, a, READ(2));
    if (taps == 4)
        a = OF_T(joined_)(op, a, OF_T(joined_)(op, READ(2), READ(3)));
    return a;
}

static ALWAYS_INLINE T OF_T(scalar_merged_4_)(int op, int taps, const S *const *row, ptrdiff_t j)
{
    T a = SCALAR_READ(0);
    if (taps >= 2)
        a = OF_T(scalar_joined_)(op, a, SCALAR_READ(1));
    if (taps == 3)
        a = OF_T(scalar_joined_)(op, a, SCALAR_READ(2));
    if (taps == 4)
        a = OF_T(scalar_joined_)(op, a, OF_T(scalar_joined_)(op, SCALAR_READ(2), SCALAR_READ(3)));
    return a;
}

/* Of up to MOST_ROWS rows, as merge_taps of _merge.pxi does it: fours, then twice as many. */
static ALWAYS_INLINE VECTOR OF_T(merged_)(int op, int taps, const S *const *row, ptrdiff_t j)
{
    VECTOR a = OF_T(merged_4_)(op, taps < 4 ? taps : 4, row, j);
    if (taps > 4)
        a = OF_T(joined_)(op, a, OF_T(merged_4_)(op, taps < 8 ? taps - 4 : 4, row + 4, j));
    return taps == 9 ? OF_T(joined_)(op, a, READ(8)) : a;
}

static ALWAYS_INLINE T OF_T(scalar_merged_)(int op, int taps, const S *const *row, ptrdiff_t j)
{
    T a = OF_T(scalar_merged_4_)(op, taps < 4 ? taps : 4, row, j);
    if (taps > 4)
        a = OF_T(scalar_joined_)(
            op, a, OF_T(scalar_merged_4_)(op, taps < 8 ? taps - 4 : 4, row + 4, j));
    return taps == 9 ? OF_T(scalar_joined_)(op, a, SCALAR_READ(8)) : a;
}
#undef READ
#undef SCALAR_READ

/* The rows of a window, merged into the middle of a padded row. */
static ALWAYS_INLINE void OF_T(merge_taps_)(
    int op, int taps, const small_windows *w, const char *src, T *dst)
{
    const S *row[MOST_ROWS];
    ptrdiff_t n = w->columns_inside, j = 0;
    for (int k = 0; k < taps; k++)
        row[k] = (const S *)(src + w->tap[k]);
    if (n >= WIDTH) {
        for (; j < n - WIDTH; j += WIDTH)
            OF_V(store_)(dst + j, OF_T(merged_)(op, taps, row, j));
        OF_V(store_)(dst + n - WIDTH, OF_T(merged_)(op, taps, row, n - WIDTH));
        return;
    }
    if ((const char *)(row[taps - 1] + WIDTH) <= w->src_end) /* what lies behind a short row */
        OF_V(store_)(dst, OF_T(merged_)(op, taps, row, 0));
    else
        for (; j < n; j++)
            dst[j] = OF_T(scalar_merged_)(op, taps, row, j);
    for (j = n; j < WIDTH; j++)
        dst[j] = IDENTITY(op);
}

static ALWAYS_INLINE VECTOR OF_T(pairs_)(int op, VECTOR a, VECTOR b)
{
    return OF_V(sorted_)(OF_T(joined_)(op, OF_V(even_)(a, b), OF_V(odd_)(a, b)));
}

#if defined(FLOATING)
static ALWAYS_INLINE VECTOR OF_T(triples_)(int op, VECTOR a, VECTOR b, VECTOR c)
{
    OF_V(thirds_)(&a, &b, &c);
    return OF_T(joined_)(op, OF_T(joined_)(op, a, b), c);
}
#endif

/* Pairs of columns over 2 or 4 rows. */
static ALWAYS_INLINE VECTOR OF_T(merged_pairs_)(int op, int taps, const S *const *row, ptrdiff_t j)
{
#if defined(READ_PAIRS)
    VECTOR a = OF_T(read_pairs_)(row[0] + j);
    for (int k = 1; k < taps; k++)
        a = OF_T(joined_)(op, a, OF_T(read_pairs_)(row[k] + j));
    return a;
#else
    return OF_T(pairs_)(op, OF_T(merged_)(op, taps, row, j), OF_T(merged_)(op, taps, row, j + WIDTH));
#endif
}

static ALWAYS_INLINE VECTOR OF_T(fours_)(int op, const T *row, ptrdiff_t next)
{
    return OF_T(joined_)(op, OF_T(joined_)(op, OPERAND(row), OPERAND(row + next)),
                         OF_T(joined_)(op, OPERAND(row + 2 * next), OPERAND(row + 3 * next)));
}

/* Results: windows of a merged row's columns, `stride` apart. With stride 1 the `next` column may
 * be some channels away, and a vector is one of channels. */
static ALWAYS_INLINE VECTOR OF_T(columns_)(
    int op, int columns, int stride, const T *row, ptrdiff_t next)
{
    VECTOR a = OPERAND(row);
    if (columns == 1)
        return a;
    if (stride == 1 && columns <= 3) {
        a = OF_T(joined_)(op, a, OPERAND(row + next));
        return columns == 2 ? a : OF_T(joined_)(op, a, OPERAND(row + 2 * next));
    }
    if (stride == 1)
        return columns == 4 ? OF_T(fours_)(op, row, next)
                            : OF_T(joined_)(op, a, OF_T(fours_)(op, row + next, next));
#if defined(FLOATING)
    if (stride == 3)
        return OF_T(triples_)(op, a, LOAD(row + WIDTH), LOAD(row + 2 * WIDTH));
#endif
    if (columns == 2)
        return OF_T(pairs_)(op, a, LOAD(row + WIDTH));
    if (columns == 3) {
        VECTOR b = LOAD(row + WIDTH), ends = OF_V(even_)(LOAD(row + 2), LOAD(row + 2 + WIDTH));
        a = OF_T(joined_)(op, OF_V(even_)(a, b), OF_V(odd_)(a, b));
        return OF_V(sorted_)(OF_T(joined_)(op, a, ends));
    }
    return OF_T(pairs_)(op, OF_T(pairs_)(op, a, LOAD(row + WIDTH)),
                        OF_T(pairs_)(op, LOAD(row + 2 * WIDTH), LOAD(row + 3 * WIDTH)));
}

#if defined(FLOATING)
static ALWAYS_INLINE VECTOR OF_T(finished_)(int finish, VECTOR value, const T *divisor, VECTOR by)
{
    if (finish == AS_IT_IS)
        return value;
    if (finish == ONE_ZERO)
        return OF_V(sum_)(value, OF_V(all_)(0));
    if (finish == DIVIDED_EACH)
        by = LOAD(divisor);
    value = finish == ONE_ZERO_AND_NAN ? OF_V(sum_)(value, OF_V(all_)(0))
            : finish == MULTIPLIED     ? OF_V(product_)(value, by)
                                       : OF_V(quotient_)(value, by);
    return OF_V(choose_)(OF_V(unordered_)(value), OF_V(all_)((T)NAN), value);
}
#else
static ALWAYS_INLINE VECTOR OF_T(finished_)(int finish, VECTOR value, const T *divisor, int by)
{
    (void)finish, (void)divisor, (void)by;
#if defined(SUMS) /* half to even */
    value = SHIFTED(value + (T)((1 << by >> 1) - 1) + (SHIFTED(value, by) & (T)1), by);
#endif
    return value;
}
#endif

static ALWAYS_INLINE void OF_T(merge_columns_)(
    int op, int columns, int stride, int finish, const T *row, ptrdiff_t next, BY by,
    const T *divisors, S *dst, ptrdiff_t n, ptrdiff_t following)
{
    ptrdiff_t j;
#define RESULTS(j)                                                                       \
    OF_T(finished_)(finish, OF_T(columns_)(op, columns, stride, row + stride * (j), next), \
                    divisors + (j), by)
    if (n >= WIDTH) {
        for (j = 0; j < n - WIDTH; j += WIDTH)
            OF_T(write_)(dst + j, RESULTS(j));
        OF_T(write_)(dst + n - WIDTH, RESULTS(n - WIDTH));
    } else if (n + following >= WIDTH) { /* what lies behind a short row is written later */
        OF_T(write_)(dst, RESULTS(0));
    } else {
        S results[WIDTH];
        OF_T(write_)(results, RESULTS(0));
        memcpy(dst, results, n * sizeof(S));
    }
#undef RESULTS
}

typedef void (*OF_T(merge_t_))(const small_windows *, const char *, T *);

#define MERGE_TAPS(op, taps)                                                            \
    static void OF_T(merge_##op##_##taps##_)(const small_windows *w, const char *src, T *dst) \
    {                                                                                   \
        OF_T(merge_taps_)(op, taps, w, src, dst);                                       \
    }
#define MERGE_ALL_TAPS(op)                                                              \
    MERGE_TAPS(op, 1) MERGE_TAPS(op, 2) MERGE_TAPS(op, 3)                               \
    MERGE_TAPS(op, 4) MERGE_TAPS(op, 5) MERGE_TAPS(op, 6)                               \
    MERGE_TAPS(op, 7) MERGE_TAPS(op, 8) MERGE_TAPS(op, 9)
#define MERGES(op)                                                                      \
    {OF_T(merge_##op##_1_), OF_T(merge_##op##_2_), OF_T(merge_##op##_3_),               \
     OF_T(merge_##op##_4_), OF_T(merge_##op##_5_), OF_T(merge_##op##_6_),               \
     OF_T(merge_##op##_7_), OF_T(merge_##op##_8_), OF_T(merge_##op##_9_)}
#if !defined(SUMS)
MERGE_ALL_TAPS(OP_MAX)
#endif
#if defined(FLOATING) || defined(SUMS)
MERGE_ALL_TAPS(OP_SUM)
#endif
#if defined(RANKS)
MERGE_ALL_TAPS(OP_RANK)
#endif
#if defined(NUMBERS)
MERGE_ALL_TAPS(OP_GREATER)
#endif
static const OF_T(merge_t_) OF_T(merges_)[OPERATIONS][MOST_ROWS] = {
#if !defined(SUMS)
    [OP_MAX] = MERGES(OP_MAX),
#endif
#if defined(FLOATING) || defined(SUMS)
    [OP_SUM] = MERGES(OP_SUM),
#endif
#if defined(RANKS)
    [OP_RANK] = MERGES(OP_RANK),
#endif
#if defined(NUMBERS)
    [OP_GREATER] = MERGES(OP_GREATER),
#endif
};

#if defined(FLOATING) || !defined(SUMS)
/* The rows of one window of each plane, into rows one behind the other. */
static void OF_T(merge_planes_)(const small_windows *w, void *dst)
{
    for (ptrdiff_t p = 0; p < w->planes; p++)
        OF_T(merges_)[w->op][w->taps - 1](
            w, w->src + w->plane[p], (T *)dst + p * w->columns_inside);
}
#endif

/* Pairs of columns over 2 or 4 rows without padding: nothing goes through a padded row. `following`
 * results of rows to come may be written, as they will be again. */
static ALWAYS_INLINE void OF_T(pool_pairs_)(
    int op, int taps, int finish, const small_windows *w, ptrdiff_t following)
{
    BY by = DIVISOR_OF(w);
    const char *src = w->src;
    char *dst = w->dst;
    ptrdiff_t last = w->outputs - WIDTH, y, j;
    for (y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row, following -= w->outputs) {
        const S *row[4];
        S rows[4][2 * WIDTH], results[WIDTH];
        for (int k = 0; k < taps; k++)
            row[k] = (const S *)(src + w->tap[k]);
#define PAIRS(j) OF_T(finished_)(finish, OF_T(merged_pairs_)(op, taps, row, 2 * (j)), 0, by)
        if (last < 0) {
            S *place = last + following >= 0 ? (S *)dst : results;
            if ((const char *)(row[taps - 1] + 2 * WIDTH) > w->src_end)
                for (int k = 0; k < taps; k++) {
                    memset(rows[k], 0, sizeof rows[k]);
                    row[k] = memcpy(rows[k], row[k], 2 * w->outputs * sizeof(S));
                }
            OF_T(write_)(place, PAIRS(0));
            if (place == results)
                memcpy(dst, results, w->outputs * sizeof(S));
            continue;
        }
        for (j = 0; j < last; j += WIDTH) {
            for (int k = 0; k < taps; k++)
                prefetch_line((const char *)(row[k] + 2 * j) + AHEAD * taps / 2);
            OF_T(write_)((S *)dst + j, PAIRS(j));
        }
        OF_T(write_)((S *)dst + last, PAIRS(last));
#undef PAIRS
    }
}

#if defined(NEIGHBOURS)
static ALWAYS_INLINE VECTOR OF_T(three_)(int op, VECTOR first, VECTOR second, VECTOR third)
{
    return OF_T(joined_)(op, OF_T(joined_)(op, first, second), third);
}

/* Windows of 3 columns, stride 1, whose taps stay in registers: what is stored in a padded row and
 * read again waits until the results that were stored before it have reached the cache.
 *
 * At least WIDTH outputs of a row. Its elements are in the middle of their windows; `left` and
 * `right` tell whether there is one before them and behind. */
static ALWAYS_INLINE void OF_T(threes_)(
    int op, int taps, int finish, const S *const *row, int left, int right, S *dst, ptrdiff_t n,
    VECTOR identity, BY by)
{
#define MERGED(j) OF_T(merged_)(op, taps, row, j)
#define WRITE(j, first, second, third)                                               \
    OF_T(write_)(dst + (j), OF_T(finished_)(                                         \
                                finish, OF_T(three_)(op, first, second, third), NULL, by))
    VECTOR here = MERGED(0), first = left ? MERGED(-1) : OF_V(behind_)(identity, here), next;
    ptrdiff_t j = 0;
    for (; j + 2 * WIDTH <= n; j += WIDTH) {
        next = MERGED(j + WIDTH);
        WRITE(j, first, here, OF_V(before_)(here, next));
        first = OF_V(behind_)(here, next);
        here = next;
    }
    if (j + WIDTH < n) {
        WRITE(j, first, here, MERGED(j + 1));
        j = n - WIDTH;
        first = MERGED(j - 1);
        here = MERGED(j);
    }
    WRITE(j, first, here, right ? MERGED(j + 1) : OF_V(before_)(here, identity));
#undef MERGED
#undef WRITE
}

#if defined(FLOATING)
/* The same with stride 2: the middle of a window is at an even place, what is behind it at an odd one. */
static ALWAYS_INLINE void OF_T(threes_apart_)(
    int op, int taps, int finish, const S *const *row, int left, int right, S *dst, ptrdiff_t n,
    const T *divisors, VECTOR identity, BY by, ptrdiff_t ahead)
{
#define MERGED(j) OF_T(merged_)(op, taps, row, j)
#define WRITE(j, last)                                                                            \
    do {                                                                                          \
        VECTOR low = MERGED(2 * (j)), high = last;                                                \
        VECTOR even = OF_V(even_)(low, high), odd = OF_V(odd_)(low, high);                        \
        VECTOR moved = OF_V(moved_up_)(odd), first = OF_V(with_first_)(moved, before);            \
        VECTOR result = OF_V(sorted_)(OF_T(three_)(op, first, even, odd));                        \
        OF_T(write_)(dst + (j), OF_T(finished_)(finish, result, divisors + (j), by));             \
        before = moved;                                                                           \
    } while (0)
    VECTOR before = left ? MERGED(-1) : identity; /* of which the first element counts */
    ptrdiff_t j = 0;
    for (; j < n - WIDTH; j += WIDTH) {
        prefetch_line((const char *)(row[taps / 2] + 2 * j) + ahead);
        prefetch_line((const char *)(row[taps - 1] + 2 * j) + ahead);
        WRITE(j, MERGED(2 * j + WIDTH));
    }
    if (j > n - WIDTH) {
        j = n - WIDTH;
        before = MERGED(2 * j - 1);
    }
    WRITE(j, right ? MERGED(2 * j + WIDTH)
                   : OF_V(before_)(MERGED(2 * j + WIDTH - 1), identity));
#undef MERGED
#undef WRITE
}
#endif

static ALWAYS_INLINE void OF_T(pool_threes_)(
    int op, int taps, int stride, int finish, const small_windows *w)
{
    BY by = DIVISOR_OF(w);
    VECTOR identity = OF_T(identity_)(op);
    const char *src = w->src;
    char *dst = w->dst;
    ptrdiff_t middle = 1 - w->before, n = w->outputs;
    int right = middle + stride * (n - 1) + 1 < w->columns_inside;
    for (ptrdiff_t y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row) {
        const S *row[MOST_ROWS];
        for (int k = 0; k < taps; k++)
            row[k] = (const S *)(src + w->tap[k]) + middle;
        if (stride == 1) {
            prefetch(src + w->ahead, w->fresh);
            OF_T(threes_)(op, taps, finish, row, middle > 0, right, (S *)dst, n, identity, by);
        }
#if defined(FLOATING)
        else
            OF_T(threes_apart_)(op, taps, finish, row, middle > 0, right, (S *)dst, n, w->divisors,
                                identity, by, w->ahead);
#endif
    }
}
#endif

#if defined(IN_REGISTERS)
#include "_lines.h"
#endif

#if defined(POOLS_PIXELS)
#include "_pixels.h"
#include "_pixel_bins.h"
#endif

static ALWAYS_INLINE void OF_T(pool_rows_)(
    int op, int columns, int stride, int finish, const small_windows *w)
{
    OF_T(merge_t_) merge = OF_T(merges_)[op][w->taps - 1];
    T *first = (T *)w->padded, *end = first + w->padded_rows * w->padded_size, *next = first;
    const T *merged = first, *divisors = (const T *)w->divisors;
    BY by = DIVISOR_OF(w);
    const char *src = w->src;
    char *dst = w->dst;
    ptrdiff_t rows = w->rows, left = rows, ahead = w->padded_rows - 1, y = -ahead;
    ptrdiff_t row = w->outputs * sizeof(S), step = w->padded_size;
#if defined(READ_AS_IT_IS)
    if (w->taps == 1 && w->channels >= WIDTH && stride == 1 && w->before == 0 &&
        (w->outputs / w->channels - 1) * w->stride + columns <= w->columns_inside / w->channels) {
        /* Pixels of a vector or more, neither merged with other rows nor padded, are read in place. */
        merged = (const T *)src;
        step = w->src_row / (ptrdiff_t)sizeof(T);
        left = y = 0;
        end = NULL;
    }
#endif
#if defined(NEIGHBOURS)
    if (columns == 3 && stride <= 2 && op != OP_RANK && (stride == 1 ? finish != DIVIDED_EACH : APART) &&
        w->channels == 1 && w->before <= 1 && w->outputs >= WIDTH &&
        1 - w->before + stride * (w->outputs - 1) < w->columns_inside) {
        if (w->taps == 1) {
            OF_T(pool_threes_)(op, 1, stride, finish, w);
            return;
        }
        if (w->taps == 3) {
            OF_T(pool_threes_)(op, 3, stride, finish, w);
            return;
        }
    }
#endif
#if defined(POOLS_PIXELS)
    if (stride == 1 && op != OP_RANK && w->pixels) {
        if (columns == 3 && w->stride == 1)
            OF_T(pool_pixels_)(op, 3, 1, finish, w);
        else if (columns == 3)
            OF_T(pool_pixels_)(op, 3, 2, finish, w);
        else if (columns == 2)
            OF_T(pool_pixels_)(op, 2, 2, finish, w);
        return;
    }
#endif
    /* results of rows to come, if they lie behind */
    ptrdiff_t following = w->dst_row == row ? (w->rows - 1) * w->outputs : 0;
    if (columns == 2 && stride == 2 && finish != DIVIDED_EACH && w->before == 0 &&
        2 * w->outputs <= w->columns_inside) {
        if (w->taps == 2) {
            OF_T(pool_pairs_)(op, 2, finish, w, following);
            return;
        }
        if (w->taps == 4) {
            OF_T(pool_pairs_)(op, 4, finish, w, following);
            return;
        }
    }
    for (; y < rows; y++) {
        if (y + ahead < left) {
            prefetch(src + w->ahead, w->fresh);
            merge(w, src, next + w->before);
            src += w->src_row;
            next += w->padded_size;
            if (next == end)
                next = first;
        }
        if (y < 0)
            continue;
        /* Read again, lest the compiler make a loop for each kind of row: a third more code. */
        ptrdiff_t n = w->outputs, c = w->channels;
        if (stride == 1 && w->stride > 1 && c > 1 && c < 8) {
            /* few channels: with stride 1, of which every stride-th pixel is kept */
            ptrdiff_t pixels = n / c;
            OF_T(merge_columns_)(
                op, columns, 1, finish, merged, c, by, divisors, (S *)w->unstrided,
                ((pixels - 1) * w->stride + 1) * c, 0);
            move_pixels((const char *)w->unstrided, w->stride, c * sizeof(S), dst, pixels);
        } else if (stride == 1 && w->stride > 1 && c > 1) { /* pixel by pixel */
            const T *pixel = merged;
            for (ptrdiff_t x = 0; x < n; x += c, pixel += w->stride * c)
                OF_T(merge_columns_)(
                    op, columns, 1, finish, pixel, c, by, divisors + x, (S *)dst + x, c, n - x - c);
        } else {
            OF_T(merge_columns_)(
                op, columns, stride, finish, merged, stride == 1 ? c : 1, by, divisors, (S *)dst, n,
                following);
        }
        dst += w->dst_row;
        following -= n;
        merged += step;
        if (merged == end)
            merged = first;
    }
}

#if defined(FLOATING)
#define THREES_SIDE_BY_SIDE(op, finish) \
    case 33: OF_T(pool_rows_)(op, 3, 3, finish, w); break;
#else
#define THREES_SIDE_BY_SIDE(op, finish)
#endif
#define FOR_COLUMNS(op, finish)                            \
    switch (10 * w->columns + (w->channels > 1 ? 1 : w->stride)) { \
    case 11: OF_T(pool_rows_)(op, 1, 1, finish == ONE_ZERO ? ONE_ZERO_AND_NAN : finish, w); break; \
    case 21: OF_T(pool_rows_)(op, 2, 1, finish, w); break; \
    case 22: OF_T(pool_rows_)(op, 2, 2, finish, w); break; \
    case 31: OF_T(pool_rows_)(op, 3, 1, finish, w); break; \
    case 32: OF_T(pool_rows_)(op, 3, 2, finish, w); break; \
    THREES_SIDE_BY_SIDE(op, finish)                        \
    case 41: OF_T(pool_rows_)(op, 4, 1, finish, w); break; \
    case 44: OF_T(pool_rows_)(op, 4, 4, finish, w); break; \
    case 51: OF_T(pool_rows_)(op, 5, 1, finish, w); break; \
    }

/* Put the identity around the padded rows, or rather more of it. */
static void OF_T(pad_rows_)(const small_windows *w)
{
    T *padded = (T *)w->padded;
    VECTOR identity = OF_T(identity_)(w->op);
    for (ptrdiff_t i = 0; i < w->padded_rows; i++, padded += w->padded_size) {
        for (ptrdiff_t j = 0; j < w->before; j += WIDTH)
            OF_V(store_)(padded + j, identity);
        for (ptrdiff_t j = w->before + w->columns_inside; j < w->pitch + 4 * WIDTH; j += WIDTH)
            OF_V(store_)(padded + j, identity);
    }
}

/* Fill the rows of outputs that `w` names. */
static void OF_T(pool_small_)(const small_windows *w)
{
    if (w->pad && !w->pixels)
        OF_T(pad_rows_)(w);
#if !defined(SUMS)
    if (w->op == OP_MAX) {
        FOR_COLUMNS(OP_MAX, MAXIMA_LEAVE)
        return;
    }
#endif
#if defined(RANKS)
    if (w->op == OP_RANK) {
        FOR_COLUMNS(OP_RANK, AS_IT_IS)
        return;
    }
#endif
#if defined(NUMBERS)
    if (w->op == OP_GREATER) {
        FOR_COLUMNS(OP_GREATER, ONE_ZERO)
        return;
    }
#endif
#if defined(FLOATING)
    if (w->finish == DIVIDED_EACH) {
        FOR_COLUMNS(OP_SUM, DIVIDED_EACH)
        return;
    }
    if (w->finish == DIVIDED) {
        FOR_COLUMNS(OP_SUM, DIVIDED)
        return;
    }
#endif
#if defined(FLOATING) || defined(SUMS)
    FOR_COLUMNS(OP_SUM, MULTIPLIED)
#endif
}

#undef MERGE_TAPS
#undef MERGE_ALL_TAPS
#undef MERGES
#undef FOR_COLUMNS
#undef THREES_SIDE_BY_SIDE
#undef JOIN2
#undef JOIN
#undef OF_T
#undef OF_KIND
#undef OF_V
#undef VECTOR
#undef WIDTH
#undef LOAD
#undef OPERAND
#undef IDENTITY
#undef BY
#undef DIVISOR_OF
#undef KIND
#undef APART
#undef S
#undef T
#undef FLOATING
#undef RANKS
#undef SUMS
#undef SHIFTED
#undef WIDENED
#undef PAIRED
#undef READ_PAIRS
#undef LEAST
#undef READ_AS_IT_IS
#undef NEIGHBOURS
#undef IN_REGISTERS
#undef NUMBERS
#undef MAXIMA_LEAVE
#undef POOLS_PIXELS
