/* float16 and bfloat16 as floats, and as int16 in the order of their values.
 * Plain integer code without branches: it vectorises, and gives the same bits at every ISA level. */
#ifndef POOLTK_HALVES_H
#define POOLTK_HALVES_H

#include <stdint.h>
#include <string.h>

/* Types of their own, so that the kernels tell them from uint16; float16_t is one of arm_neon.h. */
typedef struct { uint16_t bits; } pooltk_float16;
typedef struct { uint16_t bits; } pooltk_bfloat16;

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of_float16(uint16_t half)
{
    uint32_t magnitude = half & 0x7FFFu, sign = (uint32_t)(half & 0x8000u) << 16;
    /* the exponent's bias is mended by a product, which also makes subnormals normal */
    uint32_t bits = bits_of_float(float_of_bits(magnitude << 13) * 0x1p112f);
    bits |= magnitude >= 0x7C00u ? 0x7F800000u : 0;
    return float_of_bits(bits | sign);
}

static inline uint16_t float16_of_float(float value)
{
    uint32_t bits = bits_of_float(value), sign = bits & 0x80000000u, magnitude = bits ^ sign;
    /* Adding a power of two whose last bit is the half's rounds once, to even; the exponent that
     * the sum needs is the value's own, or that of the smallest normal half. */
    uint32_t normal = magnitude + 0xC8000FFFu + ((magnitude >> 13) & 1);
    uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3F000000u;
    uint32_t half = magnitude < 0x38800000u ? subnormal : normal >> 13;
    half = magnitude >= 0x47800000u ? 0x7C00u : half;
    half = magnitude > 0x7F800000u ? 0x7E00u : half;
    return (uint16_t)(half | sign >> 16);
}

static inline float float_of_bfloat16(uint16_t half)
{
    return float_of_bits((uint32_t)half << 16);
}

static inline uint16_t bfloat16_of_float(float value)
{
    uint32_t bits = bits_of_float(value);
    uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16;
    uint32_t nan = (bits >> 16 & 0x8000u) | 0x7FC0u;
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}

/* The float next to a double whose last bit is odd unless it is exact: what is rounded from it has
 * been rounded once. */
static inline float float_rounded_to_odd(double value)
{
    float nearest = (float)value;
    uint32_t bits = bits_of_float(nearest);
    double error = value > 0 ? value - (double)nearest : (double)nearest - value;
    if (!(bits & 1)) /* an error of NaN is neither */
        bits += error > 0 ? 1 : error < 0 ? (uint32_t)-1 : 0;
    return float_of_bits(bits);
}

/* Negative ones in reverse, and all so far down that minus infinity, whose bits without the sign are
 * `infinity`, is INT16_MIN: what lies below it, NaN with a sign, comes out on top, above the others. */
static inline int16_t ordered_half(uint16_t half, uint16_t infinity)
{
    uint16_t reversed = (uint16_t)((int16_t)half >> 15) & 0x7FFF;
    return (int16_t)((half ^ reversed) - (0x7FFF - infinity));
}

static inline uint16_t half_of_ordered(int16_t value, uint16_t infinity)
{
    uint16_t half = (uint16_t)value + (0x7FFF - infinity);
    return half ^ ((uint16_t)((int16_t)half >> 15) & 0x7FFF);
}

#endif
