/* Maxima and where they are, and gradients by where they were: vectors of places beside those of
 * values, int32 for float and int64 for double. */
#ifndef POOLTK_WINNERS_H
#define POOLTK_WINNERS_H

#include "_kinds.h"

/* Outputs of a row of windows. */
typedef struct {
    ptrdiff_t channels, pixel;       /* pixel: elements from one to the next */
    ptrdiff_t outputs;
    const ptrdiff_t *first, *count;  /* of each output: the first column of its window, how many */
    ptrdiff_t step;                  /* columns from one to the next */
} winners_row;

/* Windows whose winners are found in strips (_strips.h). */
enum { ANY_ROWS = -1 };

/* Bins of so many columns are sought down them first. */
#if defined(__AVX2__)
enum { WIDE_WINNER = 8 };
#else
enum { WIDE_WINNER = 16 };
#endif

typedef struct {
    int columns, stride;             /* of a window; from one to the next: 1, 2 or 4 */
    ptrdiff_t padding, input_columns;
    int rows;
    ptrdiff_t row_stride, row_padding, input_rows;
    ptrdiff_t outputs;               /* of a row; those from `inner` to `outer` lack no column */
    ptrdiff_t inner, outer;
} strips_t;

typedef struct {
    const void *src;                 /* row 0 of the windows' first depth */
    ptrdiff_t src_row, src_depth, src_plane; /* in bytes, from one to the next */
    ptrdiff_t ahead;                 /* and to what is fetched meanwhile */
    int depths;                      /* of a window */
    int64_t place, place_depth;      /* of row 0; from a depth to the next */
    ptrdiff_t y, y_end, x, x_end;    /* outputs */
    void *values, *places;           /* of the first; places go to `indices`, if there are */
    int64_t *indices;
    ptrdiff_t values_row, places_row;
    ptrdiff_t planes, values_plane, places_plane;
} strips_tile;

/* A tap wins over an earlier one if it is greater, or the first NaN. */
#define tap_wins(tap, winner) (!((winner) >= (tap)) && (winner) == (winner))

#if defined(__AVX2__)
#define MASK VECTOR
#define KEYS_float __m256i
#define load_keys_float(p) _mm256_loadu_si256((const __m256i *)(p))
#define store_keys_float(p, k) _mm256_storeu_si256((__m256i *)(p), k)
#define all_keys_float(k) _mm256_set1_epi32(k)
#define plus_keys_float _mm256_add_epi32
#define ascending_keys_float(step) \
    _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(step))
#define sorted_keys_float(k) _mm256_permute4x64_epi64(k, 0xD8)
#define even_keys_float(k, l) \
    _mm256_castps_si256(even_float(_mm256_castsi256_ps(k), _mm256_castsi256_ps(l)))
#define odd_keys_float(k, l) \
    _mm256_castps_si256(odd_float(_mm256_castsi256_ps(k), _mm256_castsi256_ps(l)))
#define equal_keys_float(k, l) _mm256_castsi256_ps(_mm256_cmpeq_epi32(k, l))
#define choose_keys_float(mask, l, k) _mm256_blendv_epi8(k, l, _mm256_castps_si256(mask))
#define beats_float(b, a) \
    _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NGE_UQ), _mm256_cmp_ps(a, a, _CMP_ORD_Q))
#define larger_float(mask, b, a) _mm256_max_ps(b, a)
#define later_keys_float(mask, l, k) _mm256_max_epu32(k, _mm256_and_si256(_mm256_castps_si256(mask), l))
#define less_float(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define any_unordered_float(a) _mm256_movemask_ps(unordered_float(a))
#define where_float(mask, a) _mm256_and_ps(mask, a)
#define where_not_float(mask, a) _mm256_andnot_ps(mask, a)
static ALWAYS_INLINE void store_indices_float(int64_t *dst, __m256i keys)
{
    __m128i low = _mm256_castsi256_si128(keys), high = _mm256_extracti128_si256(keys, 1);
    _mm256_storeu_si256((__m256i *)dst, _mm256_cvtepi32_epi64(low));
    _mm256_storeu_si256((__m256i *)(dst + 4), _mm256_cvtepi32_epi64(high));
}
static ALWAYS_INLINE void store_some_indices_float(ptrdiff_t n, int64_t *dst, __m256i keys)
{
    __m128i low = _mm256_castsi256_si128(keys), high = _mm256_extracti128_si256(keys, 1);
    _mm256_maskstore_epi64((long long *)dst, _mm256_castpd_si256(first_double(n)),
                           _mm256_cvtepi32_epi64(low));
    _mm256_maskstore_epi64((long long *)dst + 4, _mm256_castpd_si256(first_double(n - 4)),
                           _mm256_cvtepi32_epi64(high));
}
/* Indices as places, in the order in which `even` leaves elements: a vector, or SOME, the first n. What
 * is beyond 32 bits is no place. */
