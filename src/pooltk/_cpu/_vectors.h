/* Vectors of floats and of doubles, at every level, and their maxima, in which NaN wins, and sums.
 *
 * They are written out because no compiler at hand keeps a maximum with NaN in vector code:
 * nested in a second one, or behind a test of the operation, gcc 12 makes branches of it.
 * x86's `max` returns its second operand for NaN and for equals, so that one of max(a, b) and
 * max(b, a) is NaN wherever a or b is; where they differ otherwise, they are zeros. Their bits,
 * or-ed, are the maximum: three operations, no branch, the same bits at every width.
 */
#ifndef POOLTK_VECTORS_H
#define POOLTK_VECTORS_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_halves.h"

/* OP_RANK: a maximum of doubles without NaN, see _winners.h; OP_GREATER: see _numbers.h */
enum { OP_MAX, OP_SUM, OP_RANK, OP_GREATER, OPERATIONS };
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
/* What is done to a result, or to part of one. */
#define max_result_float(a) (a)
#define sum_result_float(a) (a)
#define max_result_double(a) (a)
#define sum_result_double(a) (a)
#define rank_result_double(a) (a)
#define sum_operand_float load_float
#define sum_operand_double load_double
#define rank_operand_double load_double

/* Every third element of three neighbouring vectors, from the first, the second and the third on. */
#if defined(__SSE2__) || defined(_M_X64)
#if defined(__AVX2__) /* halves that have what half of the results need */
#define HALVES_APART(T, a, b, c, BLEND, PERMUTE)                               \
    VECTOR_##T first = BLEND(*a, *b, WIDTH_##T == 8 ? 0xF0 : 0xC), last;       \
    VECTOR_##T middle = PERMUTE(*a, *c, 0x21);                                 \
    last = BLEND(*b, *c, WIDTH_##T == 8 ? 0xF0 : 0xC)
#define FLOATS_APART(a, b, c) \
    HALVES_APART(float, a, b, c, _mm256_blend_ps, _mm256_permute2f128_ps)
#define DOUBLES_APART(a, b, c) \
    HALVES_APART(double, a, b, c, _mm256_blend_pd, _mm256_permute2f128_pd)
#define SHUFFLED_FLOATS _mm256_shuffle_ps
#define SHUFFLED_DOUBLES _mm256_shuffle_pd
#else
#define FLOATS_APART(a, b, c) VECTOR_float first = *a, middle = *b, last = *c
#define DOUBLES_APART(a, b, c) VECTOR_double first = *a, middle = *b, last = *c
#define SHUFFLED_FLOATS _mm_shuffle_ps
#define SHUFFLED_DOUBLES(a, b, order) _mm_shuffle_pd(a, b, (order) & 3)
#endif
static ALWAYS_INLINE void thirds_float(VECTOR_float *a, VECTOR_float *b, VECTOR_float *c)
{
    FLOATS_APART(a, b, c);
    *a = SHUFFLED_FLOATS(first, SHUFFLED_FLOATS(middle, last, 0x5A), 0x8C);
    *b = SHUFFLED_FLOATS(SHUFFLED_FLOATS(first, middle, 0x05),
                         SHUFFLED_FLOATS(middle, last, 0xAF), 0x88);
    *c = SHUFFLED_FLOATS(SHUFFLED_FLOATS(first, middle, 0x5A), last, 0xC8);
}

static ALWAYS_INLINE void thirds_double(VECTOR_double *a, VECTOR_double *b, VECTOR_double *c)
{
    DOUBLES_APART(a, b, c);
    *a = SHUFFLED_DOUBLES(first, middle, 0xA);
    *b = SHUFFLED_DOUBLES(first, last, 0x5);
    *c = SHUFFLED_DOUBLES(middle, last, 0xA);
}
#else
#define DEFINE_THIRDS(T)                                                                \
    static ALWAYS_INLINE void thirds_##T(VECTOR_##T *a, VECTOR_##T *b, VECTOR_##T *c)   \
    {                                                                                   \
        T all[3 * WIDTH_##T], third[3][WIDTH_##T];                                      \
        store_##T(all, *a);                                                             \
        store_##T(all + WIDTH_##T, *b);                                                 \
        store_##T(all + 2 * WIDTH_##T, *c);                                             \
        for (int j = 0; j < 3 * WIDTH_##T; j++)                                         \
            third[j % 3][j / 3] = all[j];                                               \
        *a = load_##T(third[0]);                                                        \
        *b = load_##T(third[1]);                                                        \
        *c = load_##T(third[2]);                                                        \
    }
DEFINE_THIRDS(float)
DEFINE_THIRDS(double)
#endif

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

#endif
