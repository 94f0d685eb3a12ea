// Elements: their types by pooltk's names, their order, arithmetic on them, and loads of several.
//
// CuPy always compiles with -ftz=true, under which every float operation written in C takes a
// subnormal number for 0. So maxima compare integers, and what has to be exact is done by the
// instructions that do not flush, for which C has no words.

typedef signed char int8;
typedef short int16;
typedef int int32;
typedef long long int64;
typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long uint64;
typedef float float32;
typedef double float64;
struct float16 {
    uint16 bits;
};
struct bfloat16 {
    uint16 bits;
};

#ifdef __HIPCC__ // does not flush
#define RETURN(expression, type, constraint, instruction, ...) return expression;
#else
#define RETURN(expression, type, constraint, instruction, ...)                                     \
    type result;                                                                                   \
    asm(instruction : constraint(result) : __VA_ARGS__);                                           \
    return result;
#endif

// --- arithmetic ------------------------------------------------------------------------------

__device__ inline float add(float a, float b) {
    RETURN(a + b, float, "=f", "add.rn.f32 %0, %1, %2;", "f"(a), "f"(b))
}
__device__ inline float subtract(float a, float b) {
    RETURN(a - b, float, "=f", "sub.rn.f32 %0, %1, %2;", "f"(a), "f"(b))
}
__device__ inline float multiply(float a, float b) {
    RETURN(a * b, float, "=f", "mul.rn.f32 %0, %1, %2;", "f"(a), "f"(b))
}
__device__ inline float multiply_add(float a, float b, float c) {
    RETURN(fmaf(a, b, c), float, "=f", "fma.rn.f32 %0, %1, %2, %3;", "f"(a), "f"(b), "f"(c))
}
__device__ inline double add(double a, double b) { return __dadd_rn(a, b); }
__device__ inline double subtract(double a, double b) { return __dsub_rn(a, b); }
__device__ inline double multiply(double a, double b) { return __dmul_rn(a, b); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }

__device__ inline bool is_finite(float a) {
    return (__float_as_uint(a) & 0x7f800000u) != 0x7f800000u;
}
__device__ inline bool is_finite(double a) {
    return (__double2hiint(a) & 0x7ff00000) != 0x7ff00000;
}

// --- conversions -----------------------------------------------------------------------------

__device__ inline void convert(float from, float &to) { to = from; }
__device__ inline void convert(double from, double &to) { to = from; }
__device__ inline double widen(float a) {
    RETURN((double)a, double, "=d", "cvt.f64.f32 %0, %1;", "f"(a))
}
__device__ inline float narrow(double a) {
    RETURN((float)a, float, "=f", "cvt.rn.f32.f64 %0, %1;", "d"(a))
}
__device__ inline void convert(float from, double &to) { to = widen(from); }
__device__ inline void convert(double from, float &to) { to = narrow(from); }

#ifdef __HIPCC__
__device__ inline float widen(float16 a) { return (float)__builtin_bit_cast(_Float16, a.bits); }
__device__ inline uint16 half_bits(float a) { return __builtin_bit_cast(uint16, (_Float16)a); }
__device__ inline uint16 half_bits(double a) { return __builtin_bit_cast(uint16, (_Float16)a); }
#else
__device__ inline float widen(float16 a) {
    RETURN(0, float, "=f", "cvt.f32.f16 %0, %1;", "h"(a.bits))
}
__device__ inline uint16 half_bits(float a) {
    RETURN(0, uint16, "=h", "cvt.rn.f16.f32 %0, %1;", "f"(a))
}
__device__ inline uint16 half_bits(double a) {
    RETURN(0, uint16, "=h", "cvt.rn.f16.f64 %0, %1;", "d"(a))
}
#endif
template <class To> __device__ inline void convert(float16 from, To &to) {
    to = widen(from);
}
template <class From> __device__ inline void convert(From from, float16 &to) {
    to.bits = half_bits(from);
}

template <class To> __device__ inline void convert(bfloat16 from, To &to) {
    to = __uint_as_float((uint32)from.bits << 16);
}
__device__ inline void convert(float from, bfloat16 &to) {
    uint32 bits = __float_as_uint(from);
    bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    to.bits = is_nan ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16; // half to even
}
__device__ inline void convert(double from, bfloat16 &to) { convert(narrow(from), to); }

// --- order -----------------------------------------------------------------------------------

// Elements as integers, keys, in whose order they win: -0.0 and 0.0 are the same, and so are all
// NaNs, which are the greatest.
template <class T> struct Order {
    static constexpr bool SMALL = sizeof(T) < sizeof(int32);
    template <bool, class A, class> struct Choice { typedef A type; };
    template <class A, class B> struct Choice<false, A, B> { typedef B type; };
    typedef typename Choice<SMALL, int32, T>::type key_t;
    static constexpr key_t LEAST = T(-1) < T(0) ? (T)(1ull << (8 * sizeof(T) - 1)) : T(0);
    __device__ static key_t key(T element) { return element; }
    __device__ static T element(key_t key) { return (T)key; }
};

