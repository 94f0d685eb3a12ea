// What a .cu file needs to be C++ for g++, beside the types, which NVIDIA's headers have for any
// compiler. Only what ThreadSanitizer shall watch may be here: it is compiled with the kernel.
// What threads wait for is in threads.cpp. A word that is missing is an error that names it.
#pragma once
#include <vector_functions.h>
#include <vector_types.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#undef __shared__
#define __shared__ thread_local   // a block is a thread of the host
#define alignas(bytes) __attribute__((aligned(bytes)))   // may follow __shared__, as nvcc lets it
#undef __launch_bounds__
#define __launch_bounds__(...)

extern __thread uint3 threadIdx, blockIdx;   // written at each switch of threads
extern uint3 blockDim, gridDim;
static const int warpSize = 32;

// ---- threads.cpp
void __syncthreads();
void __syncwarp(unsigned mask = ~0u);
namespace shim {
// Every lane gives a value and takes that of another. Orders no other access, as on a GPU.
uint64_t exchange(unsigned mask, uint64_t value, unsigned from);
unsigned lane();
}   // namespace shim

// ---- shuffles
namespace shim {
template <class To, class From> To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
template <class T> T shuffle(unsigned mask, T value, unsigned from) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = exchange(mask, bits, from);
    memcpy(&value, &bits, sizeof value);
    return value;
}
}   // namespace shim
template <class T> T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
    return shim::shuffle(mask, value, (shim::lane() & -width) | (from & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    unsigned from = shim::lane() ^ bits;
    return shim::shuffle(mask, value, from <= (shim::lane() | (width - 1)) ? from : shim::lane());
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned from = shim::lane() + by;
    return shim::shuffle(mask, value, from <= (shim::lane() | (width - 1)) ? from : shim::lane());
}

// ---- single values
template <class A, class B> std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
inline unsigned __float_as_uint(float x) { return shim::same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return shim::same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return shim::same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return shim::same_bits<double>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
inline int __double2hiint(double x) { return __double_as_longlong(x) >> 32; }
inline float __fdividef(float a, float b) { return a / b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }

// ---- a launch: the values of the parameters, each behind a pointer
namespace shim {
template <class... P, size_t... i>
void call(void (*kernel)(P...), void** values, std::index_sequence<i...>) {
    kernel(*(std::remove_const_t<P>*)values[i]...);
}
template <class... P> void call(void (*kernel)(P...), void** values) {
    call(kernel, values, std::index_sequence_for<P...>());
}
}   // namespace shim
