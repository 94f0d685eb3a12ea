/* Merging rows of floats, element by element: their maxima, in which NaN wins, and their sums.
 *
 * Written with vectors because no compiler at hand keeps a maximum with NaN in vector code:
 * nested in a second one, or behind a test of the operation, gcc 12 makes branches of it.
 * x86's `max` returns its second operand for NaN and for equals, so that one of max(a, b) and
 * max(b, a) is NaN wherever a or b is; where they differ otherwise, they are zeros. Their bits,
 * or-ed, are the maximum: three operations, no branch, the same bits at every width.
 *
 * Each function takes n outputs; dst may be one of the sources. The last vector of a row that
 * no whole number of vectors fills is computed first and stored last, over its neighbour.
 */
#ifndef POOLTK_ROWS_H
#define POOLTK_ROWS_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_halves.h"

enum { OP_MAX, OP_SUM, OP_RANK }; /* OP_RANK: a maximum of doubles without NaN, see _winners.h */
#define NO_RANK (-DBL_MAX)

typedef enum {
    KIND_FLOAT32, KIND_FLOAT64, KIND_FLOAT16, KIND_BFLOAT16, KIND_INT8, KIND_INT16, KIND_INT32,
    KIND_INT64, KIND_UINT8, KIND_UINT16, KIND_UINT32, KIND_UINT64,
} kind_t;

#if defined(__GNUC__)
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline)) /* for registers of its own, and one copy */
#elif defined(_MSC_VER)
#define ALWAYS_INLINE __forceinline
#define NEVER_INLINE __declspec(noinline)
#else
#define ALWAYS_INLINE inline
#define NEVER_INLINE
#endif

#if defined(__GNUC__)
#define LIKELY(condition) __builtin_expect(condition, 1)
#define prefetch_line(address) __builtin_prefetch(address, 0, 3)
#else
#define LIKELY(condition) (condition)
#define prefetch_line(address) (void)(address)
#endif
#define AHEAD 8192 /* bytes; docs/decisions.md has what 4096 and others took */

