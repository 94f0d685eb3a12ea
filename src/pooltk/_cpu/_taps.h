/* Windows of up to MOST_TAPS columns along a merged row of floats: all their taps are brought into
 * registers and merged there, where _rows.pxi would merge parts of them in rows one after the other.
 */
#ifndef POOLTK_TAPS_H
#define POOLTK_TAPS_H

#include "_numbers.h"

enum { MOST_TAPS = 9 };

/* One window's in each lane, merged as slide of _rows.pxi merges them. */
#define DEFINE_TAPS(OP, T)                                                                        \
    static ALWAYS_INLINE VECTOR_##T OP##_taps_##T(const int taps, const VECTOR_##T *tap)          \
    {                                                                                             \
        const int ones = OP_OF_##OP == OP_SUM || taps < 6 ? taps % 4 : 0;                         \
        VECTOR_##T some = tap[0], fours;                                                          \
        for (int k = 1; k < ones; k++)                                                            \
            some = OP##_##T(some, tap[k]);                                                        \
        if (taps < 4)                                                                             \
            return some;                                                                          \
        fours = FOUR_TAPS(OP, T, ones);                                                           \
        if (taps - ones > 8)                                                                      \
            fours = OP##_##T(OP##_##T(fours, FOUR_TAPS(OP, T, 4)),                                \
                             OP##_##T(FOUR_TAPS(OP, T, taps - 8), FOUR_TAPS(OP, T, taps - 4)));   \
        else if (taps - ones > 4)                                                                 \
            fours = OP##_##T(fours, FOUR_TAPS(OP, T, taps - 4));                                  \
        return ones ? OP##_##T(some, fours) : fours;                                              \
    }
#define OP_OF_sum OP_SUM
#define OP_OF_max OP_MAX
#define OP_OF_greater OP_GREATER
#define FOUR_TAPS(OP, T, k) \
    OP##_##T(OP##_##T(tap[k], tap[(k) + 1]), OP##_##T(tap[(k) + 2], tap[(k) + 3]))

/* Four neighbouring columns of as many windows as a vector has lanes, `stride` apart. */
#if defined(__SSE2__) || defined(_M_X64)
#if defined(__AVX2__)
#define WINDOWS_FROM_float(p) _mm256_set_m128(_mm_loadu_ps((p) + 4 * stride), _mm_loadu_ps(p))
#define WINDOWS_FROM_double(p) _mm256_set_m128d(_mm_loadu_pd((p) + 2 * stride), _mm_loadu_pd(p))
#else
#define WINDOWS_FROM_float load_float
#define WINDOWS_FROM_double load_double
#endif
static ALWAYS_INLINE void four_columns_float(const float *row, ptrdiff_t stride, VECTOR_float *tap)
{
    VECTOR_float a = WINDOWS_FROM_float(row), b = WINDOWS_FROM_float(row + stride);
    VECTOR_float c = WINDOWS_FROM_float(row + 2 * stride), d = WINDOWS_FROM_float(row + 3 * stride);
    VECTOR_float ab = low_halves_float(a, b), cd = low_halves_float(c, d);
    tap[0] = SHUFFLED_FLOATS(ab, cd, 0x44);
    tap[1] = SHUFFLED_FLOATS(ab, cd, 0xEE);
    ab = high_halves_float(a, b);
    cd = high_halves_float(c, d);
    tap[2] = SHUFFLED_FLOATS(ab, cd, 0x44);
    tap[3] = SHUFFLED_FLOATS(ab, cd, 0xEE);
}

