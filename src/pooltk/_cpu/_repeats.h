/* Gradients of averages whose windows lie side by side: each element over and over. */
#ifndef POOLTK_REPEATS_H
#define POOLTK_REPEATS_H

#include "_kinds.h"

/* Rows that lie one behind the other, each so many times into rows that do not; of short ones a call
 * of memcpy would take longer than the copy. */
static void repeat_short_rows(
    const char *src, ptrdiff_t bytes, ptrdiff_t rows, ptrdiff_t times, char *dst, ptrdiff_t dst_row)
{
    for (; rows--; src += bytes)
        for (ptrdiff_t t = 0, j; t < times; t++, dst += dst_row) {
            for (j = 0; j + 16 < bytes; j += 16)
                memcpy(dst + j, src + j, 16);
            if (bytes >= 16)
                memcpy(dst + bytes - 16, src + bytes - 16, 16);
            else
                for (; j < bytes; j += 2)
                    memcpy(dst + j, src + j, 2);
        }
}

/* Each of n elements twice; and so many times, where what a vector writes too much is written over
 * by the next one. */
#define DEFINE_SPREAD(T)                                                                    \
    static void spread_pairs_##T(const T *src, T *dst, ptrdiff_t n)                         \
    {                                                                                       \
        ptrdiff_t j = 0;                                                                    \
        for (; n >= WIDTH_##T && j < n; j += WIDTH_##T) {                                   \
            VECTOR_##T a;                                                                   \
            j = j > n - WIDTH_##T ? n - WIDTH_##T : j;                                      \
            a = sorted_##T(load_##T(src + j));                                              \
            store_##T(dst + 2 * j, low_halves_##T(a, a));                                   \
            store_##T(dst + 2 * j + WIDTH_##T, high_halves_##T(a, a));                      \
        }                                                                                   \
        for (; j < n; j++)                                                                  \
            dst[2 * j] = dst[2 * j + 1] = src[j];                                           \
    }                                                                                       \
    static void spread_##T(const T *src, T *dst, ptrdiff_t n, ptrdiff_t times)              \
    {                                                                                       \
        T *end = dst + n * times;                                                           \
        for (ptrdiff_t j = 0; j < n; j++, dst += times) {                                   \
            ptrdiff_t t = 0;                                                                \
            for (; t < times && end - dst >= t + WIDTH_##T; t += WIDTH_##T)                 \
                store_##T(dst + t, all_##T(src[j]));                                        \
            for (; t < times; t++)                                                          \
                dst[t] = src[j];                                                            \
        }                                                                                   \
    }
DEFINE_SPREAD(float)
DEFINE_SPREAD(double)

/* Rows of n gradients, each divided, into the 2 x 2 elements of its window. What is written behind a
 * short row of elements is the beginning of the next one, up to `end`. */
#if defined(__AVX2__)
#define DEFINE_REPEAT(T)                                                                       \
    static ALWAYS_INLINE void repeat_rows_##T(                                                 \
        int finish, const char *src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t n, T by,     \
        char *dst, ptrdiff_t dst_row, const char *end)                                         \
    {                                                                                          \
        VECTOR_##T divisor = all_##T(by);                                                      \
        for (ptrdiff_t y = 0; y < rows; y++, src += src_row, dst += 2 * dst_row)               \
            for (ptrdiff_t j = 0; j < n; j += WIDTH_##T) {                                     \
                j = j > n - WIDTH_##T && n > WIDTH_##T ? n - WIDTH_##T : j;                    \
                const T *grads = (const T *)src + j;                                           \
                T *row[2] = {(T *)dst + 2 * j, (T *)(dst + dst_row) + 2 * j};                  \
                VECTOR_##T a = n - j < WIDTH_##T ? load_where_##T(first_##T(n - j), grads)     \
                                                 : load_##T(grads);                            \
                a = sorted_##T(finished_##T(finish, a, NULL, divisor));                        \
                VECTOR_##T low = low_halves_##T(a, a), high = high_halves_##T(a, a);           \
                prefetch_line((const char *)grads + AHEAD);                                    \
                for (int k = 0; k < 2; k++)                                                    \
                    if ((const char *)(row[k] + 2 * WIDTH_##T) <= end) {                       \
                        store_##T(row[k], low);                                                \
                        store_##T(row[k] + WIDTH_##T, high);                                   \
                    } else {                                                                   \
                        ptrdiff_t left = 2 * (n - j);                                          \
                        store_where_##T(first_##T(left), row[k], low);                         \
                        store_where_##T(first_##T(left - WIDTH_##T), row[k] + WIDTH_##T, high); \
                    }                                                                          \
            }                                                                                  \
    }                                                                                          \
    static void repeat_squares_##T(                                                            \
        const char *src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t n, T by, int inverse,    \
        char *dst, ptrdiff_t dst_row, const char *end)                                         \
    {                                                                                          \
        if (inverse)                                                                           \
            repeat_rows_##T(MULTIPLIED, src, src_row, rows, n, by, dst, dst_row, end);         \
        else                                                                                   \
            repeat_rows_##T(DIVIDED, src, src_row, rows, n, by, dst, dst_row, end);            \
    }
#else
#define DEFINE_REPEAT(T)                                                                       \
    static void repeat_squares_##T(                                                            \
        const char *src, ptrdiff_t src_row, ptrdiff_t rows, ptrdiff_t n, T by, int inverse,    \
        char *dst, ptrdiff_t dst_row, const char *end)                                         \
    {                                                                                          \
        (void)src, (void)src_row, (void)rows, (void)n, (void)by, (void)inverse, (void)dst;     \
        (void)dst_row, (void)end;                                                              \
    }
#endif
DEFINE_REPEAT(float)
DEFINE_REPEAT(double)

#endif
