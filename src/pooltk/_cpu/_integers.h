/* Vectors of the integers T of a KIND, with the words of _small.h. Halves are integers in order;
 * SUMS are of elements S, which are half as long.
 *
 * Compilers make good code of GCC's vectors, but for maxima: where there is an instruction it is
 * named. Without GCC's vectors one has one element.
 */
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define OF_T(name) JOIN(name, KIND)
#define VECTOR OF_T(VECTOR_)

#if defined(INTEGER_VECTORS)
typedef T VECTOR __attribute__((vector_size(VECTOR_BYTES)));
typedef T OF_T(unaligned_) __attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));
enum { OF_T(WIDTH_) = VECTOR_BYTES / sizeof(T) };

static ALWAYS_INLINE VECTOR OF_T(load_)(const T *p)
{
    return *(const OF_T(unaligned_) *)p;
}

static ALWAYS_INLINE void OF_T(store_)(T *p, VECTOR a)
{
    *(OF_T(unaligned_) *)p = a;
}

static ALWAYS_INLINE VECTOR OF_T(max_)(VECTOR a, VECTOR b)
{
#if defined(MAX_INSTRUCTION)
    return (VECTOR)MAX_INSTRUCTION;
#else
    VECTOR mask = (VECTOR)(a > b);
    return (a & mask) | (b & ~mask);
#endif
}

static ALWAYS_INLINE VECTOR OF_T(even_)(VECTOR a, VECTOR b)
{
    return EVERY_SECOND(a, b, 0);
}

static ALWAYS_INLINE VECTOR OF_T(odd_)(VECTOR a, VECTOR b)
{
    return EVERY_SECOND(a, b, 1);
}
#else
typedef T VECTOR;
enum { OF_T(WIDTH_) = 1 };

static ALWAYS_INLINE VECTOR OF_T(load_)(const T *p)
{
    return *p;
}

static ALWAYS_INLINE void OF_T(store_)(T *p, VECTOR a)
{
    *p = a;
}

static ALWAYS_INLINE VECTOR OF_T(max_)(VECTOR a, VECTOR b)
{
    return a > b ? a : b;
}

static ALWAYS_INLINE VECTOR OF_T(even_)(VECTOR a, VECTOR b)
{
    (void)b;
    return a;
}

static ALWAYS_INLINE VECTOR OF_T(odd_)(VECTOR a, VECTOR b)
{
    (void)a;
    return b;
}
#endif

static ALWAYS_INLINE VECTOR OF_T(sorted_)(VECTOR a)
{
    return a;
}

#if defined(HALF_INFINITY) /* as ordered_half and half_of_ordered of _halves.h */
#if defined(INTEGER_VECTORS)
typedef uint16_t OF_T(bits_) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef uint16_t OF_T(bits_);
#endif

static ALWAYS_INLINE VECTOR OF_T(ordered_)(VECTOR half, uint16_t down)
{
    return (VECTOR)((OF_T(bits_))(half ^ (half >> 15 & INT16_MAX)) - down);
}

static ALWAYS_INLINE VECTOR OF_T(of_ordered_)(VECTOR value, uint16_t down)
{
    VECTOR half = (VECTOR)((OF_T(bits_))value + down);
    return half ^ (half >> 15 & INT16_MAX);
}

static ALWAYS_INLINE VECTOR OF_T(read_)(const T *p)
{
    return OF_T(ordered_)(OF_T(load_)(p), INT16_MAX - HALF_INFINITY);
}

static ALWAYS_INLINE T OF_T(scalar_read_)(T half)
{
    return ordered_half((uint16_t)half, HALF_INFINITY);
}

static ALWAYS_INLINE void OF_T(write_)(T *dst, VECTOR value)
{
    OF_T(store_)(dst, OF_T(of_ordered_)(value, INT16_MAX - HALF_INFINITY));
}

#if defined(INTEGER_VECTORS) && defined(__AVX2__)
#define NEIGHBOURS
#if HALF_INFINITY == 0x7C00 /* what _lines.h makes of it serves both halves */
#define IN_REGISTERS
#endif
static ALWAYS_INLINE VECTOR OF_T(behind_)(VECTOR a, VECTOR b)
{
    return (VECTOR)BEHIND((__m256i)a, (__m256i)b, 2);
}

static ALWAYS_INLINE VECTOR OF_T(before_)(VECTOR b, VECTOR c)
{
    return (VECTOR)BEFORE((__m256i)b, (__m256i)c, 2);
}

static ALWAYS_INLINE VECTOR OF_T(first_)(ptrdiff_t n)
{
    T elements[OF_T(WIDTH_)];
    for (int i = 0; i < OF_T(WIDTH_); i++)
        elements[i] = i < n ? -1 : 0;
    return OF_T(load_)(elements);
}

static ALWAYS_INLINE VECTOR OF_T(where_not_first_)(VECTOR first, VECTOR a)
{
    return a & ~first;
}
#endif
#elif defined(SUMS)
#if defined(INTEGER_VECTORS)
typedef S OF_T(narrow_) __attribute__((vector_size(VECTOR_BYTES / 2), aligned(1), may_alias));

static ALWAYS_INLINE VECTOR OF_T(read_)(const S *p)
{
#if defined(__AVX2__) /* of which gcc 12 makes five instructions */
    return (VECTOR)WIDENED(_mm_loadu_si128((const __m128i *)p));
#else
    return __builtin_convertvector(*(const OF_T(narrow_) *)p, VECTOR);
#endif
}

#if defined(__AVX2__)
/* The sums of neighbours. */
static ALWAYS_INLINE VECTOR OF_T(read_pairs_)(const S *p)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)p);
    return (VECTOR)PAIRED(a);
}
#define READ_PAIRS
#endif

static ALWAYS_INLINE void OF_T(write_)(S *dst, VECTOR value)
{
    *(OF_T(narrow_) *)dst = __builtin_convertvector(value, OF_T(narrow_));
}
#else
static ALWAYS_INLINE VECTOR OF_T(read_)(const S *p)
{
    return *p;
}

static ALWAYS_INLINE void OF_T(write_)(S *dst, VECTOR value)
{
    *dst = (S)value;
}
#endif

static ALWAYS_INLINE T OF_T(scalar_read_)(S value)
{
    return value;
}
#else
#define READ_AS_IT_IS
#endif

#undef JOIN2
#undef JOIN
#undef OF_T
#undef VECTOR
#undef EVERY_SECOND
#undef MAX_INSTRUCTION
#undef HALF_INFINITY
#include "_small.h"