__device__ inline uint32 to_bits(float16 a) { return a.bits; }
__device__ inline uint32 to_bits(bfloat16 a) { return a.bits; }
__device__ inline uint32 to_bits(float a) { return __float_as_uint(a); }
__device__ inline uint64 to_bits(double a) { return (uint64)__double_as_longlong(a); }
__device__ inline void from_bits(uint32 bits, float16 &a) { a.bits = (uint16)bits; }
__device__ inline void from_bits(uint32 bits, bfloat16 &a) { a.bits = (uint16)bits; }
__device__ inline void from_bits(uint32 bits, float &a) { a = __uint_as_float(bits); }
__device__ inline void from_bits(uint64 bits, double &a) { a = __longlong_as_double((int64)bits); }

template <class T, class Key, class Bits, Key INFINITE, Key GREATEST> struct FloatOrder {
    typedef Key key_t;
    static constexpr Key LEAST = -INFINITE;
    __device__ static Key key(T element) {
        Bits bits = to_bits(element);
        Key magnitude = (Key)(bits & (Bits)GREATEST);
        if (magnitude > INFINITE) return GREATEST;
        return bits > (Bits)GREATEST ? -magnitude : magnitude;
    }
    __device__ static T element(Key key) { // the sign of a zero and what a NaN says are lost
        T result;
        from_bits(key < 0 ? (Bits)-key | ((Bits)GREATEST + 1) : (Bits)key, result);
        return result;
    }
};
template <> struct Order<float16> : FloatOrder<float16, int32, uint32, 0x7c00, 0x7fff> {};
template <> struct Order<bfloat16> : FloatOrder<bfloat16, int32, uint32, 0x7f80, 0x7fff> {};
template <> struct Order<float> : FloatOrder<float, int32, uint32, 0x7f800000, 0x7fffffff> {};
template <>
struct Order<double>
    : FloatOrder<double, int64, uint64, 0x7ff0000000000000, 0x7fffffffffffffff> {};

// The same order, where it is the value alone that is asked for: an instruction tells the greater
// of two floats, if one of them is NaN that, and takes no subnormal number for 0.
template <class T> struct ValueOrder : Order<T> {
    typedef typename Order<T>::key_t key_t;
    __device__ static key_t least() { return Order<T>::LEAST; }
    __device__ static key_t greater(key_t a, key_t b) { return b > a ? b : a; }
};
#if !defined(__HIPCC__) && __CUDA_ARCH__ >= 800
template <class T, class Bits> struct FloatValueOrder {
    typedef Bits key_t;
    __device__ static Bits key(T element) { return to_bits(element); }
    __device__ static T element(Bits key) {
        T result;
        from_bits(key, result);
        return result;
    }
    __device__ static Bits least() { return key(Order<T>::element(Order<T>::LEAST)); }
};
template <> struct ValueOrder<float> : FloatValueOrder<float, uint32> {
    __device__ static uint32 greater(uint32 a, uint32 b) {
        RETURN(0, uint32, "=r", "max.NaN.f32 %0, %1, %2;", "r"(a), "r"(b))
    }
};
template <> struct ValueOrder<float16> : FloatValueOrder<float16, uint16> {
    __device__ static uint16 greater(uint16 a, uint16 b) {
        RETURN(0, uint16, "=h", "max.NaN.f16 %0, %1, %2;", "h"(a), "h"(b))
    }
};
template <> struct ValueOrder<bfloat16> : FloatValueOrder<bfloat16, uint16> {
    __device__ static uint16 greater(uint16 a, uint16 b) {
        RETURN(0, uint16, "=h", "max.NaN.bf16 %0, %1, %2;", "h"(a), "h"(b))
    }
};
#endif

// --- several at once -------------------------------------------------------------------------

template <class T, int N> struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

// How many of N elements a load or a store has: up to 16 bytes.
template <class T, int N> constexpr int width() {
    return N & (N - 1) ? 1 : N * sizeof(T) > 16 ? 16 / sizeof(T) : N;
}

template <int N, class T> __device__ inline Pack<T, N> load(const T *from) {
    constexpr int WIDTH = width<T, N>();
    Pack<T, N> elements;
#pragma unroll
    for (int i = 0; i < N; i += WIDTH) {
        const auto pack = *reinterpret_cast<const Pack<T, WIDTH> *>(from + i);
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) elements.at[i + j] = pack.at[j];
    }
    return elements;
}

template <int N, class T> __device__ inline void store(T *to, const T (&elements)[N]) {
    constexpr int WIDTH = width<T, N>();
#pragma unroll
    for (int i = 0; i < N; i += WIDTH) {
        Pack<T, WIDTH> pack;
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) pack.at[j] = elements[i + j];
        *reinterpret_cast<Pack<T, WIDTH> *>(to + i) = pack;
    }
}
