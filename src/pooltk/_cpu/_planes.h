/* Planes side by side: element j of plane p at j * PLANES + p, as if planes were channels. What the
 * elements are does not matter here, only how many bytes they have. */
#ifndef POOLTK_PLANES_H
#define POOLTK_PLANES_H

#include "_kinds.h"

enum { PLANES = 32 };

/* A square of N planes by N elements fills 128 bits N times. That its vectors are interleaved, each
 * with the one N / 2 behind, rotates the bits of (plane, element) by one; STEPS times swaps them.
 * A vector of 256 bits holds squares of two times N planes. */
#if defined(__SSE2__) || defined(_M_X64) || defined(__aarch64__)
#define DEFINE_SQUARE(BITS, N, STEPS, V, INTERLEAVED)                                              \
    enum { ALONG_##BITS = N, ACROSS_##BITS = N * sizeof(V) / 16 };                                 \
    static ALWAYS_INLINE void transpose_##BITS(V *row)                                             \
    {                                                                                              \
        for (int step = 0; step < STEPS; step++) {                                                 \
            V old[N];                                                                              \
            for (int i = 0; i < N; i++)                                                            \
                old[i] = row[i];                                                                   \
            for (int i = 0; i < N / 2; i++) {                                                      \
                row[2 * i] = INTERLEAVED##lo_epi##BITS(old[i], old[i + N / 2]);                    \
                row[2 * i + 1] = INTERLEAVED##hi_epi##BITS(old[i], old[i + N / 2]);                \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static ALWAYS_INLINE void join_##BITS(const char *const *planes, ptrdiff_t j, char *dst)       \
    {                                                                                              \
        V row[N];                                                                                  \
        for (int i = 0; i < N; i++)                                                                \
            row[i] = LOAD_BOTH_##V(planes[i] + j, planes[(i + N) % PLANES] + j);                   \
        transpose_##BITS(row);                                                                     \
        for (int i = 0; i < N; i++)                                                                \
            STORE_##V(dst + i * PLANES * BITS / 8, row[i]);                                        \
    }                                                                                              \
    static ALWAYS_INLINE void part_##BITS(const char *src, ptrdiff_t j, char *const *planes)       \
    {                                                                                              \
        V row[N];                                                                                  \
        for (int i = 0; i < N; i++)                                                                \
            row[i] = LOAD_##V(src + i * PLANES * BITS / 8);                                        \
        transpose_##BITS(row);                                                                     \
        for (int i = 0; i < N; i++)                                                                \
            STORE_BOTH_##V(planes[i] + j, planes[(i + N) % PLANES] + j, row[i]);                   \
    }
#if defined(__aarch64__) /* by x86's names */
#define LOAD_uint8x16_t(p) vld1q_u8((const uint8_t *)(p))
#define STORE_uint8x16_t(p, a) vst1q_u8((uint8_t *)(p), a)
#define LOAD_BOTH_uint8x16_t(low, high) LOAD_uint8x16_t(low)
#define STORE_BOTH_uint8x16_t(low, high, a) STORE_uint8x16_t(low, a)
#define neon_lo_epi8 vzip1q_u8
#define neon_hi_epi8 vzip2q_u8
#define neon_lo_epi16(a, b) ((uint8x16_t)vzip1q_u16((uint16x8_t)(a), (uint16x8_t)(b)))
#define neon_hi_epi16(a, b) ((uint8x16_t)vzip2q_u16((uint16x8_t)(a), (uint16x8_t)(b)))
#define neon_lo_epi32(a, b) ((uint8x16_t)vzip1q_u32((uint32x4_t)(a), (uint32x4_t)(b)))
#define neon_hi_epi32(a, b) ((uint8x16_t)vzip2q_u32((uint32x4_t)(a), (uint32x4_t)(b)))
#define neon_lo_epi64(a, b) ((uint8x16_t)vzip1q_u64((uint64x2_t)(a), (uint64x2_t)(b)))
#define neon_hi_epi64(a, b) ((uint8x16_t)vzip2q_u64((uint64x2_t)(a), (uint64x2_t)(b)))
DEFINE_SQUARE(64, 2, 1, uint8x16_t, neon_)
DEFINE_SQUARE(32, 4, 2, uint8x16_t, neon_)
DEFINE_SQUARE(16, 8, 3, uint8x16_t, neon_)
DEFINE_SQUARE(8, 16, 4, uint8x16_t, neon_)
#else
#define LOAD___m128i(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE___m128i(p, a) _mm_storeu_si128((__m128i *)(p), a)
#define LOAD_BOTH___m128i(low, high) LOAD___m128i(low)
#define STORE_BOTH___m128i(low, high, a) STORE___m128i(low, a)
#if defined(__AVX2__)
#define LOAD___m256i(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE___m256i(p, a) _mm256_storeu_si256((__m256i *)(p), a)
#define LOAD_BOTH___m256i(low, high) \
    _mm256_inserti128_si256(_mm256_castsi128_si256(LOAD___m128i(low)), LOAD___m128i(high), 1)
#define STORE_BOTH___m256i(low, high, a)                    \
    do {                                                    \
        STORE___m128i(low, _mm256_castsi256_si128(a));      \
        STORE___m128i(high, _mm256_extracti128_si256(a, 1)); \
    } while (0)
DEFINE_SQUARE(64, 2, 1, __m256i, _mm256_unpack)
DEFINE_SQUARE(32, 4, 2, __m256i, _mm256_unpack)
DEFINE_SQUARE(16, 8, 3, __m256i, _mm256_unpack)
#else
DEFINE_SQUARE(64, 2, 1, __m128i, _mm_unpack)
DEFINE_SQUARE(32, 4, 2, __m128i, _mm_unpack)
DEFINE_SQUARE(16, 8, 3, __m128i, _mm_unpack)
#endif
DEFINE_SQUARE(8, 16, 4, __m128i, _mm_unpack)
#endif

/* The last squares reach back over their neighbours, if a plane is no whole number of them. */
#define FOR_SQUARES(BITS, WORK)                                           \
    for (; n >= ALONG_##BITS && j < n; j += ALONG_##BITS) {               \
        j = j <= n - ALONG_##BITS ? j : n - ALONG_##BITS;                 \
        for (int p = 0; p < PLANES; p += ACROSS_##BITS)                   \
            WORK;                                                         \
    }
#else
#define FOR_SQUARES(BITS, WORK)
#endif

#define DEFINE_PLANES(BITS)                                                                        \
    static void join_planes_##BITS(const char *const *planes, ptrdiff_t n, char *dst)              \
    {                                                                                              \
        enum { ITEM = BITS / 8 };                                                                  \
        ptrdiff_t j = 0;                                                                           \
        FOR_SQUARES(BITS, join_##BITS(planes + p, j * ITEM, dst + (j * PLANES + p) * ITEM))        \
        for (; j < n; j++)                                                                         \
            for (int p = 0; p < PLANES; p++)                                                       \
                memcpy(dst + (j * PLANES + p) * ITEM, planes[p] + j * ITEM, ITEM);                 \
    }                                                                                              \
    static void part_planes_##BITS(                                                                \
        const char *src, ptrdiff_t n, char *const *planes, ptrdiff_t stride)                       \
    {                                                                                              \
        enum { ITEM = BITS / 8 };                                                                  \
        ptrdiff_t j = 0;                                                                           \
        if (stride == ITEM) {                                                                      \
            FOR_SQUARES(BITS, part_##BITS(src + (j * PLANES + p) * ITEM, j * ITEM, planes + p))    \
        }                                                                                          \
        for (; j < n; j++)                                                                         \
            for (int p = 0; p < PLANES; p++)                                                       \
                memcpy(planes[p] + j * stride, src + (j * PLANES + p) * ITEM, ITEM);               \
    }

DEFINE_PLANES(8)
DEFINE_PLANES(16)
DEFINE_PLANES(32)
DEFINE_PLANES(64)

/* n elements of `item` bytes, of each plane. */
static void join_planes(ptrdiff_t item, const char *const *planes, ptrdiff_t n, char *dst)
{
    switch (item) {
    case 1: join_planes_8(planes, n, dst); break;
    case 2: join_planes_16(planes, n, dst); break;
    case 4: join_planes_32(planes, n, dst); break;
    default: join_planes_64(planes, n, dst);
    }
}

/* The way back, to elements `stride` bytes apart. */
static void part_planes(
    ptrdiff_t item, const char *src, ptrdiff_t n, char *const *planes, ptrdiff_t stride)
{
    switch (item) {
    case 1: part_planes_8(src, n, planes, stride); break;
    case 2: part_planes_16(src, n, planes, stride); break;
    case 4: part_planes_32(src, n, planes, stride); break;
    default: part_planes_64(src, n, planes, stride);
    }
}

#endif
