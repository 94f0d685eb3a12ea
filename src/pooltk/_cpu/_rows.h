/* Merging rows of floats, element by element, and runs of them to one value.
 *
 * Each function takes n outputs; dst may be one of the sources. The last vector of a row that
 * no whole number of vectors fills is computed first and stored last, over its neighbour.
 */
#ifndef POOLTK_ROWS_H
#define POOLTK_ROWS_H

#include "_taps.h"

#define DEFINE_HALF_ROWS(H)                                                              \
    static void floats_of_##H##s(const pooltk_##H *src, float *dst, ptrdiff_t n)         \
    {                                                                                    \
        ptrdiff_t j = 0;                                                                 \
        for (; n >= WIDTH_float && j < n; j += WIDTH_float) {                            \
            j = j > n - WIDTH_float ? n - WIDTH_float : j;                               \
            store_float(dst + j, read_sum_##H(src + j));                                 \
        }                                                                                \
        for (; j < n; j++)                                                               \
            dst[j] = float_of_##H(src[j].bits);                                          \
    }                                                                                    \
    static void H##s_of_floats(const float *src, pooltk_##H *dst, ptrdiff_t n)           \
    {                                                                                    \
        ptrdiff_t j = 0;                                                                 \
        for (; n >= WIDTH_float && j < n; j += WIDTH_float) {                            \
            j = j > n - WIDTH_float ? n - WIDTH_float : j;                               \
            write_sum_##H(dst + j, plain_nans(load_float(src + j)));                     \
        }                                                                                \
        for (; j < n; j++)                                                               \
            dst[j].bits = H##_of_float(src[j]);                                          \
    }
DEFINE_HALF_ROWS(float16)
DEFINE_HALF_ROWS(bfloat16)

/* dst[j] = VALUE at j, in vectors; SCALAR for rows shorter than one. */
#define FOR_ROW(T, VALUE, SCALAR)                                   \
    do {                                                            \
        ptrdiff_t j = 0, last = n - WIDTH_##T;                      \
        if (last >= 0) {                                            \
            VECTOR_##T tail;                                        \
            j = last;                                               \
            tail = VALUE;                                           \
            for (j = 0; j < last; j += WIDTH_##T)                   \
                store_##T(dst + j, VALUE);                          \
            store_##T(dst + last, tail);                            \
        } else {                                                    \
            for (; j < n; j++)                                      \
                dst[j] = SCALAR;                                    \
        }                                                           \
    } while (0)

#define LINE_OF(T) (64 / (ptrdiff_t)sizeof(T)) /* of the cache, in elements */
#define ROW(OP, T, p) OP##_operand_##T(p + j)
#define DEFINE_ROWS(OP, T)                                                                        \
    static void OP##2_##T(const T *a, const T *b, T *dst, ptrdiff_t n)                            \
    {                                                                                             \
        FOR_ROW(T, OP##_result_##T(OP##_##T(ROW(OP, T, a), ROW(OP, T, b))),                      \
                scalar_##OP##_##T(a[j], b[j]));                                                   \
    }                                                                                             \
    static void OP##3_##T(const T *a, const T *b, const T *c, T *dst, ptrdiff_t n)                \
    {                                                                                             \
        FOR_ROW(T, OP##_result_##T(OP##_##T(OP##_##T(ROW(OP, T, a), ROW(OP, T, b)),               \
                                            ROW(OP, T, c))),                                      \
                scalar_##OP##_##T(scalar_##OP##_##T(a[j], b[j]), c[j]));                          \
    }                                                                                             \
    static void OP##4_##T(const T *a, const T *b, const T *c, const T *d, T *dst, ptrdiff_t n)    \
    {                                                                                             \
        FOR_ROW(T,                                                                                \
                OP##_result_##T(OP##_##T(OP##_##T(ROW(OP, T, a), ROW(OP, T, b)),                  \
                                         OP##_##T(ROW(OP, T, c), ROW(OP, T, d)))),                \
                scalar_##OP##_##T(scalar_##OP##_##T(a[j], b[j]), scalar_##OP##_##T(c[j], d[j]))); \
    }                                                                                             \
    /* windows of 2 along one row, stride 2; dst is not the source */                             \
    static inline void OP##_pairs_##T(const T *a, T *dst, ptrdiff_t n)                            \
    {                                                                                             \
        FOR_ROW(T, sorted_##T(OP##_##T(EVEN(T, a + 2 * j), ODD(T, a + 2 * j))),                   \
                scalar_##OP##_##T(a[2 * j], a[2 * j + 1]));                                       \
    }
#define EVEN(T, p) even_##T(load_##T(p), load_##T((p) + WIDTH_##T))
#define ODD(T, p) odd_##T(load_##T(p), load_##T((p) + WIDTH_##T))

/* Up to 16 rows of at least LANES, so many bytes apart, in the balanced tree that merge_taps of
 * _merge.pxi makes of them: of fours, and of what is left. dst is none of the rows. */
#define DEFINE_MANY_ROWS(OP, T)                                                                   \
    static ALWAYS_INLINE void OP##_rows_at_##T(                                                   \
        const int vectors, const int count, const char *row, ptrdiff_t step, ptrdiff_t j, T *dst) \
    {                                                                                             \
        const int left = count % 4, fours = count / 4;                                            \
        const char *row4 = row + 4 * step, *row8 = row4 + 4 * step, *row12 = row8 + 4 * step;      \
        VECTOR_##T a[2], b[2];                                                                    \
        if (left) {                                                                               \
            const char *last = row + (count - left) * step;                                       \
            OF_VECTORS(b[v] = ROW_AT(OP, T, last, 0));                                            \
            for (int k = 1; k < left; k++)                                                        \
                OF_VECTORS(b[v] = OP##_##T(b[v], ROW_AT(OP, T, last, k)));                        \
            if (fours == 3)                                                                       \
                OF_VECTORS(b[v] = OP##_##T(FOUR(OP, T, row8), b[v]));                           \
        } else if (fours >= 3) {                                                                  \
            OF_VECTORS(b[v] = FOUR(OP, T, row8));                                               \
            if (fours == 4)                                                                       \
                OF_VECTORS(b[v] = OP##_##T(b[v], FOUR(OP, T, row12)));                          \
        }                                                                                         \
        if (fours) {                                                                              \
            OF_VECTORS(a[v] = FOUR(OP, T, row));                                               \
            if (fours >= 2)                                                                       \
                OF_VECTORS(a[v] = OP##_##T(a[v], FOUR(OP, T, row4)));                           \
            if (left || fours >= 3)                                                               \
                OF_VECTORS(a[v] = OP##_##T(a[v], b[v]));                                          \
        }                                                                                         \
        OF_VECTORS(store_##T(dst + j + v * WIDTH_##T, fours ? a[v] : b[v]));                      \
    }                                                                                             \
    static void OP##_rows_##T(                                                                    \
        int count, const char *row, ptrdiff_t step, T *dst, ptrdiff_t n)                          \
    {                                                                                             \
        ptrdiff_t j;                                                                              \
        switch (count) {                                                                          \
        case 5: FOR_PAIRS(T, OP##_rows_at_##T(2, 5, row, step, j, dst)); break;                   \
        case 6: FOR_PAIRS(T, OP##_rows_at_##T(2, 6, row, step, j, dst)); break;                   \
        case 7: FOR_PAIRS(T, OP##_rows_at_##T(2, 7, row, step, j, dst)); break;                   \
        case 8: FOR_PAIRS(T, OP##_rows_at_##T(2, 8, row, step, j, dst)); break;                   \
        case 9: FOR_PAIRS(T, OP##_rows_at_##T(2, 9, row, step, j, dst)); break;                   \
        case 16:                                                                                  \
            FOR_WINDOWS(T, {                                                                      \
                for (int k = 0; k < 16 && step <= AHEAD / 16 && j % LINE_OF(T) == 0; k++)         \
                    prefetch_line(row + j * sizeof(T) + k * step + AHEAD);                        \
                OP##_rows_at_##T(1, 16, row, step, j, dst);                                       \
            })                                                                                    \
            break;                                                                                \
        default: FOR_PAIRS(T, OP##_rows_at_##T(2, count, row, step, j, dst));                     \
        }                                                                                         \
    }
#define FOR_PAIRS(T, WORK)                                  \
    for (j = 0; j < n; j += 2 * WIDTH_##T) {                \
        j = j < n - 2 * WIDTH_##T ? j : n - 2 * WIDTH_##T;  \
        WORK;                                               \
    }
#define OF_VECTORS(EACH)              \
    for (int v = 0; v < vectors; v++) \
        EACH
#define ROW_AT(OP, T, p, k) OP##_operand_##T((const T *)(p + (k) * step) + j + v * WIDTH_##T)
#define FOUR(OP, T, p) \
    OP##_##T(OP##_##T(ROW_AT(OP, T, p, 0), ROW_AT(OP, T, p, 1)), \
             OP##_##T(ROW_AT(OP, T, p, 2), ROW_AT(OP, T, p, 3)))

DEFINE_MANY_ROWS(sum, float)
DEFINE_MANY_ROWS(max, float)
OF_NUMBERS(DEFINE_MANY_ROWS(greater, float))
DEFINE_MANY_ROWS(sum, double)
DEFINE_MANY_ROWS(max, double)
DEFINE_MANY_ROWS(rank, double)

/* Groups of one to three rows, each merged and then joined with those before it. */
#define DEFINE_GROUPS(T)                                                                          \
    static ALWAYS_INLINE void sum_groups_at_##T(                                                  \
        const int vectors, const T *const *row, const ptrdiff_t *sizes, ptrdiff_t groups,         \
        ptrdiff_t j, T *dst)                                                                      \
    {                                                                                             \
        VECTOR_##T sum[4];                                                                        \
        OF_VECTORS(sum[v] = AT(T, 0));                                                            \
        if (sizes[0] == 2)                                                                        \
            OF_VECTORS(sum[v] = sum_##T(sum[v], AT(T, 1)));                                       \
        if (sizes[0] == 3)                                                                        \
            OF_VECTORS(sum[v] = sum_##T(sum_##T(sum[v], AT(T, 1)), AT(T, 2)));                    \
        for (ptrdiff_t g = 1; g < groups; g++) {                                                  \
            row += sizes[g - 1];                                                                  \
            if (sizes[g] == 1)                                                                    \
                OF_VECTORS(sum[v] = sum_##T(sum[v], AT(T, 0)));                                   \
            else if (sizes[g] == 2)                                                               \
                OF_VECTORS(sum[v] = sum_##T(sum[v], sum_##T(AT(T, 0), AT(T, 1))));                \
            else                                                                                  \
                OF_VECTORS(sum[v] = sum_##T(sum_##T(sum[v], AT(T, 0)),                            \
                                               sum_##T(AT(T, 1), AT(T, 2))));                     \
        }                                                                                         \
        OF_VECTORS(store_##T(dst + v * WIDTH_##T, sum[v]));                                       \
    }                                                                                             \
    static void sum_groups_##T(                                                                   \
        const T *const *row, const ptrdiff_t *sizes, ptrdiff_t groups, T *dst, ptrdiff_t n)       \
    {                                                                                             \
        T rest[WIDTH_##T];                                                                        \
        ptrdiff_t j = 0, last = n - WIDTH_##T;                                                    \
        if (last >= 0) { /* computed first, as dst may be one of the rows */                      \
            sum_groups_at_##T(1, row, sizes, groups, last, rest);                                 \
            for (; j + 4 * WIDTH_##T <= n; j += 4 * WIDTH_##T)                                    \
                sum_groups_at_##T(4, row, sizes, groups, j, dst + j);                             \
            for (; j < last; j += WIDTH_##T)                                                      \
                sum_groups_at_##T(1, row, sizes, groups, j, dst + j);                             \
            memcpy(dst + last, rest, sizeof rest);                                                \
            return;                                                                               \
        }                                                                                         \
        for (; j < n; j++) {                                                                      \
            T sum = row[0][j];                                                                    \
            const T *const *next = row;                                                           \
            if (sizes[0] >= 2)                                                                    \
                sum += row[1][j];                                                                 \
            if (sizes[0] == 3)                                                                    \
                sum += row[2][j];                                                                 \
            for (ptrdiff_t g = 1; g < groups; g++) {                                              \
                next += sizes[g - 1];                                                             \
                if (sizes[g] == 1)                                                                \
                    sum += next[0][j];                                                            \
                else if (sizes[g] == 2)                                                           \
                    sum += next[0][j] + next[1][j];                                               \
                else                                                                              \
                    sum = (sum + next[0][j]) + (next[1][j] + next[2][j]);                         \
            }                                                                                     \
            dst[j] = sum;                                                                         \
        }                                                                                         \
    }
#define AT(T, k) load_##T(row[k] + j + v * WIDTH_##T)
DEFINE_GROUPS(float)
DEFINE_GROUPS(double)
DEFINE_ROWS(max, float)
OF_NUMBERS(DEFINE_ROWS(greater, float))
DEFINE_ROWS(sum, float)
DEFINE_ROWS(max, double)
DEFINE_ROWS(sum, double)
DEFINE_ROWS(rank, double)

/* One value of a run of at least LANES: blocks of so many are merged pairwise into one, of which the
 * run's rest joins the last. Then half as many are written for RUNS runs in a row: to merge
 * neighbours of many there takes a tenth of what one run's last 8 would take by themselves.
 * What is merged with what does not depend on the vectors' width. */
enum { LANES = 16, RUNS = 16, FETCHED_FOURS = 15, SHORT_RUN = 32 };
#define VECTORS(T) (LANES / WIDTH_##T)
#define FOR_VECTORS(T) for (int i = 0, j = 0; i < VECTORS(T); i++, j += WIDTH_##T)
#define BLOCK_OF(READ, k) READ(row + (k) * LANES + j)

/* Eights of neighbours, merged pairwise. */
#define DEFINE_EIGHTS(OP, T)                                                                      \
    static ALWAYS_INLINE void OP##_eights_##T(const T *eighths, ptrdiff_t n, T *dst)              \
    {                                                                                             \
        T quarters[4 * RUNS], halves[2 * RUNS];                                                   \
        OP##_pairs_##T(eighths, quarters, 4 * n);                                                 \
        OP##_pairs_##T(quarters, halves, 2 * n);                                                  \
        OP##_pairs_##T(halves, dst, n);                                                           \
    }
#if defined(__AVX2__)
#define FLOAT_PAIRS(OP, a, b) OP##_float(even_float(a, b), odd_float(a, b))
#define DEFINE_EIGHTS_OF_FLOATS(OP)                                                               \
    static ALWAYS_INLINE void OP##_eights_float(const float *eighths, ptrdiff_t n, float *dst)    \
    {                                                                                             \
        for (; n > 0; n -= 8, eighths += 64, dst += 8) {                                          \
            __m256 half[2], all;                                                                  \
            float some[8];                                                                        \
            for (int i = 0; i < 2; i++) {                                                         \
                const float *eight = eighths + 32 * i;                                            \
                __m256 low = FLOAT_PAIRS(OP, load_float(eight), load_float(eight + 8));           \
                __m256 high = FLOAT_PAIRS(OP, load_float(eight + 16), load_float(eight + 24));    \
                half[i] = FLOAT_PAIRS(OP, low, high);                                             \
            }                                                                                     \
            all = OP##_float(_mm256_permute2f128_ps(half[0], half[1], 0x20),                      \
                             _mm256_permute2f128_ps(half[0], half[1], 0x31));                     \
            store_float(n < 8 ? some : dst, OP##_result_float(all));                              \
            if (n < 8)                                                                            \
                memcpy(dst, some, n * sizeof(float));                                             \
        }                                                                                         \
    }
DEFINE_EIGHTS_OF_FLOATS(max)
OF_NUMBERS(DEFINE_EIGHTS_OF_FLOATS(greater))
DEFINE_EIGHTS_OF_FLOATS(sum)
#else
DEFINE_EIGHTS(max, float)
DEFINE_EIGHTS(sum, float)
#endif
DEFINE_EIGHTS(max, double)
DEFINE_EIGHTS(sum, double)

#define LANES_OF_RUNS(OP, KIND, fours, blocks)                                                    \
    for (ptrdiff_t i = 0; i < runs; i++, row += step)                                             \
        OP##_lanes_##KIND(row, fours, blocks, rest, end, mask, eighths + 8 * i);                  \
    break;
#define DEFINE_RUNS(OP, T, S, KIND, READ)                                                         \
    /* the 8 partial results of a run: four blocks so many times, up to three, one, and a rest,    \
     * whose last vector `mask` is of; up to `end` may be read */                                 \
    static ALWAYS_INLINE void OP##_lanes_##KIND(                                                  \
        const S *row, ptrdiff_t fours, ptrdiff_t blocks, ptrdiff_t rest, const S *end,            \
        VECTOR_##T mask, T *dst)                                                                  \
    {                                                                                             \
        VECTOR_##T lanes[VECTORS(T)], tree[48][VECTORS(T)];                                       \
        ptrdiff_t depth = 0;                                                                      \
        const S *last;                                                                            \
        S padded[2 * LANES];                                                                      \
        for (ptrdiff_t four = 0; four < fours; row += 4 * LANES) {                                \
            for (int k = 0; fours >= FETCHED_FOURS && k < 4 * LANES; k += LINE_OF(S))             \
                prefetch_line((const char *)(row + k) + AHEAD);                                   \
            FOR_VECTORS(T)                                                                        \
                tree[depth][i] = OP##_##T(OP##_##T(BLOCK_OF(READ, 0), BLOCK_OF(READ, 1)),         \
                                          OP##_##T(BLOCK_OF(READ, 2), BLOCK_OF(READ, 3)));        \
            for (ptrdiff_t bit = 1; four & bit; bit *= 2, depth--)                                \
                FOR_VECTORS(T)                                                                    \
                    tree[depth - 1][i] = OP##_##T(tree[depth - 1][i], tree[depth][i]);            \
            four++;                                                                               \
            depth++;                                                                              \
        }                                                                                         \
        last = row + blocks * LANES;                                                              \
        if (last + 2 * LANES > end) {                                                             \
            memset(padded, 0, sizeof padded);                                                     \
            last = memcpy(padded, last, (LANES + rest) * sizeof(S));                              \
        }                                                                                         \
        FOR_VECTORS(T) {                                                                          \
            lanes[i] = READ(last + j);                                                            \
            if (j < rest) {                                                                       \
                VECTOR_##T joined = OP##_##T(lanes[i], READ(last + LANES + j));                   \
                lanes[i] = j + WIDTH_##T <= rest ? joined : choose_##T(mask, joined, lanes[i]);   \
            }                                                                                     \
            if (blocks == 3)                                                                      \
                lanes[i] = OP##_##T(BLOCK_OF(READ, 2), lanes[i]);                                 \
            if (blocks >= 2)                                                                      \
                lanes[i] = OP##_##T(OP##_##T(BLOCK_OF(READ, 0), BLOCK_OF(READ, 1)), lanes[i]);    \
            else if (blocks == 1)                                                                 \
                lanes[i] = OP##_##T(BLOCK_OF(READ, 0), lanes[i]);                                 \
        }                                                                                         \
        while (depth > 0) {                                                                       \
            depth--;                                                                              \
            FOR_VECTORS(T)                                                                        \
                lanes[i] = OP##_##T(tree[depth][i], lanes[i]);                                    \
        }                                                                                         \
        for (int i = 0; i < VECTORS(T) / 2; i++)                                                  \
            store_##T(dst + i * WIDTH_##T, OP##_##T(lanes[i], lanes[i + VECTORS(T) / 2]));        \
    }                                                                                             \
    /* runs `step` elements apart */                                                              \
    static void OP##_runs_##KIND(                                                                 \
        const S *row, ptrdiff_t step, ptrdiff_t n, T *dst, ptrdiff_t count)                       \
    {                                                                                             \
        const ptrdiff_t rest = n % LANES, blocks = (n / LANES - 1) % 4, fours = (n / LANES - 1) / 4; \
        const S *end = row + (count - 1) * step + n;                                              \
        T eighths[8 * RUNS], ones[WIDTH_##T];                                                     \
        VECTOR_##T mask;                                                                          \
        memset(ones, 0, sizeof ones);                                                             \
        memset(ones, 0xFF, n % WIDTH_##T * sizeof(T));                                            \
        mask = load_##T(ones);                                                                    \
        while (count > 0) {                                                                       \
            ptrdiff_t runs = count < RUNS ? count : RUNS;                                         \
            switch (4 * fours + (fours ? 0 : blocks)) { /* what is known needs no tree in memory */ \
            case 0: LANES_OF_RUNS(OP, KIND, 0, 0)                                                 \
            case 1: LANES_OF_RUNS(OP, KIND, 0, 1)                                                 \
            case 2: LANES_OF_RUNS(OP, KIND, 0, 2)                                                 \
            case 3: LANES_OF_RUNS(OP, KIND, 0, 3)                                                 \
            case 8: LANES_OF_RUNS(OP, KIND, 2, blocks) /* as of 12x12 to 14x14 */                 \
            default: LANES_OF_RUNS(OP, KIND, fours, blocks)                                       \
            }                                                                                     \
            OP##_eights_##T(eighths, runs, dst);                                                  \
            dst += runs;                                                                          \
            count -= runs;                                                                        \
        }                                                                                         \
    }


#define DEFINE_SHORT_RUNS(OP, T, IDENTITY)                                                        \
    /* the 8 partial results of a run of whole blocks of 8, but for the last, of which `mask` is */\
    static ALWAYS_INLINE void OP##_eighths_##T(const T *row, int blocks, const T *mask, T *dst)   \
    {                                                                                             \
        for (int j = 0; j < 8; j += WIDTH_##T, row += WIDTH_##T) {                                \
            VECTOR_##T some = load_##T(mask + j), last = load_##T(row + 8 * (blocks - 1));        \
            VECTOR_##T before = all_##T((T)(IDENTITY));                                           \
            if (blocks > 1)                                                                       \
                before = load_##T(row + 8 * (blocks - 2));                                        \
            if (blocks == 3)                                                                      \
                before = OP##_##T(load_##T(row), before);                                         \
            last = choose_##T(some, blocks > 1 ? OP##_##T(before, last) : last, before);          \
            if (blocks == 4)                                                                      \
                last = OP##_##T(OP##_##T(load_##T(row), load_##T(row + 8)), last);                \
            store_##T(dst + j, last);                                                             \
        }                                                                                         \
    }                                                                                             \
    static ALWAYS_INLINE void OP##_short_run_##T(                                                 \
        const T *run, ptrdiff_t n, int blocks, const T *end, const T *masks, T *dst)              \
    {                                                                                             \
        const T *mask = masks + 8 * blocks - n;                                                   \
        T copy[SHORT_RUN];                                                                        \
        if (run + 8 * blocks > end) {                                                             \
            memset(copy, 0, sizeof copy);                                                         \
            run = memcpy(copy, run, n * sizeof(T));                                               \
        }                                                                                         \
        switch (blocks) {                                                                         \
        case 1: OP##_eighths_##T(run, 1, mask, dst); break;                                       \
        case 2: OP##_eighths_##T(run, 2, mask, dst); break;                                       \
        case 3: OP##_eighths_##T(run, 3, mask, dst); break;                                       \
        default: OP##_eighths_##T(run, 4, mask, dst);                                             \
        }                                                                                         \
    }                                                                                             \
    /* bins of one row, each with its place and how many elements it has, `most` or one less; or  \
     * if there are none, windows of so many elements, `step` apart */                            \
    static void OP##_short_runs_##T(                                                              \
        const T *row, const T *end, const ptrdiff_t *bin, ptrdiff_t step, ptrdiff_t most,         \
        ptrdiff_t count, T *dst)                                                                  \
    {                                                                                             \
        const int blocks = (int)((most + 7) / 8);                                                 \
        T eighths[8 * RUNS], masks[16];                                                           \
        memset(masks, 0xFF, 8 * sizeof(T));                                                       \
        memset(masks + 8, 0, 8 * sizeof(T));                                                      \
        while (count > 0) {                                                                       \
            ptrdiff_t runs = count < RUNS ? count : RUNS;                                         \
            if (bin == NULL)                                                                      \
                for (ptrdiff_t i = 0; i < runs; i++, row += step)                                 \
                    OP##_short_run_##T(row, most, blocks, end, masks, eighths + 8 * i);           \
            else                                                                                  \
                for (ptrdiff_t i = 0; i < runs; i++, bin += 3)                                    \
                    OP##_short_run_##T(                                                           \
                        row + bin[0], bin[1], blocks, end, masks, eighths + 8 * i);               \
            OP##_eights_##T(eighths, runs, dst);                                                  \
            dst += runs;                                                                          \
            count -= runs;                                                                        \
        }                                                                                         \
    }

DEFINE_RUNS(max, float, float, float, max_operand_float)
OF_NUMBERS(DEFINE_RUNS(greater, float, float, float, load_float))
DEFINE_RUNS(sum, float, float, float, load_float)
DEFINE_RUNS(max, double, double, double, max_operand_double)
DEFINE_RUNS(sum, double, double, double, load_double)
DEFINE_RUNS(sum, float, pooltk_float16, float16, read_sum_float16)
DEFINE_RUNS(sum, float, pooltk_bfloat16, bfloat16, read_sum_bfloat16)

DEFINE_SHORT_RUNS(max, float, -INFINITY)
OF_NUMBERS(DEFINE_SHORT_RUNS(greater, float, -INFINITY))
DEFINE_SHORT_RUNS(sum, float, -0.0)
DEFINE_SHORT_RUNS(max, double, -INFINITY)
DEFINE_SHORT_RUNS(sum, double, -0.0)

/* The same by an operation that is told: it is looked at once a row. */
#if defined(__AVX2__)
#define BY_OP_float(NAME, ...)                              \
    (op == OP_SUM       ? sum##NAME##_float(__VA_ARGS__)    \
     : op == OP_GREATER ? greater##NAME##_float(__VA_ARGS__) \
                        : max##NAME##_float(__VA_ARGS__))
#else
#define BY_OP_float(NAME, ...) \
    (op == OP_SUM ? sum##NAME##_float(__VA_ARGS__) : max##NAME##_float(__VA_ARGS__))
#endif
#define BY_SUM_OR_MAX_float BY_OP_float
#define BY_SUM_OR_MAX_double(NAME, ...) \
    (op == OP_SUM ? sum##NAME##_double(__VA_ARGS__) : max##NAME##_double(__VA_ARGS__))
#define BY_OP_double(NAME, ...)                        \
    (op == OP_RANK  ? rank##NAME##_double(__VA_ARGS__) \
     : op == OP_SUM ? sum##NAME##_double(__VA_ARGS__)  \
                    : max##NAME##_double(__VA_ARGS__))
#define DEFINE_MERGES(T)                                                                          \
    static ALWAYS_INLINE void merge2_##T(int op, const T *a, const T *b, T *dst, ptrdiff_t n)     \
    {                                                                                             \
        BY_OP_##T(2, a, b, dst, n);                                                               \
    }                                                                                             \
    static ALWAYS_INLINE void merge3_##T(                                                         \
        int op, const T *a, const T *b, const T *c, T *dst, ptrdiff_t n)                          \
    {                                                                                             \
        BY_OP_##T(3, a, b, c, dst, n);                                                            \
    }                                                                                             \
    static ALWAYS_INLINE void merge4_##T(                                                         \
        int op, const T *a, const T *b, const T *c, const T *d, T *dst, ptrdiff_t n)              \
    {                                                                                             \
        BY_OP_##T(4, a, b, c, d, dst, n);                                                         \
    }                                                                                             \
    static ALWAYS_INLINE void merge_rows_##T(                                                     \
        int op, int count, const char *row, ptrdiff_t step, T *dst, ptrdiff_t n)                  \
    {                                                                                             \
        BY_OP_##T(_rows, count, row, step, dst, n);                                               \
    }                                                                                             \
    static ALWAYS_INLINE void merge_windows_apart_##T(                                            \
        int op, int columns, const T *row, ptrdiff_t stride, T *dst, ptrdiff_t n)                 \
    {                                                                                             \
        BY_SUM_OR_MAX_##T(_windows_apart, columns, row, stride, dst, n);                          \
    }                                                                                             \
    static ALWAYS_INLINE void merge_pixel_windows_##T(                                            \
        int op, int columns, const T *row, ptrdiff_t stride, ptrdiff_t next, T *dst,              \
        ptrdiff_t outputs, ptrdiff_t n)                                                           \
    {                                                                                             \
        BY_SUM_OR_MAX_##T(_pixel_windows, columns, row, stride, next, dst, outputs, n);           \
    }                                                                                             \
    static ALWAYS_INLINE void merge_short_runs_##T(                                               \
        int op, const T *row, const T *end, const ptrdiff_t *bins, ptrdiff_t step,                \
        ptrdiff_t most, ptrdiff_t count, T *dst)                                                  \
    {                                                                                             \
        BY_SUM_OR_MAX_##T(_short_runs, row, end, bins, step, most, count, dst);                   \
    }                                                                                             \
    static ALWAYS_INLINE void merge_runs_##T(                                                     \
        int op, const T *row, ptrdiff_t step, ptrdiff_t n, T *dst, ptrdiff_t count)               \
    {                                                                                             \
        BY_SUM_OR_MAX_##T(_runs, row, step, n, dst, count);                                       \
    }
DEFINE_MERGES(float)
DEFINE_MERGES(double)

#endif