/* Fetch so many bytes into the L2 cache: asked for while a tile is computed, the next is there. */
static inline void prefetch(const char *address, ptrdiff_t bytes)
{
#if defined(__GNUC__)
    for (ptrdiff_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(address + i, 0, 2);
#else
    (void)address, (void)bytes;
#endif
}

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
/* Written out here too: of `a > b ? a : b` gcc may make a branch, which is often mispredicted. */
static inline float scalar_max_float(float a, float b)
{
    __m128 x = _mm_set_ss(a), y = _mm_set_ss(b);
    return _mm_cvtss_f32(_mm_or_ps(_mm_max_ss(x, y), _mm_max_ss(y, x)));
}

static inline double scalar_max_double(double a, double b)
{
    __m128d x = _mm_set_sd(a), y = _mm_set_sd(b);
    return _mm_cvtsd_f64(_mm_or_pd(_mm_max_sd(x, y), _mm_max_sd(y, x)));
}
#elif defined(__aarch64__) /* zeros and NaN as in vectors, of which 0.0 is larger than -0.0 */
#include <arm_neon.h>
static inline float scalar_max_float(float a, float b)
{
    return vget_lane_f32(vmax_f32(vdup_n_f32(a), vdup_n_f32(b)), 0);
}

static inline double scalar_max_double(double a, double b)
{
    return vget_lane_f64(vmax_f64(vdup_n_f64(a), vdup_n_f64(b)), 0);
}
#else
static inline float scalar_max_float(float a, float b)
{
    float first = a > b ? a : b, second = b > a ? b : a;
    uint32_t first_bits, second_bits;
    memcpy(&first_bits, &first, sizeof first);
    memcpy(&second_bits, &second, sizeof second);
    first_bits |= second_bits;
    memcpy(&first, &first_bits, sizeof first);
    return first;
}

static inline double scalar_max_double(double a, double b)
{
    double first = a > b ? a : b, second = b > a ? b : a;
    uint64_t first_bits, second_bits;
    memcpy(&first_bits, &first, sizeof first);
    memcpy(&second_bits, &second, sizeof second);
    first_bits |= second_bits;
    memcpy(&first, &first_bits, sizeof first);
    return first;
}
#endif

#define scalar_rank_double(a, b) ((a) > (b) ? (a) : (b))
#define scalar_sum_float(a, b) ((a) + (b))
#define scalar_sum_double(a, b) ((a) + (b))

/* For each type: a vector, its width, and from two neighbouring vectors the elements at even and
 * at odd places, in an order that `sorted` mends. */
#if defined(__AVX2__)
#include <immintrin.h>
#define VECTOR_float __m256
#define WIDTH_float 8
#define load_float _mm256_loadu_ps
#define store_float _mm256_storeu_ps
#define max_float(a, b) _mm256_or_ps(_mm256_max_ps(a, b), _mm256_max_ps(b, a))
#define sum_float(a, b) _mm256_add_ps(a, b)
#define even_float(a, b) _mm256_shuffle_ps(a, b, 0x88)
#define odd_float(a, b) _mm256_shuffle_ps(a, b, 0xDD)
#define sorted_float(a) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), 0xD8))
#define low_halves_float _mm256_unpacklo_ps
#define high_halves_float _mm256_unpackhi_ps
#define all_float(a) _mm256_set1_ps(a)
#define product_float(a, b) _mm256_mul_ps(a, b)
#define quotient_float(a, b) _mm256_div_ps(a, b)
#define unordered_float(a) _mm256_cmp_ps(a, a, _CMP_UNORD_Q)
#define choose_float(mask, b, a) _mm256_blendv_ps(a, b, mask)
#define VECTOR_double __m256d
#define WIDTH_double 4
#define load_double _mm256_loadu_pd
#define store_double _mm256_storeu_pd
#define max_double(a, b) _mm256_or_pd(_mm256_max_pd(a, b), _mm256_max_pd(b, a))
#define rank_double(a, b) _mm256_max_pd(a, b)
#define sum_double(a, b) _mm256_add_pd(a, b)
#define even_double(a, b) _mm256_unpacklo_pd(a, b)
#define odd_double(a, b) _mm256_unpackhi_pd(a, b)
#define sorted_double(a) _mm256_permute4x64_pd(a, 0xD8)
#define low_halves_double _mm256_unpacklo_pd
#define high_halves_double _mm256_unpackhi_pd
#define all_double(a) _mm256_set1_pd(a)
#define product_double(a, b) _mm256_mul_pd(a, b)
#define quotient_double(a, b) _mm256_div_pd(a, b)
#define unordered_double(a) _mm256_cmp_pd(a, a, _CMP_UNORD_Q)
#define choose_double(mask, b, a) _mm256_blendv_pd(a, b, mask)
#elif defined(__SSE2__) || defined(_M_X64)
#define VECTOR_float __m128
#define WIDTH_float 4
#define load_float _mm_loadu_ps
#define store_float _mm_storeu_ps
#define max_float(a, b) _mm_or_ps(_mm_max_ps(a, b), _mm_max_ps(b, a))
#define sum_float(a, b) _mm_add_ps(a, b)
#define even_float(a, b) _mm_shuffle_ps(a, b, 0x88)
#define odd_float(a, b) _mm_shuffle_ps(a, b, 0xDD)
#define sorted_float(a) (a)
#define low_halves_float _mm_unpacklo_ps
#define high_halves_float _mm_unpackhi_ps
#define all_float(a) _mm_set1_ps(a)
#define product_float(a, b) _mm_mul_ps(a, b)
#define quotient_float(a, b) _mm_div_ps(a, b)
#define unordered_float(a) _mm_cmpunord_ps(a, a)
#define choose_float(mask, b, a) _mm_or_ps(_mm_and_ps(mask, b), _mm_andnot_ps(mask, a))
#define VECTOR_double __m128d
#define WIDTH_double 2
#define load_double _mm_loadu_pd
#define store_double _mm_storeu_pd
#define max_double(a, b) _mm_or_pd(_mm_max_pd(a, b), _mm_max_pd(b, a))
#define rank_double(a, b) _mm_max_pd(a, b)
#define sum_double(a, b) _mm_add_pd(a, b)
#define even_double(a, b) _mm_unpacklo_pd(a, b)
#define odd_double(a, b) _mm_unpackhi_pd(a, b)
#define sorted_double(a) (a)
#define low_halves_double _mm_unpacklo_pd
#define high_halves_double _mm_unpackhi_pd
#define all_double(a) _mm_set1_pd(a)
#define product_double(a, b) _mm_mul_pd(a, b)
#define quotient_double(a, b) _mm_div_pd(a, b)
#define unordered_double(a) _mm_cmpunord_pd(a, a)
#define choose_double(mask, b, a) _mm_or_pd(_mm_and_pd(mask, b), _mm_andnot_pd(mask, a))
#elif defined(__aarch64__)
#define VECTOR_float float32x4_t
#define WIDTH_float 4
#define load_float vld1q_f32
#define store_float vst1q_f32
#define max_float(a, b) vmaxq_f32(a, b)
#define sum_float(a, b) vaddq_f32(a, b)
#define even_float(a, b) vuzp1q_f32(a, b)
#define odd_float(a, b) vuzp2q_f32(a, b)
#define sorted_float(a) (a)
#define low_halves_float vzip1q_f32
#define high_halves_float vzip2q_f32
#define all_float(a) vdupq_n_f32(a)
#define product_float(a, b) vmulq_f32(a, b)
#define quotient_float(a, b) vdivq_f32(a, b)
#define unordered_float(a) vreinterpretq_f32_u32(vmvnq_u32(vceqq_f32(a, a)))
#define choose_float(mask, b, a) vbslq_f32(vreinterpretq_u32_f32(mask), b, a)
#define VECTOR_double float64x2_t
#define WIDTH_double 2
#define load_double vld1q_f64
#define store_double vst1q_f64
#define max_double(a, b) vmaxq_f64(a, b)
#define rank_double(a, b) vmaxq_f64(a, b)
#define sum_double(a, b) vaddq_f64(a, b)
#define even_double(a, b) vuzp1q_f64(a, b)
#define odd_double(a, b) vuzp2q_f64(a, b)
#define sorted_double(a) (a)
#define low_halves_double vzip1q_f64
#define high_halves_double vzip2q_f64
#define all_double(a) vdupq_n_f64(a)
#define product_double(a, b) vmulq_f64(a, b)
#define quotient_double(a, b) vdivq_f64(a, b)
#define unordered_double(a) \
    vreinterpretq_f64_u32(vmvnq_u32(vreinterpretq_u32_u64(vceqq_f64(a, a))))
#define choose_double(mask, b, a) vbslq_f64(vreinterpretq_u64_f64(mask), b, a)
#else /* vectors of one element; of a pair, the even one is the low half, the odd one the high one */
#define VECTOR_float float
#define WIDTH_float 1
#define load_float(p) (*(p))
#define store_float(p, a) (*(p) = (a))
#define max_float scalar_max_float
#define sum_float scalar_sum_float
#define even_float(a, b) (a)
#define odd_float(a, b) (b)
#define sorted_float(a) (a)
#define low_halves_float(even, odd) (even)
#define high_halves_float(even, odd) (odd)
#define VECTOR_double double
#define WIDTH_double 1
#define load_double(p) (*(p))
#define store_double(p, a) (*(p) = (a))
#define max_double scalar_max_double
#define rank_double scalar_rank_double
#define sum_double scalar_sum_double
#define even_double(a, b) (a)
#define odd_double(a, b) (b)
#define sorted_double(a) (a)
#define low_halves_double(even, odd) (even)
#define high_halves_double(even, odd) (odd)
#define all_float(a) (a)
#define product_float(a, b) ((a) * (b))
#define quotient_float(a, b) ((a) / (b))
#define unordered_float(a) ((a) != (a))
#define choose_float(mask, b, a) ((mask) ? (b) : (a))
#define all_double(a) (a)
#define product_double(a, b) ((a) * (b))
#define quotient_double(a, b) ((a) / (b))
#define unordered_double(a) ((a) != (a))
#define choose_double(mask, b, a) ((mask) ? (b) : (a))
#endif

/* What is read to be merged: of a maximum in registers first, as compilers would rather load it again
 * for the second instruction that needs it. */
#if defined(__GNUC__) && defined(__SSE2__)
#define IN_REGISTER(a) __asm__("" : "+x"(a))
#else
#define IN_REGISTER(a) (void)(a)
#endif
#define DEFINE_OPERANDS(T)                                      \
    static ALWAYS_INLINE VECTOR_##T max_operand_##T(const T *p) \
    {                                                           \
        VECTOR_##T a = load_##T(p);                             \
        IN_REGISTER(a);                                         \
        return a;                                               \
    }
DEFINE_OPERANDS(float)
DEFINE_OPERANDS(double)
#define sum_operand_float load_float
#define sum_operand_double load_double
#define rank_operand_double load_double

/* Halves as vectors of floats. What is written has no NaN but NAN or -NAN: plain_nans sees to it. */
#if defined(__AVX2__)
static ALWAYS_INLINE __m256 plain_nans(__m256 a)
{
    __m256 nan = _mm256_or_ps(_mm256_and_ps(a, all_float(-0.0f)), all_float(NAN));
    return choose_float(unordered_float(a), nan, a);
}

static ALWAYS_INLINE __m256 read_sum_float16(const pooltk_float16 *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static ALWAYS_INLINE void write_sum_float16(pooltk_float16 *dst, __m256 value)
{
    _mm_storeu_si128((__m128i *)dst, _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}

static ALWAYS_INLINE __m256 read_sum_bfloat16(const pooltk_bfloat16 *p)
{
    const __m256i up = _mm256_setr_epi8(
        -1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7,
        -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
    __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(twice, up));
}

static ALWAYS_INLINE void write_sum_bfloat16(pooltk_bfloat16 *dst, __m256 value)
{
    const __m256i down = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1));
    __m256i bits = _mm256_castps_si256(value);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    bits = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7FFF));
    bits = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bits, down), 0x08);
    _mm_storeu_si128((__m128i *)dst, _mm256_castsi256_si128(bits));
}
#elif defined(__SSE2__) || defined(_M_X64) /* as _halves.h does it */
static ALWAYS_INLINE __m128i choose_bits(__m128i mask, __m128i b, __m128i a)
{
    return _mm_or_si128(_mm_and_si128(mask, b), _mm_andnot_si128(mask, a));
}