#define read_long_indices(some, p, n)                                                              \
    (some ? _mm256_maskload_epi64((const long long *)(p), _mm256_castpd_si256(first_double(n)))     \
          : load_keys_float(p))
static ALWAYS_INLINE __m256i read_indices_float(int some, const int64_t *p, ptrdiff_t n)
{
    __m256i low = read_long_indices(some, p, n), high = read_long_indices(some, p + 4, n - 4);
    __m256i beyond = _mm256_cmpeq_epi32(odd_keys_float(low, high), _mm256_setzero_si256());
    return _mm256_or_si256(even_keys_float(low, high),
                           _mm256_xor_si256(beyond, _mm256_set1_epi32(-1)));
}
#define read_indices_double(some, p, n) sorted_keys_float(read_long_indices(some, p, n))
#define load_some_keys_float(mask, p) _mm256_maskload_epi32(p, _mm256_castps_si256(mask))
#define beyond_keys_float all_keys_float(INT32_MAX)
#define earlier_keys_float _mm256_min_epu32
/* The halves, quarters and eighths of a vector, swapped. */
#define swapped_float(step, a)                                   \
    ((step) == 0 ? _mm256_permute2f128_ps(a, a, 1)               \
     : (step) == 1 ? _mm256_shuffle_ps(a, a, 0x4E) : _mm256_shuffle_ps(a, a, 0xB1))
#define swapped_keys_float(step, k) \
    _mm256_castps_si256(swapped_float(step, _mm256_castsi256_ps(k)))
#define equal_float(a, b) _mm256_cmp_ps(a, b, _CMP_EQ_OQ)
enum { SWAPS_float = 3 };
#define store_some_keys_float(n, p, k) \
    _mm256_maskstore_epi32(p, _mm256_castps_si256(first_float(n)), k)
#define KEYS_double __m256i
#define load_keys_double load_keys_float
#define load_some_keys_double(mask, p) \
    _mm256_maskload_epi64((const long long *)(p), _mm256_castpd_si256(mask))
#define beyond_keys_double all_keys_double(INT64_MAX)
#define earlier_keys_double(k, l) _mm256_blendv_epi8(k, l, _mm256_cmpgt_epi64(k, l))
#define swapped_double(step, a) \
    ((step) == 0 ? _mm256_permute2f128_pd(a, a, 1) : _mm256_shuffle_pd(a, a, 5))
#define swapped_keys_double(step, k) \
    _mm256_castpd_si256(swapped_double(step, _mm256_castsi256_pd(k)))
#define equal_double(a, b) _mm256_cmp_pd(a, b, _CMP_EQ_OQ)
enum { SWAPS_double = 2 };
#define store_some_keys_double(n, p, k) \
    _mm256_maskstore_epi64((long long *)(p), _mm256_castpd_si256(first_double(n)), k)
#define store_some_indices_double store_some_keys_double
#define store_keys_double store_keys_float
#define all_keys_double(k) _mm256_set1_epi64x(k)
#define plus_keys_double _mm256_add_epi64
#define ascending_keys_double(step) \
    _mm256_setr_epi64x(0, step, 2 * (int64_t)(step), 3 * (int64_t)(step))
#define sorted_keys_double sorted_keys_float
#define even_keys_double _mm256_unpacklo_epi64
#define odd_keys_double _mm256_unpackhi_epi64
#define equal_keys_double(k, l) _mm256_castsi256_pd(_mm256_cmpeq_epi64(k, l))
#define choose_keys_double(mask, l, k) _mm256_blendv_epi8(k, l, _mm256_castpd_si256(mask))
#define beats_double(b, a) \
    _mm256_and_pd(_mm256_cmp_pd(a, b, _CMP_NGE_UQ), _mm256_cmp_pd(a, a, _CMP_ORD_Q))
