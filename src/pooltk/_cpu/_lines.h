/* Planes of few columns, for each KIND whose planes are pooled IN_REGISTERS: included by _small.h.
 *
 * Windows are of 3 x 3, or of 2 x 2 side by side. Each row of a plane is read once, into registers,
 * and nothing but results is stored. A row is so many vectors, of which the last may not be full.
 */

/* The first n elements of a vector, fewer than it has or all; what lies behind is not touched. Halves
 * are read and written by how far `down` their order is moved. */
#if defined(FLOATING)
#define READ_IT(p) OF_T(read_)(p)
#define WRITE_IT(p, value) OF_T(write_)(p, value)
static ALWAYS_INLINE VECTOR OF_T(read_first_)(
    const S *p, ptrdiff_t n, const char *end, VECTOR inside, VECTOR outside, uint16_t down)
{
    (void)n, (void)end, (void)down;
    return OF_V(either_)(outside, OF_V(load_where_)(inside, p));
}

static ALWAYS_INLINE void OF_T(write_first_)(S *dst, ptrdiff_t n, VECTOR value, uint16_t down)
{
    (void)down;
    OF_V(store_where_)(OF_V(first_)(n), dst, value);
}
#else /* AVX2 has no such instructions for short elements */
#define READ_IT(p) OF_T(ordered_)(OF_T(load_)(p), down)
#define WRITE_IT(p, value) OF_T(store_)(p, OF_T(of_ordered_)(value, down))
static ALWAYS_INLINE VECTOR OF_T(read_first_)(
    const S *p, ptrdiff_t n, const char *end, VECTOR inside, VECTOR outside, uint16_t down)
{
    S elements[WIDTH];
    if ((const char *)(p + WIDTH) > end)
        p = memcpy(elements, p, n * sizeof(S));
    return (READ_IT(p) & inside) | outside;
}

static ALWAYS_INLINE void OF_T(write_first_)(S *dst, ptrdiff_t n, VECTOR value, uint16_t down)
{
    S elements[WIDTH];
    WRITE_IT(elements, value);
    memcpy(dst, elements, (n < WIDTH ? n : WIDTH) * sizeof(S));
}
#endif

/* Vector v of the results of a merged row. */
static ALWAYS_INLINE VECTOR OF_T(columns_of_line_)(
    int op, int kernel_size, int stride, int padded, int vectors, const VECTOR *row, int v,
    VECTOR identity)
{
#define IN_ROW(v) (0 <= (v) && (v) < vectors ? row[v] : identity)
    if (kernel_size == 2)
        return OF_T(pairs_)(op, IN_ROW(2 * v), IN_ROW(2 * v + 1));
#define EVERY_SECOND_OF(PARITY, v) OF_V(sorted_)(OF_V(PARITY)(IN_ROW(2 * (v)), IN_ROW(2 * (v) + 1)))
    if (stride == 1)
        return OF_T(three_)(
            op, OF_V(behind_)(IN_ROW(v - 1), row[v]), row[v],
            OF_V(before_)(row[v], IN_ROW(v + 1)));
    VECTOR even = EVERY_SECOND_OF(even_, v), odd = EVERY_SECOND_OF(odd_, v);
    if (padded)
        return OF_T(three_)(
            op, OF_V(behind_)(v ? EVERY_SECOND_OF(odd_, v - 1) : identity, odd), even, odd);
    return OF_T(three_)(op, even, odd, OF_V(before_)(even, IN_ROW(2 * v + 2)));
#undef IN_ROW
#undef EVERY_SECOND_OF
}

/* `divisors` has one for each element of the first row of results, of those between, and of the
 * last. What is written behind a row is the beginning of the next one, up to the last plane's end. */