static ALWAYS_INLINE void four_columns_double(
    const double *row, ptrdiff_t stride, VECTOR_double *tap)
{
    for (int k = 0; k < 4; k += 2) {
        VECTOR_double a = WINDOWS_FROM_double(row + k), b = WINDOWS_FROM_double(row + k + stride);
        tap[k] = low_halves_double(a, b);
        tap[k + 1] = high_halves_double(a, b);
    }
}
#else
#define DEFINE_FOUR_COLUMNS(T)                                                                    \
    static ALWAYS_INLINE void four_columns_##T(const T *row, ptrdiff_t stride, VECTOR_##T *tap)   \
    {                                                                                             \
        for (int k = 0; k < 4; k++) {                                                             \
            T column[WIDTH_##T];                                                                  \
            for (int i = 0; i < WIDTH_##T; i++)                                                   \
                column[i] = row[i * stride + k];                                                  \
            tap[k] = load_##T(column);                                                            \
        }                                                                                         \
    }
DEFINE_FOUR_COLUMNS(float)
DEFINE_FOUR_COLUMNS(double)
#endif

/* Windows of n elements each, of 10 to 31 columns, which meet as those of a run do in _rows.h. */
#define DEFINE_LANES(OP, T)                                                                       \
    static ALWAYS_INLINE VECTOR_##T OP##_lane_##T(                                                \
        int columns, const T *row, ptrdiff_t next, int k, int step)                               \
    {                                                                                             \
        VECTOR_##T lane = OP##_operand_##T(row + k * next);                                       \
        if (k + step < columns)                                                                   \
            lane = OP##_##T(lane, OP##_operand_##T(row + (k + step) * next));                     \
        return lane;                                                                              \
    }                                                                                             \
    static ALWAYS_INLINE VECTOR_##T OP##_lanes_of_##T(                                            \
        int columns, const T *row, ptrdiff_t next, int k)                                         \
    {                                                                                             \
        if (columns < 16)                                                                         \
            return OP##_lane_##T(columns, row, next, k, 8);                                       \
        return OP##_##T(OP##_lane_##T(columns, row, next, k, 16),                                 \
                        OP##_lane_##T(columns, row, next, k + 8, 16));                            \
    }                                                                                             \
    static void OP##_pixel_runs_##T(                                                              \
        int columns, const T *row, ptrdiff_t stride, ptrdiff_t next, T *dst, ptrdiff_t outputs,   \
        ptrdiff_t n)                                                                              \
    {                                                                                             \
        for (; outputs > 0; outputs--, row += stride, dst += n) {                                 \
            ptrdiff_t j;                                                                          \
            FOR_WINDOWS(T, {                                                                      \
                VECTOR_##T quarter[4];                                                            \
                for (int k = 0; k < 4; k++)                                                       \
                    quarter[k] = OP##_##T(OP##_lanes_of_##T(columns, row + j, next, 2 * k),       \
                                          OP##_lanes_of_##T(columns, row + j, next, 2 * k + 1));  \
                store_##T(dst + j,                                                                \
                          OP##_result_##T(OP##_##T(OP##_##T(quarter[0], quarter[1]),              \
                                                   OP##_##T(quarter[2], quarter[3]))));           \
            })                                                                                    \
        }                                                                                         \
    }

