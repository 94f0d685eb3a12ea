/* Gradients of averages, of planes that have few of them: included by _kinds.h.
 *
 * A row of gradients is one vector, of which permutations make vectors of the plane's rows; they go to
 * all rows whose windows are the same.
 */
typedef struct {
    ptrdiff_t planes, src_plane, src_row, dst_plane, dst_row; /* and how far apart, in bytes */
    ptrdiff_t src_rows, src_columns, columns, runs;
    const ptrdiff_t *begin;         /* the first row of each run of rows, and behind the last one */
    const ptrdiff_t *row[2];        /* of each, two rows of gradients that are added */
    const int32_t *column[2];       /* of each column two of gradients; or NONE, or PADDING */
    const float *divisors;          /* of each row of gradients as many as SPREAD */
    float by;                       /* what sums are divided by */
    const char *src;
    char *dst;
} spread_planes_t;

#if defined(__AVX2__)
static ALWAYS_INLINE void spread_to(ptrdiff_t vectors, const spread_planes_t *s)
{
    VECTOR_float grads[MOST_SPREAD_ROWS + 2], to[MOST_SPREAD_TO / SPREAD];
    VECTOR_float with[2][MOST_SPREAD_TO / SPREAD], less[MOST_SPREAD_TO / SPREAD];
    VECTOR_float inside = first_float(s->src_columns), by = all_float(s->by);
    __m256i from[2][MOST_SPREAD_TO / SPREAD];
    ptrdiff_t dst_row = s->dst_row, last = s->columns - SPREAD; /* ends with the row */
#define START(v) ((v) < vectors - 1 ? (v) * SPREAD : last)
    for (ptrdiff_t v = 0; v < vectors; v++) {
        for (int tap = 0; tap < 2; tap++) {
            from[tap][v] = _mm256_loadu_si256((const __m256i *)(s->column[tap] + START(v)));
            with[tap][v] = _mm256_castsi256_ps(
                _mm256_cmpgt_epi32(from[tap][v], _mm256_set1_epi32(-1)));
        }
        less[v] = _mm256_and_ps( /* -0.0 changes no sum */
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(from[1][v], _mm256_set1_epi32(NONE))),
            all_float(-0.0f));
    }
    grads[s->src_rows] = all_float(0); /* where there is no first one, and no second one */
    grads[s->src_rows + 1] = all_float(-0.0f);
    for (ptrdiff_t p = 0; p < s->planes; p++) {
        const char *src = s->src + p * s->src_plane;
        char *dst = s->dst + p * s->dst_plane;
        for (ptrdiff_t y = 0; y < s->src_rows; y++)
            grads[y] = quotient_float(
                load_where_float(inside, (const float *)(src + y * s->src_row)),
                load_float(s->divisors + y * SPREAD));
        for (ptrdiff_t r = 0; r < s->runs; r++) {
            VECTOR_float row = sum_float(grads[s->row[0][r]], grads[s->row[1][r]]);
            for (ptrdiff_t v = 0; v < vectors; v++) {
                VECTOR_float one = _mm256_permutevar8x32_ps(row, from[0][v]);
                VECTOR_float other = _mm256_permutevar8x32_ps(row, from[1][v]);
                other = _mm256_or_ps(less[v], _mm256_and_ps(with[1][v], other));
                to[v] = sum_float(_mm256_and_ps(with[0][v], one), other);
                if (s->by != 1)
                    to[v] = quotient_float(to[v], by);
                to[v] = choose_float(unordered_float(to[v]), all_float(NAN), to[v]);
            }
            for (ptrdiff_t y = s->begin[r]; y < s->begin[r + 1]; y++, dst += dst_row)
                for (ptrdiff_t v = 0; v < vectors; v++)
                    store_float((float *)dst + START(v), to[v]);
        }
    }
#undef START
}

static void spread_planes(const spread_planes_t *s)
{
    ptrdiff_t vectors = (s->columns + SPREAD - 1) / SPREAD;
    if (vectors == 2)
        spread_to(2, s);
    else if (vectors == 3)
        spread_to(3, s);
    else
        spread_to(vectors, s);
}
#else
#define spread_planes(s) (void)(s)
#endif