#define larger_double(mask, b, a) _mm256_max_pd(b, a)
#define later_keys_double choose_keys_double
#define less_double(a, b) _mm256_cmp_pd(a, b, _CMP_LT_OQ)
#define any_unordered_double(a) _mm256_movemask_pd(unordered_double(a))
#define where_double(mask, a) _mm256_and_pd(mask, a)
#define where_not_double(mask, a) _mm256_andnot_pd(mask, a)
#define store_indices_double(dst, keys) store_keys_double(dst, keys)
#elif defined(__SSE2__) || defined(_M_X64)
#define MASK VECTOR
#define KEYS_float __m128i
#define load_keys_float(p) _mm_loadu_si128((const __m128i *)(p))
#define store_keys_float(p, k) _mm_storeu_si128((__m128i *)(p), k)
#define all_keys_float(k) _mm_set1_epi32(k)
#define plus_keys_float _mm_add_epi32
#define ascending_keys_float(step) _mm_setr_epi32(0, step, 2 * (step), 3 * (step))
#define sorted_keys_float(k) (k)
#define even_keys_float(k, l) \
    _mm_castps_si128(even_float(_mm_castsi128_ps(k), _mm_castsi128_ps(l)))
#define odd_keys_float(k, l) \
    _mm_castps_si128(odd_float(_mm_castsi128_ps(k), _mm_castsi128_ps(l)))
#define equal_keys_float(k, l) _mm_castsi128_ps(_mm_cmpeq_epi32(k, l))
#define choose_keys_float(mask, l, k) \
    _mm_castps_si128(choose_float(mask, _mm_castsi128_ps(l), _mm_castsi128_ps(k)))
#define beats_float(b, a) _mm_and_ps(_mm_cmpnge_ps(a, b), _mm_cmpord_ps(a, a))
#define larger_float(mask, b, a) _mm_max_ps(b, a)
#define later_keys_float choose_keys_float
#define less_float(a, b) _mm_cmplt_ps(a, b)
#define any_unordered_float(a) _mm_movemask_ps(unordered_float(a))
#define where_float(mask, a) _mm_and_ps(mask, a)
#define where_not_float(mask, a) _mm_andnot_ps(mask, a)
static ALWAYS_INLINE void store_indices_float(int64_t *dst, __m128i keys)
{
    __m128i sign = _mm_srai_epi32(keys, 31); /* -1: nowhere */
    _mm_storeu_si128((__m128i *)dst, _mm_unpacklo_epi32(keys, sign));
    _mm_storeu_si128((__m128i *)(dst + 2), _mm_unpackhi_epi32(keys, sign));
}
static ALWAYS_INLINE __m128i read_indices_float(int some, const int64_t *p, ptrdiff_t n)
{
    __m128i low = load_keys_float(p), high = load_keys_float(p + 2);
    __m128i beyond = _mm_cmpeq_epi32(odd_keys_float(low, high), _mm_setzero_si128());
    (void)some, (void)n;
    return _mm_or_si128(even_keys_float(low, high), _mm_xor_si128(beyond, _mm_set1_epi32(-1)));
}
#define read_indices_double(some, p, n) load_keys_float(p)
#define KEYS_double __m128i
#define load_keys_double load_keys_float
#define store_keys_double store_keys_float
#define all_keys_double(k) _mm_set1_epi64x(k)
#define plus_keys_double _mm_add_epi64
#define ascending_keys_double(step) _mm_set_epi64x(step, 0)
#define sorted_keys_double(k) (k)
#define even_keys_double _mm_unpacklo_epi64
#define odd_keys_double _mm_unpackhi_epi64
static ALWAYS_INLINE __m128d equal_keys_double(__m128i k, __m128i l)
{
    __m128i equal = _mm_cmpeq_epi32(k, l); /* in both halves */
    return _mm_castsi128_pd(_mm_and_si128(equal, _mm_shuffle_epi32(equal, 0xB1)));
}
#define choose_keys_double(mask, l, k) \
    _mm_castpd_si128(choose_double(mask, _mm_castsi128_pd(l), _mm_castsi128_pd(k)))
