// Sums of windows, and their quotients.

// --- floating --------------------------------------------------------------------------------

#ifdef KERNEL_SIZE

// At most three taps an axis, row by row: so few additions, one after the other, are as exact as
// those of pairs.
template <class T> struct FloatSum {
    T total;

    __device__ void clear() { total = 0; }
    __device__ void take(T value) { total = add(total, value); }
    __device__ void merge(const FloatSum &other) { take(other.total); }
    __device__ T value() const { return total; }
};

#else

// Adds with Knuth's two-sum: what each addition rounds off is added up beside the total, so that
// a sum of any length, in any order, is as exact as one rounding lets it be.
template <class T> struct FloatSum {
    T total, lost;

    __device__ void clear() { total = lost = 0; }
    __device__ void take(T value) {
        T sum = add(total, value);
        T part = subtract(sum, total);
        lost = add(lost, add(subtract(total, subtract(sum, part)), subtract(value, part)));
        total = sum;
    }
    __device__ void merge(const FloatSum &other) {
        take(other.total);
        lost = add(lost, other.lost);
    }
    __device__ T value() const { // beside inf and NaN nothing is lost, and `lost` is NaN
        return is_finite(lost) ? add(total, lost) : total;
    }
};

#endif

// The sum of elements that are loaded together, a power of two of them.
template <class T> __device__ inline T in_pairs(const T (&each)[1]) { return each[0]; }
template <class T, int N> __device__ inline T in_pairs(const T (&each)[N]) {
    T half[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) half[i] = add(each[i], each[i + N / 2]);
    return in_pairs(half);
}

__device__ inline float reciprocal(float divisor) {
    float r = __fdividef(1.0f, divisor);
    return multiply_add(r, multiply_add(r, -divisor, 1.0f), r);
}
__device__ inline double reciprocal(double divisor) {
    double r = reciprocal((float)divisor); // divisors are integers below 2**53
    r = multiply_add(r, multiply_add(r, -divisor, 1.0), r);
    return multiply_add(r, multiply_add(r, -divisor, 1.0), r);
}

// A division by an integer; the operator is a subroutine, with a stack and spills.
template <class T> __device__ inline T divide(T sum, T divisor) {
    T r = reciprocal(divisor);
    T quotient = multiply(sum, r);
    T nearer = multiply_add(multiply_add(quotient, -divisor, sum), r, quotient);
    return is_finite(nearer) ? nearer : quotient;
}

// --- integers --------------------------------------------------------------------------------

// Exact: high * 2**32 + low.
struct Limbs {
    int64 high;
    uint64 low; // below 2**32 once it has been carried
};

template <class T> struct IntegerSum { // T holds every sum of the call
    T total;

    __device__ void clear() { total = 0; }
    template <class Element> __device__ void take(Element value) { total += value; }
    __device__ void merge(const IntegerSum &other) { total += other.total; }
    __device__ Limbs limbs() const { return {(int64)total >> 32, (uint64)total & 0xffffffffu}; }
};

struct LimbSum {
    int64 high;
    uint64 low;

    __device__ void clear() { high = low = 0; }
    template <class Element> __device__ void take(Element value) {
        high += (int64)(value >> 32);
        low += (uint64)value & 0xffffffffu;
    }
    __device__ void merge(const LimbSum &other) {
        high += other.high;
        low += other.low;
    }
    __device__ Limbs limbs() const { return {high + (int64)(low >> 32), low & 0xffffffffu}; }
};

// The magnitude of a quotient: whole + rest / divisor.
struct Quotient {
    Limbs whole;
    int64 rest, divisor;
    bool is_negative;
};

// A quotient that is off by less than 1 may have a rest that says which whole number it is.
template <class T> __device__ inline void settle(T &whole, T &rest, T divisor) {
    if (rest < 0) {
        whole -= 1;
        rest += divisor;
    } else if (rest >= divisor) {
        whole += 1;
        rest -= divisor;
    }
}

