/* Planes side by side: element j of plane p at j * PLANES + p, as if planes were channels. */
#ifndef POOLTK_PLANES_H
#define POOLTK_PLANES_H

#include "_rows.h"

enum { PLANES = 16 };

/* Four elements of ACROSS planes; of doubles, two. */
#if defined(__AVX2__)
enum { ACROSS_float = 8, ALONG_float = 4 };

static ALWAYS_INLINE __m256 both(const float *low, const float *high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

/* Rows of 4 in each half, transposed. */
static ALWAYS_INLINE void transpose_halves(__m256 *row)
{
    __m256 a = _mm256_unpacklo_ps(row[0], row[1]), b = _mm256_unpackhi_ps(row[0], row[1]);
    __m256 c = _mm256_unpacklo_ps(row[2], row[3]), d = _mm256_unpackhi_ps(row[2], row[3]);
    row[0] = _mm256_shuffle_ps(a, c, 0x44);
    row[1] = _mm256_shuffle_ps(a, c, 0xEE);
    row[2] = _mm256_shuffle_ps(b, d, 0x44);
    row[3] = _mm256_shuffle_ps(b, d, 0xEE);
}

static ALWAYS_INLINE void join_float(const float *const *planes, ptrdiff_t j, float *dst)
{
    __m256 row[4];
    for (int i = 0; i < 4; i++)
        row[i] = both(planes[i] + j, planes[i + 4] + j);
    transpose_halves(row);
    for (int i = 0; i < 4; i++)
        _mm256_storeu_ps(dst + i * PLANES, row[i]);
}

static ALWAYS_INLINE void part_float(const float *src, ptrdiff_t j, float *const *planes)
{
    __m256 row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm256_loadu_ps(src + i * PLANES);
    transpose_halves(row);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(planes[i] + j, _mm256_castps256_ps128(row[i]));
        _mm_storeu_ps(planes[i + 4] + j, _mm256_extractf128_ps(row[i], 1));
    }
}
#elif defined(__SSE2__) || defined(_M_X64)
enum { ACROSS_float = 4, ALONG_float = 4 };

static ALWAYS_INLINE void join_float(const float *const *planes, ptrdiff_t j, float *dst)
{
    __m128 row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm_loadu_ps(planes[i] + j);
    _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
    for (int i = 0; i < 4; i++)
        _mm_storeu_ps(dst + i * PLANES, row[i]);
}

static ALWAYS_INLINE void part_float(const float *src, ptrdiff_t j, float *const *planes)
{
    __m128 row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm_loadu_ps(src + i * PLANES);
    _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
    for (int i = 0; i < 4; i++)
        _mm_storeu_ps(planes[i] + j, row[i]);
}
#else
enum { ACROSS_float = 1, ALONG_float = 1 };
#define join_float(planes, j, dst) ((dst)[0] = (planes)[0][j])
#define part_float(src, j, planes) ((planes)[0][j] = (src)[0])
#endif

#if defined(__SSE2__) || defined(_M_X64)
enum { ACROSS_double = 2, ALONG_double = 2 };

static ALWAYS_INLINE void join_double(const double *const *planes, ptrdiff_t j, double *dst)
{
    __m128d a = _mm_loadu_pd(planes[0] + j), b = _mm_loadu_pd(planes[1] + j);
    _mm_storeu_pd(dst, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(dst + PLANES, _mm_unpackhi_pd(a, b));
}

static ALWAYS_INLINE void part_double(const double *src, ptrdiff_t j, double *const *planes)
{
    __m128d a = _mm_loadu_pd(src), b = _mm_loadu_pd(src + PLANES);
    _mm_storeu_pd(planes[0] + j, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(planes[1] + j, _mm_unpackhi_pd(a, b));
}
#else
enum { ACROSS_double = 1, ALONG_double = 1 };
#define join_double join_float
#define part_double part_float
#endif

#define DEFINE_PLANES(T)                                                     \
    static void join_planes_##T(const T *const *planes, ptrdiff_t n, T *dst) \
    {                                                                        \
        ptrdiff_t j = 0;                                                     \
        for (; j + ALONG_##T <= n; j += ALONG_##T)                           \
            for (int p = 0; p < PLANES; p += ACROSS_##T)                     \
                join_##T(planes + p, j, dst + j * PLANES + p);               \
        for (; j < n; j++)                                                   \
            for (int p = 0; p < PLANES; p++)                                 \
                dst[j * PLANES + p] = planes[p][j];                          \
    }                                                                        \
    static void part_planes_##T(const T *src, ptrdiff_t n, T *const *planes) \
    {                                                                        \
        ptrdiff_t j = 0;                                                     \
        for (; j + ALONG_##T <= n; j += ALONG_##T)                           \
            for (int p = 0; p < PLANES; p += ACROSS_##T)                     \
                part_##T(src + j * PLANES + p, j, planes + p);               \
        for (; j < n; j++)                                                   \
            for (int p = 0; p < PLANES; p++)                                 \
                planes[p][j] = src[j * PLANES + p];                          \
    }

DEFINE_PLANES(float)
DEFINE_PLANES(double)

#endif