#define beats_double(b, a) _mm_and_pd(_mm_cmpnge_pd(a, b), _mm_cmpord_pd(a, a))
#define larger_double(mask, b, a) _mm_max_pd(b, a)
#define later_keys_double choose_keys_double
#define less_double(a, b) _mm_cmplt_pd(a, b)
#define any_unordered_double(a) _mm_movemask_pd(unordered_double(a))
#define where_double(mask, a) _mm_and_pd(mask, a)
#define where_not_double(mask, a) _mm_andnot_pd(mask, a)
#define store_indices_double(dst, keys) store_keys_double(dst, keys)
#elif defined(__aarch64__)
#define MASK VECTOR
#define KEYS_float int32x4_t
#define load_keys_float vld1q_s32
#define store_keys_float vst1q_s32
#define all_keys_float(k) vdupq_n_s32(k)
#define plus_keys_float vaddq_s32
static ALWAYS_INLINE int32x4_t ascending_keys_float(int32_t step)
{
    int32_t keys[4] = {0, step, 2 * step, 3 * step};
    return vld1q_s32(keys);
}
#define sorted_keys_float(k) (k)
#define even_keys_float vuzp1q_s32
#define odd_keys_float vuzp2q_s32
#define equal_keys_float(k, l) vreinterpretq_f32_u32(vceqq_s32(k, l))
#define choose_keys_float(mask, l, k) vbslq_s32(vreinterpretq_u32_f32(mask), l, k)
#define beats_float(b, a) vreinterpretq_f32_u32(vbicq_u32(vceqq_f32(a, a), vcgeq_f32(a, b)))
#define larger_float choose_float
#define later_keys_float choose_keys_float
#define less_float(a, b) vreinterpretq_f32_u32(vcltq_f32(a, b))
#define any_unordered_float(a) (vminvq_u32(vceqq_f32(a, a)) == 0)
#define where_float(mask, a) \
    vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(mask), vreinterpretq_u32_f32(a)))
#define where_not_float(mask, a) \
    vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(mask)))
static ALWAYS_INLINE void store_indices_float(int64_t *dst, int32x4_t keys)
{
    vst1q_s64(dst, vmovl_s32(vget_low_s32(keys)));
    vst1q_s64(dst + 2, vmovl_s32(vget_high_s32(keys)));
}
static ALWAYS_INLINE int32x4_t read_indices_float(int some, const int64_t *p, ptrdiff_t n)
{
    int32x4_t low = vreinterpretq_s32_s64(vld1q_s64(p));
    int32x4_t high = vreinterpretq_s32_s64(vld1q_s64(p + 2));
    (void)some, (void)n;
    return vornq_s32(even_keys_float(low, high),
                     vreinterpretq_s32_u32(vceqzq_s32(odd_keys_float(low, high))));
}
#define read_indices_double(some, p, n) vld1q_s64(p)
#define KEYS_double int64x2_t
#define load_keys_double vld1q_s64
#define store_keys_double vst1q_s64
#define all_keys_double(k) vdupq_n_s64(k)
#define plus_keys_double vaddq_s64
#define ascending_keys_double(step) vsetq_lane_s64(step, vdupq_n_s64(0), 1)
#define sorted_keys_double(k) (k)
#define even_keys_double vuzp1q_s64
#define odd_keys_double vuzp2q_s64
#define equal_keys_double(k, l) vreinterpretq_f64_u64(vceqq_s64(k, l))
#define choose_keys_double(mask, l, k) vbslq_s64(vreinterpretq_u64_f64(mask), l, k)
#define beats_double(b, a) vreinterpretq_f64_u64(vbicq_u64(vceqq_f64(a, a), vcgeq_f64(a, b)))
#define larger_double choose_double
#define later_keys_double choose_keys_double
#define less_double(a, b) vreinterpretq_f64_u64(vcltq_f64(a, b))
#define any_unordered_double(a) (vminvq_u32(vreinterpretq_u32_u64(vceqq_f64(a, a))) == 0)
#define where_double(mask, a) \
    vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(mask), vreinterpretq_u64_f64(a)))
#define where_not_double(mask, a) \
    vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(mask)))
#define store_indices_double(dst, keys) store_keys_double(dst, keys)
#else /* vectors of one element */
#define MASK int
#define KEYS_float int32_t
#define load_keys_float(p) (*(p))
#define store_keys_float(p, k) (*(p) = (k))
#define all_keys_float(k) (k)
#define plus_keys_float(k, l) ((k) + (l))
#define ascending_keys_float(step) 0
#define sorted_keys_float(k) (k)
#define even_keys_float(k, l) (k)
#define odd_keys_float(k, l) (l)
#define equal_keys_float(k, l) ((k) == (l))
#define choose_keys_float(mask, l, k) ((mask) ? (l) : (k))
#define beats_float(b, a) tap_wins(b, a)
#define larger_float choose_float
#define later_keys_float choose_keys_float
#define less_float(a, b) ((a) < (b))
#define any_unordered_float unordered_float
#define where_float(mask, a) ((mask) ? (a) : 0)
#define where_not_float(mask, a) ((mask) ? 0 : (a))
#define store_indices_float(dst, k) (*(dst) = (k))
#define read_indices_float(some, p, n) ((int32_t)(*(p) >> 31 ? -1 : *(p)))
#define read_indices_double(some, p, n) (*(p))
#define KEYS_double int64_t
#define load_keys_double load_keys_float
#define store_keys_double store_keys_float
#define all_keys_double all_keys_float
#define plus_keys_double plus_keys_float
#define ascending_keys_double ascending_keys_float
#define sorted_keys_double sorted_keys_float
#define even_keys_double even_keys_float
#define odd_keys_double odd_keys_float
#define equal_keys_double equal_keys_float
#define choose_keys_double choose_keys_float
#define beats_double beats_float
#define larger_double choose_double
#define later_keys_double choose_keys_double
#define less_double less_float
#define any_unordered_double unordered_double
#define where_double where_float
#define where_not_double where_not_float
#define store_indices_double store_indices_float
#endif

