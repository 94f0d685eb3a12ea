# Elements in memory and in computation. A row is brought from an array's dtype into the type that
# a kernel computes with (`acc_t`) and back; the two are often the same, and then nothing is done.

cdef extern from "_halves.h" nogil:
    ctypedef struct float16_t "pooltk_float16":
        unsigned short bits
    ctypedef struct bfloat16_t "pooltk_bfloat16":
        unsigned short bits
    float float_of_float16(unsigned short half)
    unsigned short float16_of_float(float value)
    float float_rounded_to_odd(double value)
    float float_of_bfloat16(unsigned short half)
    unsigned short bfloat16_of_float(float value)
    int16_t ordered_half(unsigned short half, unsigned short infinity)
    unsigned short half_of_ordered(int16_t value, unsigned short infinity)

ctypedef fused item_t:
    float
    double
    float16_t
    bfloat16_t
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t

cdef extern from "_vectors.h":
    ctypedef enum kind_t:
        FLOAT32 "KIND_FLOAT32"
        FLOAT64 "KIND_FLOAT64"
        FLOAT16 "KIND_FLOAT16"
        BFLOAT16 "KIND_BFLOAT16"
        INT8 "KIND_INT8"
        INT16 "KIND_INT16"
        INT32 "KIND_INT32"
        INT64 "KIND_INT64"
        UINT8 "KIND_UINT8"
        UINT16 "KIND_UINT16"
        UINT32 "KIND_UINT32"
        UINT64 "KIND_UINT64"

cdef enum:
    QUOTIENTS = 128  # that are found before they are rounded

cdef enum limb_t:
    WHOLE  # the element itself
    LOW    # its lower 32 bits
    HIGH   # the rest

ctypedef fused limbs_t:
    int64_t
    uint64_t


cdef inline kind_t kind_of(const acc_t* _) noexcept nogil:
    if acc_t is float:
        return FLOAT32
    elif acc_t is double:
        return FLOAT64
    elif acc_t is int8_t:
        return INT8
    elif acc_t is int16_t:
        return INT16
    elif acc_t is int32_t:
        return INT32
    elif acc_t is int64_t:
        return INT64
    elif acc_t is uint8_t:
        return UINT8
    elif acc_t is uint16_t:
        return UINT16
    elif acc_t is uint32_t:
        return UINT32
    else:
        return UINT64


cdef inline acc_t convert(const item_t* place, const acc_t* _) noexcept nogil:
    cdef item_t value = place[0]
    if item_t is float16_t:
        if acc_t is int16_t:
            return ordered_half(value.bits, 0x7C00)
        else:
            return <acc_t>float_of_float16(value.bits)
    elif item_t is bfloat16_t:
        if acc_t is int16_t:
            return ordered_half(value.bits, 0x7F80)
        else:
            return <acc_t>float_of_bfloat16(value.bits)
    else:
        return <acc_t>value


