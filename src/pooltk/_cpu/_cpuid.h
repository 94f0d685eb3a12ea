/* The two questions to an x86 processor that need its own instructions. Other processors,
 * and leaves that a processor does not have, answer zero. */
#ifndef POOLTK_CPUID_H
#define POOLTK_CPUID_H

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#  include <cpuid.h>
#  define POOLTK_X86_GNU
#elif defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#  include <intrin.h>
#  define POOLTK_X86_MSVC
#endif

/* registers: eax, ebx, ecx, edx */
static void pooltk_cpuid(unsigned int leaf, unsigned int registers[4])
{
    memset(registers, 0, 4 * sizeof(unsigned int));
#if defined(POOLTK_X86_GNU)
    __get_cpuid_count(leaf, 0, &registers[0], &registers[1], &registers[2], &registers[3]);
#elif defined(POOLTK_X86_MSVC)
    int values[4];
    __cpuid(values, (int)(leaf & 0x80000000u)); /* eax: the last leaf of this family */
    if ((unsigned int)values[0] >= leaf) {
        __cpuidex(values, (int)leaf, 0);
        memcpy(registers, values, sizeof(values));
    }
#else
    (void)leaf;
#endif
}

/* Which registers the operating system saves. An illegal instruction unless cpuid has osxsave. */
static unsigned long long pooltk_xgetbv(void)
{
#if defined(POOLTK_X86_GNU)
    unsigned int low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((unsigned long long)high << 32) | low;
#elif defined(POOLTK_X86_MSVC)
    return _xgetbv(0);
#else
    return 0;
#endif
}

#endif