static ALWAYS_INLINE __m128 plain_nans(__m128 a)
{
    __m128 nan = _mm_or_ps(_mm_and_ps(a, all_float(-0.0f)), all_float(NAN));
    return choose_float(unordered_float(a), nan, a);
}

static ALWAYS_INLINE __m128 read_sum_float16(const pooltk_float16 *p)
{
    __m128i half = _mm_unpacklo_epi16(_mm_loadl_epi64((const __m128i *)p), _mm_setzero_si128());
    __m128i magnitude = _mm_and_si128(half, _mm_set1_epi32(0x7FFF));
    __m128i sign = _mm_slli_epi32(_mm_xor_si128(half, magnitude), 16);
    __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7BFF));
    __m128 value = _mm_castsi128_ps(_mm_slli_epi32(magnitude, 13));
    value = _mm_mul_ps(value, all_float(0x1p112f));
    sign = _mm_or_si128(sign, _mm_and_si128(special, _mm_set1_epi32(0x7F800000)));
    return _mm_or_ps(value, _mm_castsi128_ps(sign));
}

static ALWAYS_INLINE void write_sum_float16(pooltk_float16 *dst, __m128 value)
{
    __m128i bits = _mm_castps_si128(value), magnitude, normal, subnormal, half;
    magnitude = _mm_and_si128(bits, _mm_set1_epi32(0x7FFFFFFF));
    normal = _mm_and_si128(_mm_srli_epi32(magnitude, 13), _mm_set1_epi32(1));
    normal = _mm_add_epi32(normal, _mm_add_epi32(magnitude, _mm_set1_epi32((int)0xC8000FFFu)));
    subnormal = _mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(magnitude), all_float(0.5f)));
    half = choose_bits(_mm_cmplt_epi32(magnitude, _mm_set1_epi32(0x38800000)),
                       _mm_sub_epi32(subnormal, _mm_set1_epi32(0x3F000000)),
                       _mm_srli_epi32(normal, 13));
    half = choose_bits(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x477FFFFF)),
                       _mm_set1_epi32(0x7C00), half);
    half = choose_bits(_mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7F800000)),
                       _mm_set1_epi32(0x7E00), half);
    half = _mm_or_si128(half, _mm_srai_epi32(_mm_xor_si128(bits, magnitude), 16));
    _mm_storel_epi64((__m128i *)dst, _mm_packs_epi32(half, half));
}

