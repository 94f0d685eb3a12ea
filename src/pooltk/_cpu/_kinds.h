/* Windows of few rows and columns (_small.h) of each kind of element, and which of them is meant. */
#ifndef POOLTK_KINDS_H
#define POOLTK_KINDS_H

#include "_numbers.h"
#include "_rows.h"

/* How a result of _small.h leaves: a sum is multiplied by a reciprocal that is exact, or divided; a maximum
 * of floats is one zero and one NaN, whichever it was, as _numbers.h wants it. */
enum { AS_IT_IS, ONE_ZERO, ONE_ZERO_AND_NAN, MULTIPLIED, DIVIDED, DIVIDED_EACH };

enum { MOST_COLUMNS = 5, MOST_ROWS = 9, MERGED_ROWS = 8 }; /* of a window, rows of all depths */

/* GCC before 12 cannot shuffle vectors so; without them an integer is its own vector. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define INTEGER_VECTORS
#endif
#endif

/* Of a row of a plane that is pooled in registers, which takes shuffles that AVX2 has; 0: none is. */
#if defined(__AVX2__)
enum { MOST_VECTORS = 7, REGISTER = 32 };
#else
enum { MOST_VECTORS = 0, REGISTER = 16 };
#endif
#if defined(__AVX2__) && defined(INTEGER_VECTORS)
enum { HALVES_IN_REGISTERS = 1 };
#else
enum { HALVES_IN_REGISTERS = 0 };
#endif
enum { LINE = MOST_VECTORS * REGISTER / 4 + 1 }; /* elements, at most */

/* Bins that are merged in registers: in a row, of so many elements a row and a column, at most; and
 * vectors of a row of the plane. */
enum { BINS = 8, MOST_BIN = 9, MOST_BIN_VECTORS = MOST_VECTORS < 3 ? MOST_VECTORS : 3 };

/* Gradients that are spread from a register: a row and a column of them have so many, at most; a plane's
 * row and column. */
#if defined(__AVX2__)
enum { SPREAD = 8 };
#else
enum { SPREAD = 0 };
#endif
enum { MOST_SPREAD_ROWS = 16, MOST_SPREAD_TO = 128 };
enum { NONE = -1, PADDING = -2 }; /* in place of a column: no window, or one beyond the edge */

/* Rows of outputs whose windows have the same rows inside, for _small.h. */
typedef struct {
    int op, taps, columns, stride, finish; /* taps: rows of a window */
    ptrdiff_t tap[MOST_ROWS];              /* in bytes, from the first */
    int pad;                               /* what lies outside is not in scratch yet */
    ptrdiff_t rows, src_row, dst_row;      /* how many, and how far apart, in bytes */
    const char *src, *src_end;             /* the first tap; up to here may be read */
    ptrdiff_t planes;                      /* whose rows are merged at once, each so far */
    const ptrdiff_t *plane;                /* from src, in bytes */
    char *dst;
    void *padded;                          /* scratch for rows and their padding: */
    ptrdiff_t padded_rows, padded_size;    /* how many, and how many elements apart */
    void *unstrided;                       /* and for one of results with stride 1, */
    void *columns_kept;                    /* and for five pixels, */
    int pixels;                            /* if they are pooled so (_pixels.h) */
    ptrdiff_t channels, outputs;           /* of a pixel; of a row, all channels */
    ptrdiff_t before, columns_inside;      /* elements of padding before a row, and of it */
    ptrdiff_t pitch;                       /* elements of a padded row */
    ptrdiff_t first_column;                /* of winners: where the first window begins */
    double by;                             /* divisor of all windows, or its reciprocal, */
    const void *divisors;                  /* or one for each output of a row */
    int shift;                             /* of integers: the divisor is this power of two */
    ptrdiff_t ahead, fresh;                /* what to prefetch, in bytes */
    int first_taps;                        /* of planes in registers: rows of the first window, */
    ptrdiff_t lines, line;                 /* rows of outputs, and bytes from row to row, */
    uint16_t down;                         /* and how far down the order of halves is moved */
} small_windows;