__device__ inline Quotient divide(Limbs sum, int64 divisor) {
    bool is_negative = sum.high < 0;
    if (is_negative) {
        sum.high = -sum.high;
        if (sum.low) {
            sum.high -= 1;
            sum.low = 0x100000000ull - sum.low;
        }
    }
    if (divisor < 0) {
        is_negative = !is_negative;
        divisor = -divisor;
    }
    if (sum.high < 1ll << 18) { // then a quotient in double is off by less than 1
        int64 n = sum.high << 32 | (int64)sum.low;
        int64 whole = (int64)multiply((double)n, reciprocal((double)divisor));
        int64 rest = n - whole * divisor;
        settle(whole, rest, divisor);
        return {{whole >> 32, (uint64)whole & 0xffffffffu}, rest, divisor, is_negative};
    }
#ifdef SMALL_SUMS
    return {};
#else
    int64 high = sum.high / divisor, rest = sum.high % divisor;
    uint64 low = 0;
    for (int shift = 24; shift >= 0; shift -= 8) { // a divisor has 53 bits, so 8 more still fit
        rest = rest << 8 | (int64)(sum.low >> shift & 255);
        low = (low << 8) + (uint64)(rest / divisor);
        rest %= divisor;
    }
    return {{high + (int64)(low >> 32), low & 0xffffffffu}, rest, divisor, is_negative};
#endif
}

// To a floating type: each part lies below the next one's last place but one.
__device__ inline double to_double(const Quotient &q) {
    double size = divide((double)q.rest, (double)q.divisor);
    size = add((double)q.whole.low, size);
    size = add((double)(q.whole.high & 0xffffffff) * 4294967296.0, size);
    size = add((double)(q.whole.high >> 32) * 18446744073709551616.0, size);
    return q.is_negative ? -size : size;
}
__device__ inline void round_to(const Quotient &q, double &to) { to = to_double(q); }
__device__ inline void round_to(const Quotient &q, float &to) { convert(to_double(q), to); }
__device__ inline void round_to(const Quotient &q, float16 &to) { convert(to_double(q), to); }
__device__ inline void round_to(const Quotient &q, bfloat16 &to) { convert(to_double(q), to); }

template <class T> struct Limits {
    static constexpr bool HAS_SIGN = T(-1) < T(0);
    static constexpr uint64 GREATEST = ~0ull >> (64 - 8 * sizeof(T) + HAS_SIGN);
};

// To an integer: half to even, and no further than the type goes.
template <class T> __device__ inline void round_to(const Quotient &q, T &to) {
    constexpr bool HAS_SIGN = Limits<T>::HAS_SIGN;
    constexpr uint64 GREATEST = Limits<T>::GREATEST;
    uint64 size = (uint64)q.whole.high << 32 | q.whole.low;
    bool is_odd = size & 1;
    bool round_up = 2 * q.rest > q.divisor || (2 * q.rest == q.divisor && is_odd);
    uint64 most = q.is_negative ? (HAS_SIGN ? GREATEST + 1 : 0) : GREATEST;
    if (q.whole.high >> 32 || size >= most) {
        size = most;
    } else {
        size += round_up;
    }
    to = (T)(q.is_negative ? 0 - size : size);
}

#ifdef TINY_SUMS
// The same of magnitudes below 2**22: then a quotient of floats is off by less than 1.
template <class T> __device__ inline void round_quotient(int32 sum, int32 divisor, T &to) {
    const bool is_negative = (sum ^ divisor) < 0;
    const int32 n = sum < 0 ? -sum : sum, by = divisor < 0 ? -divisor : divisor;
    int32 whole = (int32)multiply((float)n, reciprocal((float)by));
    int32 rest = n - whole * by;
    settle(whole, rest, by);
    whole += 2 * rest > by || (2 * rest == by && (whole & 1));
    // In 32 bits any magnitude has room, but none below 0 in a type without a sign.
    constexpr bool FITS = sizeof(T) >= sizeof(int32);
    constexpr int32 GREATEST = FITS ? 0x7fffffff : (int32)Limits<T>::GREATEST;
    int32 most = GREATEST;
    if (is_negative) most = Limits<T>::HAS_SIGN ? GREATEST + !FITS : 0;
    whole = whole < most ? whole : most;
    to = (T)(is_negative ? -whole : whole);
}
#endif