static ALWAYS_INLINE void OF_T(pool_lines_)(
    int op, int kernel_size, int stride, int padded, int vectors, const small_windows *w)
{
    int finish = op == OP_SUM       ? kernel_size == 2 ? MULTIPLIED : DIVIDED_EACH
                 : op == OP_GREATER ? ONE_ZERO
                                    : ONE_ZERO_AND_NAN;
    int size = vectors * WIDTH;
    VECTOR identity = OF_T(identity_)(op), a[MOST_VECTORS], b[MOST_VECTORS], c[MOST_VECTORS];
    const ptrdiff_t lines = w->lines, next_line = w->line, outputs = w->outputs;
    ptrdiff_t last = w->columns_inside - size + WIDTH;
    VECTOR inside = OF_V(first_)(last), outside = OF_V(where_not_first_)(inside, identity);
    VECTOR row[MOST_VECTORS];
    const char *end = w->dst + w->rows * w->dst_row;
    S *dst = (S *)w->dst;
    BY by = DIVISOR_OF(w);
    const uint16_t down = w->down;
    (void)down;
#define READ_LINE(row)                                                                        \
    do {                                                                                      \
        for (int v = 0; v < vectors; v += 2)                                                  \
            prefetch_line(line + v * REGISTER + AHEAD);                                       \
        for (int v = 0; v < vectors - 1; v++)                                                 \
            row[v] = READ_IT((const S *)line + v * WIDTH);                                    \
        row[vectors - 1] = OF_T(read_first_)(                                                 \
            (const S *)line + (vectors - 1) * WIDTH, last, w->src_end, inside, outside, down); \
        line += next_line;                                                                    \
    } while (0)
#define EACH for (int v = 0; v < vectors; v++)
    for (ptrdiff_t p = 0; p < w->rows; p++) {
        const char *line = w->src + p * w->src_row;
        const T *divisors = (const T *)w->divisors;
        READ_LINE(b);
        READ_LINE(c);
        for (ptrdiff_t y = 0; y < lines; y++, dst += outputs) {
            int taps = y == 0 ? w->first_taps : y == lines - 1 ? w->taps : 3;
            if (kernel_size == 2) {
                if (y > 0) {
                    READ_LINE(b);
                    READ_LINE(c);
                }
                taps = 2;
            } else if (y > 0 || taps == 3) {
                /* the last row of a window is the first but one of the next, or the first */
                EACH a[v] = y == 0 || stride == 1 ? b[v] : c[v];
                if (y == 0 || stride == 1)
                    EACH b[v] = c[v];
                else if (taps > 1)
                    READ_LINE(b);
                if (taps == 3)
                    READ_LINE(c);
            }
            if (taps == 3)
                EACH row[v] = OF_T(three_)(op, a[v], b[v], c[v]);
            else if (y == 0 || kernel_size == 2)
                EACH row[v] = OF_T(joined_)(op, b[v], c[v]);
            else
                EACH row[v] = taps == 1 ? a[v] : OF_T(joined_)(op, a[v], b[v]);
            for (int v = 0; v < (stride == 1 ? vectors : (vectors + 1) / 2); v++) {
                ptrdiff_t left = outputs - v * WIDTH;
                if (stride > 1 && left <= 0)
                    break;
                VECTOR result = OF_T(columns_of_line_)(
                    op, kernel_size, stride, padded, vectors, row, v, identity);
                result = OF_T(finished_)(finish, result, divisors + v * WIDTH, by);
                if (LIKELY((const char *)(dst + (v + 1) * WIDTH) <= end))
                    WRITE_IT(dst + v * WIDTH, result);
                else
                    OF_T(write_first_)(dst + v * WIDTH, left, result, down);
            }
            divisors += y == 0 || y == lines - 2 ? size : 0;
        }
    }
#undef READ_LINE
#undef EACH
}

#define LINES_OF(op, kernel_size, stride, padded, vectors)                    \
    case 1000 * kernel_size + 100 * stride + 10 * padded + vectors:           \
        OF_T(pool_lines_)(op, kernel_size, stride, padded, vectors, w);       \
        break;
#define LINES_OF_ALL(op, kernel_size, stride, padded)                                             \
    LINES_OF(op, kernel_size, stride, padded, 1) LINES_OF(op, kernel_size, stride, padded, 2)      \
    LINES_OF(op, kernel_size, stride, padded, 3) LINES_OF(op, kernel_size, stride, padded, 4)      \
    LINES_OF(op, kernel_size, stride, padded, 5) LINES_OF(op, kernel_size, stride, padded, 6)      \
    LINES_OF(op, kernel_size, stride, padded, 7)
#define PAIRS_OF_LINES(op) LINES_OF_ALL(op, 2, 2, 0)
#define THREES_OF_LINES(op) \
    LINES_OF_ALL(op, 3, 1, 1) LINES_OF_ALL(op, 3, 2, 0) LINES_OF_ALL(op, 3, 2, 1)
static void OF_T(pool_planes_)(const small_windows *w)
{
    int vectors = (int)((w->columns_inside + WIDTH - 1) / WIDTH);
    int windows = 1000 * w->columns + 100 * w->stride + 10 * (int)w->before + vectors;
#if defined(FLOATING)
    if (w->op == OP_SUM) {
        switch (windows) { PAIRS_OF_LINES(OP_SUM) LINES_OF_ALL(OP_SUM, 3, 1, 1) }
        return;
    }
#endif
#if defined(NUMBERS)
    if (w->op == OP_GREATER) {
        switch (windows) { PAIRS_OF_LINES(OP_GREATER) THREES_OF_LINES(OP_GREATER) }
        return;
    }
#endif
    switch (windows) { PAIRS_OF_LINES(OP_MAX) THREES_OF_LINES(OP_MAX) }
}
#undef PAIRS_OF_LINES
#undef THREES_OF_LINES
#undef LINES_OF
#undef LINES_OF_ALL
#undef READ_IT
#undef WRITE_IT