/* A row of bins of pixels (_pixel_bins.h). */
typedef struct {
    int op, divides;                /* sums by the pixels of a row of a bin, too */
    double by;
    ptrdiff_t rows, row;            /* of a bin, and how far apart, in bytes */
    ptrdiff_t outputs, channels;
    const ptrdiff_t *bins;
    const char *src;
    const char *fetched;            /* what is fetched ahead, so many bytes for each bin */
    ptrdiff_t each;
} pixel_bins;

/* Every `stride`-th pixel of n; MOVED bytes, at least a pixel, where more follow that are written. */
#define MOVE_PIXELS(MOVED)                                     \
    for (; n > MOVED; n--, src += stride * size, dst += size) \
        memcpy(dst, src, MOVED);
static void move_pixels(const char *src, ptrdiff_t stride, ptrdiff_t size, char *dst, ptrdiff_t n)
{
    if (size <= 4) {
        MOVE_PIXELS(4)
    } else if (size <= 8) {
        MOVE_PIXELS(8)
    } else if (size <= 16) {
        MOVE_PIXELS(16)
    }
    for (; n > 0; n--, src += stride * size, dst += size)
        memcpy(dst, src, size);
}

#define KIND float
#define T float
#define MAXIMA_LEAVE ONE_ZERO_AND_NAN
#define FLOATING
#define READ_AS_IT_IS
#define POOLS_PIXELS
#if defined(__AVX2__)
#define NEIGHBOURS
#define IN_REGISTERS
#define NUMBERS
#endif
#include "_small.h"

#define KIND double
#define T double
#define FLOATING
#define RANKS
#define READ_AS_IT_IS
#define POOLS_PIXELS
#if defined(__AVX2__)
#define NEIGHBOURS
#endif
#include "_small.h"

#define KIND sum_float16
#define S pooltk_float16
#define T float
#define OF_KIND float
#define FLOATING
#define SUMS
#include "_small.h"

#define KIND sum_bfloat16
#define S pooltk_bfloat16
#define T float
#define OF_KIND float
#define FLOATING
#define SUMS
#include "_small.h"

#if defined(__AVX2__)
#define VECTOR_BYTES 32
#define INSTRUCTION(name) _mm256_##name((__m256i)a, (__m256i)b)
#define EVERY_SECOND_8(a, b, i)                                                                    \
    __builtin_shufflevector(a, b, i, i + 2, i + 4, i + 6, i + 8, i + 10, i + 12, i + 14, i + 16,  \
                            i + 18, i + 20, i + 22, i + 24, i + 26, i + 28, i + 30, i + 32,       \
                            i + 34, i + 36, i + 38, i + 40, i + 42, i + 44, i + 46, i + 48,       \
                            i + 50, i + 52, i + 54, i + 56, i + 58, i + 60, i + 62)
#define EVERY_SECOND_16(a, b, i)                                                                   \
    __builtin_shufflevector(a, b, i, i + 2, i + 4, i + 6, i + 8, i + 10, i + 12, i + 14, i + 16,  \
                            i + 18, i + 20, i + 22, i + 24, i + 26, i + 28, i + 30)
#define SHIFTED_(name, a, by) _mm256_##name((__m256i)(a), _mm_cvtsi32_si128(by))
#define EVERY_SECOND_32(a, b, i)                                                                   \
    __builtin_shufflevector(a, b, i, i + 2, i + 4, i + 6, i + 8, i + 10, i + 12, i + 14)
#else
#define VECTOR_BYTES 16
#define INSTRUCTION(name) _mm_##name((__m128i)a, (__m128i)b)
#define EVERY_SECOND_8(a, b, i)                                                                    \
    __builtin_shufflevector(a, b, i, i + 2, i + 4, i + 6, i + 8, i + 10, i + 12, i + 14, i + 16,  \
                            i + 18, i + 20, i + 22, i + 24, i + 26, i + 28, i + 30)