cdef void load_elements(
    const item_t* src, Py_ssize_t stride, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """dst[j] = the element `stride` bytes behind the one before."""
    cdef Py_ssize_t j
    if stride == sizeof(item_t):
        if acc_t is float:
            if item_t is float16_t:
                floats_of_float16s(src, dst, n)
                return
            elif item_t is bfloat16_t:
                floats_of_bfloat16s(src, dst, n)
                return
        for j in range(n):
            dst[j] = convert(&src[j], <const acc_t*>dst)
    elif stride == 2 * <Py_ssize_t>sizeof(item_t):  # a stride that is known makes vectors
        for j in range(n):
            dst[j] = convert(&src[2 * j], <const acc_t*>dst)
    elif stride == -<Py_ssize_t>sizeof(item_t):
        for j in range(n):
            dst[j] = convert(&src[-j], <const acc_t*>dst)
    else:
        for j in range(n):
            dst[j] = convert(<const item_t*>(<const char*>src + j * stride), <const acc_t*>dst)


cdef void load_limb(
    const limbs_t* src, Py_ssize_t stride, int64_t* dst, Py_ssize_t n, limb_t limb
) noexcept nogil:
    """One half of each 64-bit integer: their sums are exact where one sum would overflow."""
    cdef Py_ssize_t j
    cdef limbs_t value
    for j in range(n):
        value = (<const limbs_t*>(<const char*>src + j * stride))[0]
        dst[j] = <int64_t>(<uint64_t>value & 0xFFFFFFFFU) if limb == LOW else <int64_t>(value >> 32)


cdef void load_row(
    kind_t kind, limb_t limb, const char* src, Py_ssize_t stride, acc_t* dst, Py_ssize_t n
) noexcept nogil:
    """A run of elements of any dtype, as acc_t."""
    if acc_t is int64_t:
        if limb != WHOLE:
            if kind == INT64:
                load_limb(<const int64_t*>src, stride, dst, n, limb)
            else:
                load_limb(<const uint64_t*>src, stride, dst, n, limb)
            return
    # Each is loaded as itself; for sums halves as floats, integers as int64 or, if short, as int32;
    # for winners what a float holds exactly as float, other 32-bit integers as double.
    if kind == FLOAT32:
        if acc_t is float or acc_t is double:
            load_elements(<const float*>src, stride, dst, n)
    elif kind == FLOAT64:
        if acc_t is double:
            load_elements(<const double*>src, stride, dst, n)
    elif kind == FLOAT16:
        if acc_t is float or acc_t is double or acc_t is int16_t:
            load_elements(<const float16_t*>src, stride, dst, n)
    elif kind == BFLOAT16:
        if acc_t is float or acc_t is double or acc_t is int16_t:
            load_elements(<const bfloat16_t*>src, stride, dst, n)
    elif kind == INT8:
        if acc_t is int8_t or acc_t is int32_t or acc_t is int64_t or acc_t is float:
            load_elements(<const int8_t*>src, stride, dst, n)
    elif kind == UINT8:
        if acc_t is uint8_t or acc_t is int32_t or acc_t is int64_t or acc_t is float:
            load_elements(<const uint8_t*>src, stride, dst, n)
    elif kind == INT16:
        if acc_t is int16_t or acc_t is int32_t or acc_t is int64_t or acc_t is float:
            load_elements(<const int16_t*>src, stride, dst, n)
    elif kind == UINT16:
        if acc_t is uint16_t or acc_t is int32_t or acc_t is int64_t or acc_t is float:
            load_elements(<const uint16_t*>src, stride, dst, n)
    elif kind == INT32:
        if acc_t is int32_t or acc_t is int64_t or acc_t is double:
            load_elements(<const int32_t*>src, stride, dst, n)
    elif kind == UINT32:
        if acc_t is uint32_t or acc_t is int64_t or acc_t is double:
            load_elements(<const uint32_t*>src, stride, dst, n)
    elif kind == INT64:
        if acc_t is int64_t:
            load_elements(<const int64_t*>src, stride, dst, n)
    elif kind == UINT64:
        if acc_t is uint64_t:
            load_elements(<const uint64_t*>src, stride, dst, n)


cdef inline float to_float(const acc_t* value) noexcept nogil:
    """On the way to a half, which is rounded to once."""
    if acc_t is double:
        return float_rounded_to_odd(value[0])
    else:
        return <float>value[0]


cdef inline void restore(const acc_t* value, item_t* place) noexcept nogil:
    if item_t is float16_t:
        if acc_t is int16_t:
            place.bits = half_of_ordered(value[0], 0x7C00)
        else:
            place.bits = float16_of_float(to_float(value))
    elif item_t is bfloat16_t:
        if acc_t is int16_t:
            place.bits = half_of_ordered(value[0], 0x7F80)
        else:
            place.bits = bfloat16_of_float(to_float(value))
    else:
        place[0] = <item_t>value[0]


cdef void store_elements(
    const acc_t* src, item_t* dst, Py_ssize_t stride, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t j
    if stride == sizeof(item_t):
        if acc_t is float:
            if item_t is float16_t:
                float16s_of_floats(src, dst, n)
                return
            elif item_t is bfloat16_t:
                bfloat16s_of_floats(src, dst, n)
                return
        for j in range(n):
            restore(&src[j], &dst[j])
    else:
        for j in range(n):
            restore(&src[j], <item_t*>(<char*>dst + j * stride))


cdef void store_row(
    kind_t kind, const acc_t* src, char* dst, Py_ssize_t stride, Py_ssize_t n
) noexcept nogil:
    """A run of results, as elements of the array's dtype."""
    if acc_t is float or acc_t is double:
        if kind == FLOAT32:
            store_elements(src, <float*>dst, stride, n)
        elif kind == FLOAT64:
            store_elements(src, <double*>dst, stride, n)
        elif kind == FLOAT16:
            store_elements(src, <float16_t*>dst, stride, n)
        elif kind == BFLOAT16:
            store_elements(src, <bfloat16_t*>dst, stride, n)
        elif kind == INT8:
            store_elements(src, <int8_t*>dst, stride, n)
        elif kind == UINT8:
            store_elements(src, <uint8_t*>dst, stride, n)
        elif kind == INT16:
            store_elements(src, <int16_t*>dst, stride, n)
        elif kind == UINT16:
            store_elements(src, <uint16_t*>dst, stride, n)
        elif kind == INT32:
            store_elements(src, <int32_t*>dst, stride, n)
        elif kind == UINT32:
            store_elements(src, <uint32_t*>dst, stride, n)
        elif acc_t is double:
            if kind == INT64:
                store_elements(src, <int64_t*>dst, stride, n)
            else:
                store_elements(src, <uint64_t*>dst, stride, n)
    elif acc_t is int16_t:
        if kind == FLOAT16:
            store_elements(src, <float16_t*>dst, stride, n)
        elif kind == BFLOAT16:
            store_elements(src, <bfloat16_t*>dst, stride, n)
        else:
            store_elements(src, <int16_t*>dst, stride, n)
    else:
        store_elements(src, <acc_t*>dst, stride, n)


cdef extern from *:
    """
    /* Vector code has no conversion of 64-bit integers, but bits that are a double's. */
    static inline double double_of_short(int64_t value) /* of 51 bits at most */
    {
        double result;
        value += 0x4338000000000000; /* the bits of 1.5 * 2**52 */
        memcpy(&result, &value, sizeof result);
        return result - 6755399441055744.0;
    }
    """
    double double_of_short(int64_t value) noexcept nogil


cdef inline double double_of(acc_t sum) noexcept nogil:
    if acc_t is int64_t:
        return double_of_short(sum)
    else:
        return <double>sum


cdef void quotients(
    const acc_t* sums, const acc_t* counts, double rest, double* dst, Py_ssize_t n
) noexcept nogil:
    cdef Py_ssize_t j
    if counts == NULL:
        for j in range(n):
            dst[j] = double_of(sums[j]) / rest
    else:
        for j in range(n):
            dst[j] = double_of(sums[j]) / (rest * double_of(counts[j]))


cdef void round_and_saturate(kind_t kind, double* values, Py_ssize_t n) noexcept nogil:
    """To integers, half to even: adding and taking away 1.5 * 2**52 does it in vector code."""
    cdef double shift = 6755399441055744.0, least = least_of(kind), most = most_of(kind)
    cdef Py_ssize_t i
    for i in range(n):
        values[i] = values[i] + shift - shift
        values[i] = least if values[i] < least else values[i]
        values[i] = most if values[i] > most else values[i]


cdef void store_means(
    kind_t kind, const acc_t* sums, const acc_t* counts, double rest, char* dst,
    Py_ssize_t stride, Py_ssize_t n,
) noexcept nogil:
    """Averages of integers of up to 32 bits, in double: its quotients are never taken for a tie
    wrongly. Of 32 bits, sums and counts have less than 51."""
    cdef double values[QUOTIENTS]
    cdef Py_ssize_t j = 0, count
    while j < n:
        count = min(QUOTIENTS, n - j)
        quotients(sums + j, NULL if counts == NULL else counts + j, rest, values, count)
        if kind > BFLOAT16:
            round_and_saturate(kind, values, count)
        store_row(kind, values, dst + j * stride, stride, count)
        j += count


cdef inline double most_of(kind_t kind) noexcept nogil:
    """Of the integers that an average of 32 bits may exceed."""
    if kind == INT8:
        return 127
    if kind == UINT8:
        return 255
    if kind == INT16:
        return 32767
    if kind == UINT16:
        return 65535
    if kind == INT32:
        return INT32_MAX
    return 4294967295.0 if kind == UINT32 else INFINITY


cdef inline double least_of(kind_t kind) noexcept nogil:
    if kind == INT8:
        return -128
    if kind == INT16:
        return -32768
    if kind == INT32:
        return INT32_MIN
    return 0 if kind >= UINT8 else -INFINITY


cdef void store_small_means(
    const int32_t* sums, float divisor, item_t* dst, Py_ssize_t n, float least, float most
) noexcept nogil:
    """The same for sums below 2**22, for which float serves, and one divisor."""
    cdef Py_ssize_t j
    cdef float value, shift = 12582912.0
    for j in range(n):
        value = <float>sums[j] / divisor
        value = value + shift - shift
        value = least if value < least else value
        value = most if value > most else value
        dst[j] = <item_t><int32_t>value


cdef void store_mean_row(
    kind_t kind, const acc_t* sums, const acc_t* counts, double rest, bint small,
    char* dst, Py_ssize_t stride, Py_ssize_t n,
) noexcept nogil:
    if acc_t is int32_t:
        if small and counts == NULL and -1e6 < rest < 1e6:
            if kind == UINT8 and stride == 1:
                store_small_means(sums, <float>rest, <uint8_t*>dst, n, 0, 255)
                return
            if kind == INT8 and stride == 1:
                store_small_means(sums, <float>rest, <int8_t*>dst, n, -128, 127)
                return
            if kind == UINT16 and stride == 2:
                store_small_means(sums, <float>rest, <uint16_t*>dst, n, 0, 65535)
                return
            if kind == INT16 and stride == 2:
                store_small_means(sums, <float>rest, <int16_t*>dst, n, -32768, 32767)
                return
    store_means(kind, sums, counts, rest, dst, stride, n)


cdef void store_quotient(
    kind_t kind, int64_t high, int64_t low, int64_t divisor, char* dst
) noexcept nogil:
    """(high * 2**32 + low) / divisor, rounded once; an integer to even at halves, and saturated."""
    cdef uint64_t top, quotient, rest
    cdef uint64_t by = <uint64_t>divisor if divisor > 0 else 0 - <uint64_t>divisor
    cdef uint32_t bottom
    cdef bint negative, beyond = False  # what 64 bits hold
    cdef int bit
    cdef double value
    high += low >> 32
    low &= 0xFFFFFFFFU
    negative = high < 0
    if negative:  # the magnitude of both limbs together
        low = -low & 0xFFFFFFFFU
        high = -high - (low != 0)
    negative ^= divisor < 0
    top = <uint64_t>high
    bottom = <uint32_t>low
    if top < 0x80000000U:
        rest = (top << 32) + bottom
        quotient = rest // by
        rest = rest % by
    else:
        quotient = top // by
        rest = top % by
        beyond = quotient >> 32 != 0
        value = <double>quotient * 4294967296.0
        for bit in range(31, -1, -1):  # schoolbook division: no 128-bit integers needed
            rest = (rest << 1) + ((bottom >> bit) & 1)
            quotient <<= 1
            if rest >= by:
                rest -= by
                quotient += 1
    if kind == FLOAT32 or kind == FLOAT64 or kind == FLOAT16 or kind == BFLOAT16:
        if beyond:
            value += <double>(quotient & 0xFFFFFFFFU)
        else:
            value = <double>quotient
            if quotient < <uint64_t>1 << 53:
                value += <double>rest / <double>by
        value = -value if negative else value
        store_row(kind, &value, dst, 0, 1)
        return
    if rest > by - rest or (rest == by - rest and quotient & 1):
        quotient += 1
        beyond = beyond or quotient == 0
    store_integer(kind, quotient, negative, beyond, dst)


cdef inline void store_integer(
    kind_t kind, uint64_t magnitude, bint negative, bint beyond, char* dst
) noexcept nogil:
    """The integer nearest to a signed magnitude."""
    cdef int bits = 64
    cdef bint signed_kind = kind == INT8 or kind == INT16 or kind == INT32 or kind == INT64
    cdef uint64_t most
    if kind == INT8 or kind == UINT8:
        bits = 8
    elif kind == INT16 or kind == UINT16:
        bits = 16
    elif kind == INT32 or kind == UINT32:
        bits = 32
    most = <uint64_t>0xFFFFFFFFFFFFFFFFU >> (64 - bits)
    if signed_kind:
        most = (most >> 1) + negative
    elif negative:
        most = 0
    if beyond or magnitude > most:
        magnitude = most
    if negative:
        magnitude = -magnitude
    if bits == 8:
        (<uint8_t*>dst)[0] = <uint8_t>magnitude
    elif bits == 16:
        (<uint16_t*>dst)[0] = <uint16_t>magnitude
    elif bits == 32:
        (<uint32_t*>dst)[0] = <uint32_t>magnitude
    else:
        (<uint64_t*>dst)[0] = magnitude
