/* Bins and windows of a few elements over planes of few columns: included by _kinds.h.
 *
 * The rows of a row of bins are merged into registers, from which permutations pick one tap of all
 * of its bins at a time. What is written behind a row is the beginning of the next one, up to the
 * last plane's end.
 */
typedef struct {
    int op, vectors, taps;                /* of a merged row; of the widest bin, in a row, */
    int least;                            /* and of the narrowest */
    ptrdiff_t planes, src_plane, src_row; /* how far apart, in bytes, */
    ptrdiff_t dst_plane, dst_row;         /* in elements */
    ptrdiff_t rows, outputs, columns, fresh;
    const ptrdiff_t *first, *count;       /* the first row of each row of outputs, and how many */
    int32_t column[MOST_BIN][BINS];       /* of each tap; -1, or the last, where a bin lacks it */
    const float *row_divisors;            /* those of windows are these times those of columns */
    float column_divisors[BINS];
    const char *src;
    float *dst;
    const float *dst_end;
} bin_planes;

#if defined(__AVX2__)
#define MERGE(a, c) \
    (op == OP_SUM ? sum_float(a, c) : op == OP_MAX ? max_float(a, c) : greater_float(a, c))
static ALWAYS_INLINE void pool_bins_of(int op, int vectors, int taps, const bin_planes *b)
{
    VECTOR_float merged[MOST_BIN_VECTORS], tap[MOST_BIN], none[MOST_BIN];
    VECTOR_float at[MOST_BIN][MOST_BIN_VECTORS];
    __m256i from[MOST_BIN][MOST_BIN_VECTORS];
    ptrdiff_t start[MOST_BIN_VECTORS];
    const ptrdiff_t rows = b->rows, outputs = b->outputs;
    const ptrdiff_t src_row = b->src_row, dst_row = b->dst_row;
    const ptrdiff_t *first = b->first, *counts = b->count;
    const float *divisors = b->row_divisors, *end = b->dst_end;
    const VECTOR_float column_divisors = load_float(b->column_divisors);
    float *dst;
    for (int v = 0; v < vectors; v++) { /* the last one ends with the row */
        start[v] = v < vectors - 1 ? v * WIDTH_float : b->columns - WIDTH_float;
        for (int t = 0; t < taps; t++) {
            __m256i column = _mm256_loadu_si256((const __m256i *)b->column[t]);
            __m256i missing = _mm256_srai_epi32(column, 31);
            none[t] = _mm256_and_ps(_mm256_castsi256_ps(missing), all_float(-0.0f));
            from[t][v] = _mm256_sub_epi32(column, _mm256_set1_epi32((int)start[v]));
            at[t][v] = _mm256_castsi256_ps(
                _mm256_cmpgt_epi32(from[t][v], _mm256_set1_epi32(-1)));
        }
    }
    for (ptrdiff_t p = 0; p < b->planes; p++) {
        dst = b->dst + p * b->dst_plane;
        for (ptrdiff_t y = 0; y < rows; y++, dst += dst_row) {
            const char *row = b->src + p * b->src_plane + first[y] * src_row;
            ptrdiff_t count = counts[y];
            VECTOR_float result;
            prefetch_line(row + AHEAD);
            for (ptrdiff_t i = 64; i < b->fresh; i += 64)
                prefetch_line(row + AHEAD + i);
#define READ(k) load_float((const float *)(row + (k) * src_row) + start[v])
            for (int v = 0; v < vectors; v++) {
                merged[v] = READ(0);
                if (count >= 2)
                    merged[v] = MERGE(merged[v], READ(1));
                if (count == 3)
                    merged[v] = MERGE(merged[v], READ(2));
                if (count >= 4)
                    merged[v] = MERGE(merged[v], MERGE(READ(2), READ(3)));
                if (taps > 4 && count > 4) { /* with fewer taps a row there are no more rows */
                    VECTOR_float more = READ(4);
                    if (count == 6 || count == 7)
                        more = MERGE(more, READ(5));
                    if (count == 7)
                        more = MERGE(more, READ(6));
                    if (count >= 8)
                        more = MERGE(MERGE(more, READ(5)), MERGE(READ(6), READ(7)));
                    merged[v] = MERGE(merged[v], more);
                    if (count == 9)
                        merged[v] = MERGE(merged[v], READ(8));
                }
            }
#undef READ
            for (int t = 0; t < taps; t++) {
                tap[t] = _mm256_permutevar8x32_ps(merged[0], from[t][0]);
                for (int v = 1; v < vectors; v++)
                    tap[t] = choose_float(
                        at[t][v], _mm256_permutevar8x32_ps(merged[v], from[t][v]), tap[t]);
                if (op == OP_SUM && t >= b->least) /* -0.0 changes no sum */
                    tap[t] = choose_float(none[t], none[t], tap[t]);
            }
            if (op != OP_SUM) {
                result = op == OP_MAX ? max_taps_float(taps, tap) : greater_taps_float(taps, tap);
                result = sum_float(result, all_float(0)); /* one zero, as of _small.h */
            } else {
                result = quotient_float(
                    sum_taps_float(taps, tap),
                    product_float(column_divisors, all_float(divisors[y])));
            }
            if (op != OP_GREATER)
                result = choose_float(unordered_float(result), all_float(NAN), result);
            if (end - dst >= WIDTH_float)
                store_float(dst, result);
            else
                store_where_float(first_float(outputs), dst, result);
        }
    }
}
#undef MERGE

static void pool_bins(const bin_planes *b)
{
#define CASE(op, vectors, taps) \
    case 100 * op + 10 * vectors + taps: pool_bins_of(op, vectors, taps, b); break;
#define CASES(op, vectors) \
    CASE(op, vectors, 2) CASE(op, vectors, 3) CASE(op, vectors, 4) CASE(op, vectors, 5) \
    CASE(op, vectors, 6) CASE(op, vectors, 7) CASE(op, vectors, 8) CASE(op, vectors, 9)
    switch (100 * b->op + 10 * b->vectors + b->taps) {
        CASES(OP_MAX, 2) CASES(OP_MAX, 3) CASES(OP_GREATER, 2) CASES(OP_GREATER, 3)
        CASES(OP_SUM, 2) CASES(OP_SUM, 3)
    }
#undef CASE
#undef CASES
}
#else
#define pool_bins(b) (void)(b)
#endif