#define EVERY_SECOND_16(a, b, i)                                                                   \
    __builtin_shufflevector(a, b, i, i + 2, i + 4, i + 6, i + 8, i + 10, i + 12, i + 14)
#define EVERY_SECOND_32(a, b, i) __builtin_shufflevector(a, b, i, i + 2, i + 4, i + 6)
#if defined(__SSE2__)
#define SHIFTED_(name, a, by) _mm_##name((__m128i)(a), _mm_cvtsi32_si128(by))
#endif
#endif

/* No compiler shifts 16-bit elements by a variable otherwise. */
#if defined(SHIFTED_) && defined(INTEGER_VECTORS)
#define SHIFTED_16(a, by) ((VECTOR)SHIFTED_(sra_epi16, a, by))
#define SHIFTED_32(a, by) ((VECTOR)SHIFTED_(sra_epi32, a, by))
#else
#define SHIFTED_16(a, by) ((a) >> (T)(by))
#define SHIFTED_32(a, by) ((a) >> (T)(by))
#endif

#define KIND int8
#define T int8_t
#define LEAST INT8_MIN
#define EVERY_SECOND EVERY_SECOND_8
#if defined(__AVX2__)
#define MAX_INSTRUCTION INSTRUCTION(max_epi8)
#endif
#include "_integers.h"

#define KIND uint8
#define T uint8_t
#define LEAST 0
#define EVERY_SECOND EVERY_SECOND_8
#if defined(__SSE2__)
#define MAX_INSTRUCTION INSTRUCTION(max_epu8)
#endif
#include "_integers.h"

#define KIND int16
#define T int16_t
#define LEAST INT16_MIN
#define EVERY_SECOND EVERY_SECOND_16
#if defined(__SSE2__)
#define MAX_INSTRUCTION INSTRUCTION(max_epi16)
#endif
#include "_integers.h"

#define KIND uint16
#define T uint16_t
#define LEAST 0
#define EVERY_SECOND EVERY_SECOND_16
#if defined(__AVX2__)
#define MAX_INSTRUCTION INSTRUCTION(max_epu16)
#endif
#include "_integers.h"

#define KIND float16
#define T int16_t
#define LEAST INT16_MIN
#define HALF_INFINITY 0x7C00
#define EVERY_SECOND EVERY_SECOND_16
#if defined(__SSE2__)
#define MAX_INSTRUCTION INSTRUCTION(max_epi16)
#endif
#include "_integers.h"

#define KIND bfloat16
#define T int16_t
#define LEAST INT16_MIN
#define HALF_INFINITY 0x7F80
#define EVERY_SECOND EVERY_SECOND_16
#if defined(__SSE2__)
#define MAX_INSTRUCTION INSTRUCTION(max_epi16)
#endif
#include "_integers.h"