static ALWAYS_INLINE __m128 read_sum_bfloat16(const pooltk_bfloat16 *p)
{
    __m128i halves = _mm_loadl_epi64((const __m128i *)p);
    return _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves));
}

static ALWAYS_INLINE void write_sum_bfloat16(pooltk_bfloat16 *dst, __m128 value)
{
    __m128i bits = _mm_castps_si128(value);
    __m128i odd = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(1));
    bits = _mm_add_epi32(_mm_add_epi32(bits, odd), _mm_set1_epi32(0x7FFF));
    bits = _mm_srai_epi32(bits, 16);
    _mm_storel_epi64((__m128i *)dst, _mm_packs_epi32(bits, bits));
}
#else
#define DEFINE_HALVES(H)                                                          \
    static ALWAYS_INLINE VECTOR_float read_sum_##H(const pooltk_##H *p)           \
    {                                                                             \
        float values[WIDTH_float];                                                \
        for (int i = 0; i < WIDTH_float; i++)                                     \
            values[i] = float_of_##H(p[i].bits);                                  \
        return load_float(values);                                                \
    }                                                                             \
    static ALWAYS_INLINE void write_sum_##H(pooltk_##H *dst, VECTOR_float value)  \
    {                                                                             \
        float values[WIDTH_float];                                                \
        store_float(values, value);                                               \
        for (int i = 0; i < WIDTH_float; i++)                                     \
            dst[i].bits = H##_of_float(values[i]);                                \
    }