#define DEFINE_WINDOWS(OP, T)                                                                     \
    static ALWAYS_INLINE VECTOR_##T OP##_window_##T(                                              \
        const int columns, const int strides, const T *row, ptrdiff_t stride)                     \
    {                                                                                             \
        VECTOR_##T tap[MOST_TAPS + 3];                                                            \
        for (int k = 0; strides == 2 && k < columns; k += 2) {                                    \
            VECTOR_##T a = load_##T(row + k), b = load_##T(row + k + WIDTH_##T);                  \
            tap[k] = even_##T(a, b);                                                              \
            tap[k + 1] = odd_##T(a, b);                                                           \
        }                                                                                         \
        for (int k = 0; strides == 3 && k < columns; k += 3) {                                    \
            tap[k] = load_##T(row + k);                                                           \
            tap[k + 1] = load_##T(row + k + WIDTH_##T);                                           \
            tap[k + 2] = load_##T(row + k + 2 * WIDTH_##T);                                       \
            thirds_##T(tap + k, tap + k + 1, tap + k + 2);                                        \
        }                                                                                         \
        for (int k = 0; strides == 4 && k < columns; k += 4) { /* nothing behind the window */    \
            const int first = k + 4 <= columns || columns < 4 ? k : columns - 4;                  \
            four_columns_##T(row + first, stride, tap + first);                                   \
        }                                                                                         \
        return OP##_result_##T(OP##_taps_##T(columns, tap));                                      \
    }                                                                                             \
    /* n windows, at least a vector of them, 2 or more elements apart */                          \
    static void OP##_windows_apart_##T(                                                           \
        int columns, const T *row, ptrdiff_t stride, T *dst, ptrdiff_t n)                         \
    {                                                                                             \
        ptrdiff_t j;                                                                              \
        if (stride == 2)                                                                          \
            BY_COLUMNS(FOR_WINDOWS(T, store_##T(dst + j, sorted_##T(                              \
                OP##_window_##T(COLUMNS, 2, row + j * 2, 2)))))                                   \
        else if (stride == 3)                                                                     \
            BY_COLUMNS(FOR_WINDOWS(T, store_##T(dst + j,                                          \
                OP##_window_##T(COLUMNS, 3, row + j * 3, 3))))                                    \
        else                                                                                      \
            BY_COLUMNS(FOR_WINDOWS(T, store_##T(dst + j,                                          \
                OP##_window_##T(COLUMNS, 4, row + j * stride, stride))))                          \
    }                                                                                             \
    /* the same of n elements each, whose columns are `next` apart */                             \
    static void OP##_pixel_windows_##T(                                                           \
        int columns, const T *row, ptrdiff_t stride, ptrdiff_t next, T *dst, ptrdiff_t outputs,   \
        ptrdiff_t n)                                                                              \
    {                                                                                             \
        if (columns > MOST_TAPS) {                                                                \
            OP##_pixel_runs_##T(columns, row, stride, next, dst, outputs, n);                     \
            return;                                                                               \
        }                                                                                         \
        for (; outputs > 0; outputs--, row += stride, dst += n) {                                 \
            ptrdiff_t j;                                                                          \
            BY_COLUMNS(FOR_WINDOWS(T, {                                                           \
                VECTOR_##T tap[MOST_TAPS];                                                        \
                for (int k = 0; k < COLUMNS; k++)                                                 \
                    tap[k] = OP##_operand_##T(row + k * next + j);                                \
                store_##T(dst + j, OP##_result_##T(OP##_taps_##T(COLUMNS, tap)));                 \
            }))                                                                                   \
        }                                                                                         \
    }
#define FOR_WINDOWS(T, ...)                         \
    for (j = 0; j < n; j += WIDTH_##T) {            \
        j = j < n - WIDTH_##T ? j : n - WIDTH_##T;  \
        __VA_ARGS__;                                \
    }
/* One loop for each number of them. */
#define BY_COLUMNS(...)                                           \
    switch (columns) {                                            \
    case 2: { enum { COLUMNS = 2 }; __VA_ARGS__ } break;          \
    case 3: { enum { COLUMNS = 3 }; __VA_ARGS__ } break;          \
    case 4: { enum { COLUMNS = 4 }; __VA_ARGS__ } break;          \
    case 5: { enum { COLUMNS = 5 }; __VA_ARGS__ } break;          \
    case 6: { enum { COLUMNS = 6 }; __VA_ARGS__ } break;          \
    case 7: { enum { COLUMNS = 7 }; __VA_ARGS__ } break;          \
    case 8: { enum { COLUMNS = 8 }; __VA_ARGS__ } break;          \
    default: { enum { COLUMNS = MOST_TAPS }; __VA_ARGS__ } break; \
    }
#define DEFINE_OF_TAPS(OP, T) DEFINE_TAPS(OP, T) DEFINE_LANES(OP, T) DEFINE_WINDOWS(OP, T)
DEFINE_OF_TAPS(sum, float)
DEFINE_OF_TAPS(max, float)
DEFINE_OF_TAPS(sum, double)
DEFINE_OF_TAPS(max, double)
OF_NUMBERS(DEFINE_OF_TAPS(greater, float))

#endif