/* Ranks: a float and its place in one double, of which the greatest is the winner.
 *
 * The upper half orders values: their bits with both zeros as one, every NaN as the number after
 * infinity, and an exponent more, so that no rank is subnormal and none is NaN or infinite. The lower
 * half orders equals, the first of which is the greatest: it is the place of a negative number, and
 * the place's complement else. NO_RANK is less than all of them, and its place is -1.
 */
#define RANKED_NAN 0x7F800001
#define RANK_BIAS 0x00100000

static inline double rank_of(float value, uint32_t place)
{
    uint32_t bits = bits_of_float(value), magnitude = bits & 0x7FFFFFFF;
    uint32_t negative = 0 - (uint32_t)(bits > 0x80000000 && bits <= 0xFF800000);
    uint64_t rank;
    double result;
    magnitude = magnitude < RANKED_NAN ? magnitude : RANKED_NAN;
    rank = (uint64_t)((negative & 0x80000000) | (magnitude + RANK_BIAS)) << 32;
    rank |= (uint32_t)~place ^ negative;
    memcpy(&result, &rank, sizeof rank);
    return result;
}

/* n values, at places from this one on, or all at it. */
static ALWAYS_INLINE void rank_run(const float *src, double *dst, ptrdiff_t n, int32_t place, int next)
{
    ptrdiff_t j = 0;
#if defined(__AVX2__)
    /* in the order that is straight when it has been unpacked */
    const __m256i order = next ? _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7) : _mm256_setzero_si256();
    for (; n >= 8 && j < n; j += 8) {
        __m256i bits, negative, low, high;
        j = j > n - 8 ? n - 8 : j;
        bits = _mm256_loadu_si256((const __m256i *)(src + j));
        bits = _mm256_permute4x64_epi64(bits, 0xD8);
        negative = _mm256_castps_si256(
            _mm256_cmp_ps(_mm256_castsi256_ps(bits), _mm256_setzero_ps(), _CMP_LT_OQ));
        high = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
        high = _mm256_min_epi32(high, _mm256_set1_epi32(RANKED_NAN));
        high = _mm256_add_epi32(high, _mm256_set1_epi32(RANK_BIAS));
        high = _mm256_or_si256(high, _mm256_slli_epi32(negative, 31));
        low = _mm256_set1_epi32(~(next ? place + (int32_t)j : place));
        low = _mm256_xor_si256(_mm256_sub_epi32(low, order), negative);
        _mm256_storeu_si256((__m256i *)(dst + j), _mm256_unpacklo_epi32(low, high));
        _mm256_storeu_si256((__m256i *)(dst + j + 4), _mm256_unpackhi_epi32(low, high));
    }
#endif
    for (; j < n; j++)
        dst[j] = rank_of(src[j], (uint32_t)(next ? place + (int32_t)j : place));
}

/* The columns of a row, pixels of so many channels, `pixel` elements apart. */
static void rank_row(
    const float *src, ptrdiff_t pixel, double *dst, ptrdiff_t columns, ptrdiff_t channels,
    int32_t place)
{
    if (channels == 1)
        rank_run(src, dst, columns, place, 1);
    else
        for (ptrdiff_t x = 0; x < columns; x++)
            rank_run(src + x * pixel, dst + x * channels, channels, place + (int32_t)x, 0);
}

static inline float value_of_rank(uint32_t high)
{
    uint32_t magnitude = (high & 0x7FFFFFFF) - RANK_BIAS;
    return float_of_bits(magnitude == RANKED_NAN ? 0x7FC00000 : (high & 0x80000000) | magnitude);
}