DEFINE_HALVES(float16)
DEFINE_HALVES(bfloat16)
#define plain_nans(a) (a)
#endif
#define scalar_read_sum_float16(half) float_of_float16((half).bits)
#define scalar_read_sum_bfloat16(half) float_of_bfloat16((half).bits)

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
        FOR_ROW(T, OP##_##T(ROW(OP, T, a), ROW(OP, T, b)), scalar_##OP##_##T(a[j], b[j]));        \
    }                                                                                             \
    static void OP##3_##T(const T *a, const T *b, const T *c, T *dst, ptrdiff_t n)                \
    {                                                                                             \
        FOR_ROW(T, OP##_##T(OP##_##T(ROW(OP, T, a), ROW(OP, T, b)), ROW(OP, T, c)),               \
                scalar_##OP##_##T(scalar_##OP##_##T(a[j], b[j]), c[j]));                          \
    }                                                                                             \
    static void OP##4_##T(const T *a, const T *b, const T *c, const T *d, T *dst, ptrdiff_t n)    \
    {                                                                                             \
        FOR_ROW(T,                                                                                \
                OP##_##T(OP##_##T(ROW(OP, T, a), ROW(OP, T, b)),                                  \
                         OP##_##T(ROW(OP, T, c), ROW(OP, T, d))),                                 \
                scalar_##OP##_##T(scalar_##OP##_##T(a[j], b[j]), scalar_##OP##_##T(c[j], d[j]))); \
    }                                                                                             \
    /* 16 rows, so many bytes apart, of at least a vector; dst is none of them */                 \
    static void OP##16_##T(const char *a, ptrdiff_t step, T *dst, ptrdiff_t n)                    \
    {                                                                                             \
        const char *b = a + 4 * step, *c = b + 4 * step, *d = c + 4 * step;                       \
        for (ptrdiff_t j = 0; j < n; j += WIDTH_##T) {                                            \
            j = j < n - WIDTH_##T ? j : n - WIDTH_##T;                                            \
            for (int k = 0; k < 16 && step <= AHEAD / 16 && j % LINE_OF(T) == 0; k++)              \
                prefetch_line((const char *)((const T *)a + j) + k * step + AHEAD);               \
            store_##T(dst + j,                                                                    \
                      OP##_##T(OP##_##T(FOUR(OP, T, a), FOUR(OP, T, b)),                          \
                               OP##_##T(FOUR(OP, T, c), FOUR(OP, T, d))));                        \
        }                                                                                         \
    }                                                                                             \
    /* bins of 1 to 4 pixels of n, at least a vector: where each begins, how many pixels it has,  \
     * and of how many results it is one */                                                       \
    static void OP##_bins_##T(                                                                    \
        const T *row, const ptrdiff_t *bin, ptrdiff_t outputs, ptrdiff_t n, T *dst)               \
    {                                                                                             \
        for (T *end = dst + outputs * n; dst < end; bin += 3 * bin[2]) {                          \
            const char *a = (const char *)(row + bin[0]);                                         \
            const ptrdiff_t step = n * sizeof(T);                                                 \
            switch (bin[1]) {                                                                     \
            case 1: PIXELS(T, ROW_AT(OP, T, a, 0)); break;                                        \
            case 2: PIXELS(T, OP##_##T(ROW_AT(OP, T, a, 0), ROW_AT(OP, T, a, 1))); break;         \
            case 3:                                                                               \
                PIXELS(T, OP##_##T(OP##_##T(ROW_AT(OP, T, a, 0), ROW_AT(OP, T, a, 1)),            \
                                   ROW_AT(OP, T, a, 2)));                                         \
                break;                                                                            \
            default: PIXELS(T, FOUR(OP, T, a));                                                   \
            }                                                                                     \
            for (ptrdiff_t i = 1; i < bin[2]; i++)                                                \
                memcpy(dst + i * n, dst, step);                                                   \
            dst += bin[2] * n;                                                                    \
        }                                                                                         \
    }                                                                                             \
    /* windows of 2 and of 3 along one row, stride 2; dst is not the source */                    \
    static inline void OP##_pairs_##T(const T *a, T *dst, ptrdiff_t n)                                   \
    {                                                                                             \
        FOR_ROW(T, sorted_##T(OP##_##T(EVEN(T, a + 2 * j), ODD(T, a + 2 * j))),                   \
                scalar_##OP##_##T(a[2 * j], a[2 * j + 1]));                                       \
    }                                                                                             \
    static void OP##_triples_##T(const T *a, T *dst, ptrdiff_t n)                                 \
    {                                                                                             \
        FOR_ROW(T,                                                                                \
                sorted_##T(OP##_##T(OP##_##T(EVEN(T, a + 2 * j), ODD(T, a + 2 * j)),              \
                                    EVEN(T, a + 2 * j + 2))),                                     \
                scalar_##OP##_##T(scalar_##OP##_##T(a[2 * j], a[2 * j + 1]), a[2 * j + 2]));      \
    }

#define PIXELS(T, VALUE)                           \
    do {                                           \
        ptrdiff_t j = 0, last = n - WIDTH_##T;     \
        for (; j < last; j += WIDTH_##T)           \
            store_##T(dst + j, VALUE);             \
        j = last;                                  \
        store_##T(dst + last, VALUE);              \
    } while (0)
#define ROW_AT(OP, T, p, k) OP##_operand_##T((const T *)(p + k * step) + j)
#define FOUR(OP, T, p) \
    OP##_##T(OP##_##T(ROW_AT(OP, T, p, 0), ROW_AT(OP, T, p, 1)), \
             OP##_##T(ROW_AT(OP, T, p, 2), ROW_AT(OP, T, p, 3)))
#define EVEN(T, p) even_##T(load_##T(p), load_##T((p) + WIDTH_##T))
#define ODD(T, p) odd_##T(load_##T(p), load_##T((p) + WIDTH_##T))

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
#define OF_VECTORS(EACH)              \
    for (int v = 0; v < vectors; v++) \
        EACH
#define AT(T, k) load_##T(row[k] + j + v * WIDTH_##T)
DEFINE_GROUPS(float)
DEFINE_GROUPS(double)

/* One value of a run of at least LANES: blocks of so many are merged pairwise into one, of which the
 * run's rest joins the last. Then half as many are written for RUNS runs in a row: to merge
 * neighbours there, as windows of 2, takes a tenth of what one run's last 8 would take by themselves.
 * What is merged with what does not depend on the vectors' width. */
enum { LANES = 16, RUNS = 16, FETCHED_RUN = 1024 };
#define VECTORS(T) (LANES / WIDTH_##T)
#define FOR_VECTORS(T) for (int i = 0, j = 0; i < VECTORS(T); i++, j += WIDTH_##T)
#define BLOCK_OF(READ, k) READ(row + (k) * LANES + j)

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

#define DEFINE_RUNS(OP, T, S, KIND, READ)                                                         \
    /* the 8 partial results of a run; up to `end` may be read, `mask` is of its last vector */   \
    static ALWAYS_INLINE void OP##_lanes_##KIND(                                                  \
        const S *row, ptrdiff_t n, const S *end, VECTOR_##T mask, T *dst)                         \
    {                                                                                             \
        VECTOR_##T lanes[VECTORS(T)], tree[48][VECTORS(T)];                                       \
        ptrdiff_t blocks = n / LANES - 1, rest = n % LANES, fours = 0, depth = 0;                 \
        const S *last = row + blocks * LANES;                                                     \
        S padded[2 * LANES];                                                                      \
        for (; blocks >= 4; blocks -= 4, row += 4 * LANES) {                                      \
            for (int k = 0; n >= FETCHED_RUN && k < 4 * LANES; k += LINE_OF(S))                   \
                prefetch_line((const char *)(row + k) + AHEAD);                                   \
            FOR_VECTORS(T)                                                                        \
                tree[depth][i] = OP##_##T(OP##_##T(BLOCK_OF(READ, 0), BLOCK_OF(READ, 1)),         \
                                          OP##_##T(BLOCK_OF(READ, 2), BLOCK_OF(READ, 3)));        \
            for (ptrdiff_t bit = 1; fours & bit; bit *= 2, depth--)                               \
                FOR_VECTORS(T)                                                                    \
                    tree[depth - 1][i] = OP##_##T(tree[depth - 1][i], tree[depth][i]);            \
            fours++;                                                                              \
            depth++;                                                                              \
        }                                                                                         \
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
        const S *end = row + (count - 1) * step + n;                                              \
        T eighths[8 * RUNS], quarters[4 * RUNS], ones[WIDTH_##T];                                 \
        VECTOR_##T mask;                                                                          \
        memset(ones, 0, sizeof ones);                                                             \
        memset(ones, 0xFF, n % WIDTH_##T * sizeof(T));                                            \
        mask = load_##T(ones);                                                                    \
        while (count > 0) {                                                                       \
            ptrdiff_t runs = count < RUNS ? count : RUNS;                                         \
            for (ptrdiff_t i = 0; i < runs; i++, row += step)                                     \
                OP##_lanes_##KIND(row, n, end, mask, eighths + 8 * i);                            \
            OP##_pairs_##T(eighths, quarters, 4 * runs);                                          \
            OP##_pairs_##T(quarters, eighths, 2 * runs);                                          \
            OP##_pairs_##T(eighths, dst, runs);                                                   \
            dst += runs;                                                                          \
            count -= runs;                                                                        \
        }                                                                                         \
    }


DEFINE_ROWS(max, float)
DEFINE_ROWS(sum, float)
DEFINE_ROWS(max, double)
DEFINE_ROWS(sum, double)
DEFINE_ROWS(rank, double)

DEFINE_RUNS(max, float, float, float, max_operand_float)
DEFINE_RUNS(sum, float, float, float, load_float)
DEFINE_RUNS(max, double, double, double, max_operand_double)
DEFINE_RUNS(sum, double, double, double, load_double)
DEFINE_RUNS(sum, float, pooltk_float16, float16, read_sum_float16)
DEFINE_RUNS(sum, float, pooltk_bfloat16, bfloat16, read_sum_bfloat16)

/* The same by an operation that is told: it is looked at once a row. */
#define BY_OP_float(NAME, ...) \
    (op == OP_SUM ? sum##NAME##_float(__VA_ARGS__) : max##NAME##_float(__VA_ARGS__))
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
    static ALWAYS_INLINE void merge_pairs_##T(int op, const T *a, T *dst, ptrdiff_t n)            \
    {                                                                                             \
        BY_OP_##T(_pairs, a, dst, n);                                                             \
    }                                                                                             \
    static ALWAYS_INLINE void merge_triples_##T(int op, const T *a, T *dst, ptrdiff_t n)          \
    {                                                                                             \
        BY_OP_##T(_triples, a, dst, n);                                                           \
    }                                                                                             \
    static ALWAYS_INLINE void merge_bins_##T(                                                     \
        int op, const T *row, const ptrdiff_t *bins, ptrdiff_t outputs, ptrdiff_t n, T *dst)      \
    {                                                                                             \
        BY_OP_##T(_bins, row, bins, outputs, n, dst);                                             \
    }                                                                                             \
    static ALWAYS_INLINE void merge16_##T(                                                        \
        int op, const char *rows, ptrdiff_t step, T *dst, ptrdiff_t n)                            \
    {                                                                                             \
        (op == OP_SUM ? sum16_##T : max16_##T)(rows, step, dst, n);                               \
    }                                                                                             \
    static ALWAYS_INLINE void merge_runs_##T(                                                     \
        int op, const T *row, ptrdiff_t step, ptrdiff_t n, T *dst, ptrdiff_t count)               \
    {                                                                                             \
        (op == OP_SUM ? sum_runs_##T : max_runs_##T)(row, step, n, dst, count);                   \
    }
DEFINE_MERGES(float)
DEFINE_MERGES(double)

/* How a result of _small.h leaves: a sum is multiplied by a reciprocal that is exact, or divided. */
enum { AS_IT_IS, MULTIPLIED, DIVIDED, DIVIDED_EACH };

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
enum { BINS = 8, MOST_BIN = 4, MOST_BIN_VECTORS = MOST_VECTORS < 3 ? MOST_VECTORS : 3 };

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

#if defined(__AVX2__)
/* A vector's elements and those next to them: the last of the one before, or the first of the next. */
#define BETWEEN(a, b) _mm256_permute2x128_si256(a, b, 0x21)
#define BEHIND(a, b, size) _mm256_alignr_epi8(b, BETWEEN(a, b), 16 - (size))
#define BEFORE(b, c, size) _mm256_alignr_epi8(BETWEEN(b, c), b, size)
#define behind_float(a, b) \
    _mm256_castsi256_ps(BEHIND(_mm256_castps_si256(a), _mm256_castps_si256(b), 4))
#define before_float(b, c) \
    _mm256_castsi256_ps(BEFORE(_mm256_castps_si256(b), _mm256_castps_si256(c), 4))
#define behind_double(a, b) \
    _mm256_castsi256_pd(BEHIND(_mm256_castpd_si256(a), _mm256_castpd_si256(b), 8))
#define before_double(b, c) \
    _mm256_castsi256_pd(BEFORE(_mm256_castpd_si256(b), _mm256_castpd_si256(c), 8))
/* Elements that odd_ gave, each in the place of the next one, and the last in that of the first. */
#define moved_up_float(a) _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(7, 0, 5, 2, 1, 4, 3, 6))
#define moved_up_double(a) _mm256_permute4x64_pd(a, 0x4B)
#define with_first_float(a, first) _mm256_blend_ps(a, first, 0x1)
#define with_first_double(a, first) _mm256_blend_pd(a, first, 0x1)
/* The first n of a vector. */
#define first_float(n) \
    _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), \
                                           _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
#define where_not_first_float(first, a) _mm256_andnot_ps(first, a)
#define load_where_float(mask, p) _mm256_maskload_ps(p, _mm256_castps_si256(mask))
#define store_where_float(mask, p, a) _mm256_maskstore_ps(p, _mm256_castps_si256(mask), a)
#define either_float _mm256_or_ps
#define either_double _mm256_or_pd
#define first_double(n) \
    _mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)))
#define load_where_double(mask, p) _mm256_maskload_pd(p, _mm256_castpd_si256(mask))
#define store_where_double(mask, p, a) _mm256_maskstore_pd(p, _mm256_castpd_si256(mask), a)
#endif

#define KIND float
#define T float
#define FLOATING
#define READ_AS_IT_IS
#define POOLS_PIXELS
#if defined(__AVX2__)
#define NEIGHBOURS
#define IN_REGISTERS
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