/* Up to 4 rows of halves S, merged as they are read. */
#define DEFINE_HALF_MERGES(NAME, OP, KIND, S, T, OF_KIND)                                     \
    static ALWAYS_INLINE void NAME##_up_to_4(                                                 \
        const S *const *row, int count, T *dst, ptrdiff_t n)                                  \
    {                                                                                         \
        ptrdiff_t j = 0;                                                                      \
        for (; j + WIDTH_##OF_KIND <= n; j += WIDTH_##OF_KIND)                                \
            store_##OF_KIND(dst + j, merged_4_##KIND(OP, count, row, j));                     \
        for (; j < n; j++)                                                                    \
            dst[j] = scalar_merged_4_##KIND(OP, count, row, j);                               \
    }                                                                                         \
    static void NAME(const S *const *row, ptrdiff_t count, T *dst, ptrdiff_t n)               \
    {                                                                                         \
        switch (count) {                                                                      \
        case 1: NAME##_up_to_4(row, 1, dst, n); break;                                        \
        case 2: NAME##_up_to_4(row, 2, dst, n); break;                                        \
        case 3: NAME##_up_to_4(row, 3, dst, n); break;                                        \
        default: NAME##_up_to_4(row, 4, dst, n);                                              \
        }                                                                                     \
    }
DEFINE_HALF_MERGES(sum_rows_float16, OP_SUM, sum_float16, pooltk_float16, float, float)
DEFINE_HALF_MERGES(sum_rows_bfloat16, OP_SUM, sum_bfloat16, pooltk_bfloat16, float, float)
DEFINE_HALF_MERGES(max_rows_float16, OP_MAX, float16, int16_t, int16_t, float16)
DEFINE_HALF_MERGES(max_rows_bfloat16, OP_MAX, bfloat16, int16_t, int16_t, bfloat16)

/* The maxima, in order, of runs of n halves, a vector of them at least, `step` apart. */
#define DEFINE_HALF_RUNS(KIND)                                                                    \
    static void max_runs_##KIND(                                                                  \
        const int16_t *row, ptrdiff_t step, ptrdiff_t n, int16_t *dst, ptrdiff_t count)           \
    {                                                                                             \
        for (; count > 0; count--, row += step) {                                                 \
            VECTOR_##KIND a = read_##KIND(row + n - WIDTH_##KIND);                                \
            for (ptrdiff_t j = 0; j < n - WIDTH_##KIND; j += WIDTH_##KIND)                        \
                a = max_##KIND(a, read_##KIND(row + j));                                          \
            *dst++ = GREATEST(KIND, a);                                                           \
        }                                                                                         \
    }
#if defined(INTEGER_VECTORS) && defined(__AVX2__) /* whose least of eight is an instruction */
#define GREATEST(KIND, a) greatest_of((__m256i)a)
static ALWAYS_INLINE int16_t greatest_of(__m256i a)
{
    __m128i least = _mm_max_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    least = _mm_minpos_epu16(_mm_xor_si128(least, _mm_set1_epi16(INT16_MAX)));
    return (int16_t)(_mm_cvtsi128_si32(least) ^ INT16_MAX);
}
#else
#define GREATEST(KIND, a) greatest_of_##KIND(a)
#define DEFINE_GREATEST(KIND)                                         \
    static ALWAYS_INLINE int16_t greatest_of_##KIND(VECTOR_##KIND a)  \
    {                                                                 \
        int16_t all[WIDTH_##KIND], most;                              \
        store_##KIND(all, a);                                         \
        most = all[0];                                                \
        for (int i = 1; i < WIDTH_##KIND; i++)                        \
            most = all[i] > most ? all[i] : most;                     \
        return most;                                                  \
    }
DEFINE_GREATEST(float16)
DEFINE_GREATEST(bfloat16)
#endif
DEFINE_HALF_RUNS(float16)
DEFINE_HALF_RUNS(bfloat16)

#define KIND sum_int8
#define WIDENED _mm256_cvtepi8_epi16
#define PAIRED(a) _mm256_maddubs_epi16(_mm256_set1_epi8(1), a)
#define SHIFTED(a, by) SHIFTED_16(a, by)
#define S int8_t
#define T int16_t
#define SUMS
#define LEAST 0
#define EVERY_SECOND EVERY_SECOND_16
#include "_integers.h"

#define KIND sum_uint8
#define WIDENED _mm256_cvtepu8_epi16
#define PAIRED(a) _mm256_maddubs_epi16(a, _mm256_set1_epi8(1))
#define SHIFTED(a, by) SHIFTED_16(a, by)
#define S uint8_t
#define T int16_t
#define SUMS
#define LEAST 0
#define EVERY_SECOND EVERY_SECOND_16
#include "_integers.h"

#define KIND sum_int16
#define WIDENED _mm256_cvtepi16_epi32
#define PAIRED(a) _mm256_madd_epi16(a, _mm256_set1_epi16(1))
#define SHIFTED(a, by) SHIFTED_32(a, by)
#define S int16_t
#define T int32_t
#define SUMS
#define LEAST 0
#define EVERY_SECOND EVERY_SECOND_32
#include "_integers.h"

#define KIND sum_uint16
#define WIDENED _mm256_cvtepu16_epi32
#define PAIRED(a)                                                                                \
    _mm256_add_epi32(                                                                            \
        _mm256_madd_epi16(_mm256_xor_si256(a, _mm256_set1_epi16(INT16_MIN)),                     \
                          _mm256_set1_epi16(1)),                                                 \
        _mm256_set1_epi32(2 * 32768))
#define SHIFTED(a, by) SHIFTED_32(a, by)
#define S uint16_t
#define T int32_t
#define SUMS
#define LEAST 0
#define EVERY_SECOND EVERY_SECOND_32
#include "_integers.h"

#if defined(__AVX2__)
/* Averages of 2x2 pixels of three bytes, the commonest images: bytes of neighbouring pixels are
 * brought together and added in pairs. */
static void average_colours(const small_windows *w)
{
    const __m256i together = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1));
    const __m256i ones = _mm256_set1_epi8(1), one = _mm256_set1_epi16(1);
    const __m256i half = _mm256_set1_epi16((int16_t)((1 << w->shift >> 1) - 1));
    const char *src = w->src;
    char *dst = w->dst;
    for (ptrdiff_t y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row) {
        const uint8_t *row[2] = {(const uint8_t *)src, (const uint8_t *)(src + w->tap[1])};
        uint8_t *out = (uint8_t *)dst;
        ptrdiff_t left = w->outputs;
        /* 12 results from 24 bytes of each row; 28 are read, and 14 written */
        for (; left >= 15; left -= 12, out += 12) {
            __m256i sum[2];
            for (int k = 0; k < 2; k++, row[k - 1] += 24) {
                __m128i low = _mm_loadu_si128((const __m128i *)row[k]);
                __m128i high = _mm_loadu_si128((const __m128i *)(row[k] + 12));
                prefetch_line((const char *)row[k] + AHEAD);
                sum[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
                sum[k] = _mm256_maddubs_epi16(_mm256_shuffle_epi8(sum[k], together), ones);
            }
            sum[0] = _mm256_add_epi16(sum[0], sum[1]);
            sum[1] = _mm256_and_si256(SHIFTED_(sra_epi16, sum[0], w->shift), one); /* half to even */
            sum[0] = _mm256_add_epi16(_mm256_add_epi16(sum[0], half), sum[1]);
            sum[0] = SHIFTED_(sra_epi16, sum[0], w->shift);
            sum[0] = _mm256_packus_epi16(sum[0], sum[0]);
            _mm_storel_epi64((__m128i *)out, _mm256_castsi256_si128(sum[0]));
            _mm_storel_epi64((__m128i *)(out + 6), _mm256_extracti128_si256(sum[0], 1));
        }
        for (ptrdiff_t j = 0; j < left; j++) {
            ptrdiff_t at = j / 3 * 6 + j % 3;
            int sum = row[0][at] + row[0][at + 3] + row[1][at] + row[1][at + 3];
            out[j] = (uint8_t)((sum + (1 << w->shift >> 1) - 1 + (sum >> w->shift & 1)) >> w->shift);
        }
    }
}
#define AVERAGES_COLOURS(w)                                                       \
    ((w)->columns == 2 && (w)->stride == 2 && (w)->channels == 3 && (w)->taps == 2 && \
     (w)->before == 0 && 2 * (w)->outputs <= (w)->columns_inside)
#else
#define AVERAGES_COLOURS(w) 0
#define average_colours(w)
#endif

/* Averages of one element: it itself, but for the NaN that all averages have. */
#define COPY_ROW(T, IS_NAN, QUIET)                       \
    do {                                                 \
        const T *a = (const T *)src;                     \
        for (ptrdiff_t j = 0; j < w->outputs; j++)       \
            ((T *)dst)[j] = IS_NAN ? (T)(QUIET) : a[j];  \
    } while (0)

static void copy_small(kind_t kind, const small_windows *w)
{
    const char *src = w->src;
    char *dst = w->dst;
    for (ptrdiff_t y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row)
        switch (kind) {
        case KIND_FLOAT32: COPY_ROW(float, a[j] != a[j], NAN); break;
        case KIND_FLOAT64: COPY_ROW(double, a[j] != a[j], NAN); break;
        case KIND_FLOAT16: COPY_ROW(int16_t, (int16_t)(a[j] & 0x7FFF) > 0x7C00, 0x7E00); break;
        default: COPY_ROW(int16_t, (int16_t)(a[j] & 0x7FFF) > 0x7F80, 0x7FC0);
        }
}

/* Rows of planes, merged as _small.h does it. */
static void merge_planes(kind_t kind, const small_windows *w, void *dst)
{
    switch (kind) {
    case KIND_FLOAT32: merge_planes_float(w, dst); break;
    case KIND_FLOAT64: merge_planes_double(w, dst); break;
    case KIND_FLOAT16:
        w->op == OP_SUM ? merge_planes_sum_float16(w, dst) : merge_planes_float16(w, dst);
        break;
    case KIND_BFLOAT16:
        w->op == OP_SUM ? merge_planes_sum_bfloat16(w, dst) : merge_planes_bfloat16(w, dst);
        break;
    case KIND_INT8: merge_planes_int8(w, dst); break;
    case KIND_UINT8: merge_planes_uint8(w, dst); break;
    case KIND_INT16: merge_planes_int16(w, dst); break;
    case KIND_UINT16: merge_planes_uint16(w, dst); break;
    default: break;
    }
}

#if defined(__AVX2__)
static void pool_planes_in_registers(kind_t kind, const small_windows *w)
{
    if (kind == KIND_FLOAT32) {
        pool_planes_float(w);
        return;
    }
#if defined(INTEGER_VECTORS)
    small_windows halves = *w;
    halves.down = INT16_MAX - (kind == KIND_FLOAT16 ? 0x7C00 : 0x7F80);
    pool_planes_float16(&halves);
#endif
}
#else
#define pool_planes_in_registers(kind, w)
#endif

#include "_bins.h"
#include "_spread.h"

static void pool_small(kind_t kind, const small_windows *w)
{
    if (kind == KIND_UINT8 && w->op == OP_SUM && AVERAGES_COLOURS(w)) {
        average_colours(w);
        return;
    }
    if (kind <= KIND_BFLOAT16 && w->finish == MULTIPLIED && w->by == 1 && w->before == 0 &&
        w->taps * w->columns * w->stride == 1 && w->outputs <= w->columns_inside) {
        copy_small(kind, w);
        return;
    }
    switch (kind) {
    case KIND_FLOAT32: pool_small_float(w); break;
    case KIND_FLOAT64: pool_small_double(w); break;
    case KIND_FLOAT16:
        w->op == OP_SUM ? pool_small_sum_float16(w) : pool_small_float16(w);
        break;
    case KIND_BFLOAT16:
        w->op == OP_SUM ? pool_small_sum_bfloat16(w) : pool_small_bfloat16(w);
        break;
    case KIND_INT8:
        w->op == OP_SUM ? pool_small_sum_int8(w) : pool_small_int8(w);
        break;
    case KIND_UINT8:
        w->op == OP_SUM ? pool_small_sum_uint8(w) : pool_small_uint8(w);
        break;
    case KIND_INT16:
        w->op == OP_SUM ? pool_small_sum_int16(w) : pool_small_int16(w);
        break;
    case KIND_UINT16:
        w->op == OP_SUM ? pool_small_sum_uint16(w) : pool_small_uint16(w);
        break;
    default: break;
    }
}

#endif