/* The places of n ranks go to `indices`, if there are, else to `places`; their values to `values`,
 * if there are, where `identity` is that of none. */
static void unrank(
    const double *src, ptrdiff_t n, float identity, float *values, int32_t *places, int64_t *indices)
{
    ptrdiff_t j = 0;
#if defined(__AVX2__)
    for (; n >= 8 && j < n; j += 8) {
        __m256 a, b;
        __m256i low, high, place, nan;
        j = j > n - 8 ? n - 8 : j;
        a = _mm256_loadu_ps((const float *)(src + j));
        b = _mm256_loadu_ps((const float *)(src + j + 4));
        low = _mm256_castps_si256(sorted_float(even_float(a, b)));
        high = _mm256_castps_si256(sorted_float(odd_float(a, b)));
        place = _mm256_xor_si256(low, _mm256_srai_epi32(high, 31));
        place = _mm256_xor_si256(place, _mm256_set1_epi32(-1));
        if (indices)
            store_indices_float(indices + j, place);
        else
            store_keys_float(places + j, place);
        if (!values)
            continue;
        low = _mm256_and_si256(high, _mm256_set1_epi32((int32_t)0x80000000));
        high = _mm256_sub_epi32(_mm256_xor_si256(high, low), _mm256_set1_epi32(RANK_BIAS));
        nan = _mm256_cmpeq_epi32(high, _mm256_set1_epi32(RANKED_NAN));
        high = _mm256_or_si256(high, low);
        high = _mm256_blendv_epi8(high, _mm256_set1_epi32(0x7FC00000), nan);
        store_float(values + j, choose_float(_mm256_castsi256_ps(place), all_float(identity),
                                             _mm256_castsi256_ps(high)));
    }
#endif
    for (; j < n; j++) {
        uint64_t rank;
        uint32_t high;
        int32_t place;
        memcpy(&rank, src + j, sizeof rank);
        high = (uint32_t)(rank >> 32);
        place = (int32_t)~((uint32_t)rank ^ (0 - (high >> 31)));
        if (indices)
            indices[j] = place;
        else
            places[j] = place;
        if (values)
            values[j] = place < 0 ? identity : value_of_rank(high);
    }
}

/* Rows of bins that are gone down at once: of long ones fewer, as they are far apart. */
enum { BIN_ROWS = 16, FEW_BIN_ROWS = 4, LONG_BIN_ROW = 2048 };
enum { LONG_RUN = 32 }; /* columns of a row, which are sought in vectors */

/* What lies beyond 31 bits is no place in the plane. */
static void narrow_places(const int64_t *indices, int32_t *places, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j++)
        places[j] = (int32_t)(indices[j] | -((uint64_t)indices[j] >> 31 != 0));
}

/* How gradients are scattered; distances in elements. */
enum { AT_ONCE = 4 }; /* planes that take turns */
typedef struct {
    ptrdiff_t planes, block_plane, indices_plane, grads_plane; /* and from each to the next one */
    ptrdiff_t begin, length; /* the places of a plane's block */
    ptrdiff_t step;          /* from one index to the next one */
    ptrdiff_t n, channels;   /* so many gradients of each channel */
} scatter_t;

/* Windows of 2 x 2, stride 2, and pairs of rows that they are in; distances in bytes. */
typedef struct {
    ptrdiff_t pairs, outputs;
    const void *row[2];      /* what the windows are in, */
    ptrdiff_t src_pair;
    const int64_t *indices;  /* or where their winners are: */
    ptrdiff_t indices_row;
    int64_t place;           /* of the first pixel in the plane, */
    ptrdiff_t columns;       /* whose rows have so many */
    const void *grads;
    ptrdiff_t grads_row;
    void *dst[2];
    ptrdiff_t dst_pair;
} pairs_t;

#define T float
#define P int32_t
#include "_winners_of.h"

#define T double
#define P int64_t
#include "_winners_of.h"

/* Each of n winners is challenged by the later one `shift` behind it, in place. A vector more than
 * these may be read, and written. */
static void challenge_later_double(double *values, int64_t *places, ptrdiff_t shift, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j += WIDTH_double) {
        winners_t_double winners =
            first_tap_double(load_double(values + j), load_keys_double(places + j));
        winners = challenged_double(1, winners, load_double(values + j + shift),
                                    load_keys_double(places + j + shift));
        store_winners_double(winners, j, values, places, NULL);
    }
}

#endif
