/* Maxima of float32 without NaN: one instruction of x86, where _vectors.h has three. They are computed so
 * first, as OP_GREATER, and once more as OP_MAX if there was NaN, which costs next to nothing to know: the
 * processor notes that an operand of a maximum was. Which of two zeros it is depends on the order,
 * so that a result is 0.0 and never -0.0; and one NaN, whichever there was, as of sums.
 */
#ifndef POOLTK_NUMBERS_H
#define POOLTK_NUMBERS_H

#include "_vectors.h"

#if defined(__AVX2__)
#define OF_NUMBERS(...) __VA_ARGS__
#define greater_float(a, b) _mm256_max_ps(a, b)
#define scalar_greater_float(a, b) (scalar_max_float(a, b) + 0)
#define greater_operand_float load_float
#define greater_result_float(a) _mm256_add_ps(a, _mm256_setzero_ps()) /* one zero */

static int notes_nan; /* not where the processor is imitated: by Valgrind, for one */

/* Whether there was one since this was asked last. */
static ALWAYS_INLINE int met_nan(void)
{
    unsigned int flags;
#if defined(__GNUC__)
    __asm__ volatile("" ::: "memory"); /* what is stored before has been computed before */
#endif
    flags = _mm_getcsr();
    if (!(flags & _MM_EXCEPT_INVALID))
        return 0;
    _mm_setcsr(flags & ~_MM_EXCEPT_INVALID);
    return 1;
}

static void find_whether_nan_is_noted(void)
{
    volatile float nan = NAN, greater;
    met_nan();
    greater = _mm_cvtss_f32(_mm_max_ss(_mm_set_ss(nan), _mm_set_ss(1)));
    (void)greater;
    notes_nan = met_nan();
}

/* One zero of both. As NaN is noted by maxima alone, and one tap is none, here is one for each. */
static void settle_numbers(float *row, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    for (; j + 8 <= n; j += 8) {
        __m256 a = _mm256_loadu_ps(row + j);
        _mm256_storeu_ps(row + j, _mm256_max_ps(a, _mm256_add_ps(a, _mm256_setzero_ps())));
    }
    for (; j < n; j++) {
        __m128 a = _mm_load_ss(row + j);
        _mm_store_ss(row + j, _mm_max_ss(a, _mm_add_ss(a, _mm_setzero_ps())));
    }
}

/* Windows of `width` columns, 8, 16 or 32, stride 1, at least a vector of them: each vector of a row is
 * read four times and merged with those behind it in registers, where doubling would store each
 * width and read it again. */
#define FOUR_FROM(p, MAX, LOAD) MAX(MAX(LOAD(p), LOAD((p) + 1)), MAX(LOAD((p) + 2), LOAD((p) + 3)))
static ALWAYS_INLINE void windows_of_numbers(
    const int width, const float *row, float *dst, ptrdiff_t vectors)
{
    __m256 four = FOUR_FROM(row, _mm256_max_ps, _mm256_loadu_ps), next, wide;
    __m256 eight = four, sixteens[2] = {four, four}; /* the latest of each, which begin before */
    for (ptrdiff_t i = 1 - width / 8; i < vectors; i++) {
        row += 8;
        if (i < vectors - 1)
            next = FOUR_FROM(row, _mm256_max_ps, _mm256_loadu_ps);
        else /* nothing behind the row */
            next = _mm256_castps128_ps256(FOUR_FROM(row, _mm_max_ps, _mm_loadu_ps));
        wide = _mm256_max_ps(four, _mm256_permute2f128_ps(four, next, 0x21));
        four = next;
        if (width >= 16) {
            __m256 sixteen = _mm256_max_ps(eight, wide);
            eight = wide;
            wide = width == 16 ? sixteen : _mm256_max_ps(sixteens[0], sixteen);
            sixteens[0] = sixteens[1];
            sixteens[1] = sixteen;
        }
        if (i >= 0)
            _mm256_storeu_ps(dst + 8 * i, wide);
    }
}

static void number_windows(int width, const float *row, float *dst, ptrdiff_t n)
{
    const ptrdiff_t last = n - 8;
    switch (width) {
    case 8: windows_of_numbers(8, row, dst, n / 8); break;
    case 16: windows_of_numbers(16, row, dst, n / 8); break;
    default: windows_of_numbers(32, row, dst, n / 8);
    }
    if (n % 8)
        windows_of_numbers(width, row + last, dst + last, 1);
}
#else
#define OF_NUMBERS(...)
enum { notes_nan = 0 };
#define met_nan() 0
#define find_whether_nan_is_noted()
#define settle_numbers(row, n)
#define number_windows(width, row, dst, n)
#endif

#endif
