"""Facts about this build and this machine, for `_levels`, `_threads` and `show_config`.

Compiled without any level's flags: it has to run on every processor.
"""

cdef extern from "_cpuid.h":
    void pooltk_cpuid(unsigned int leaf, unsigned int* registers)
    unsigned long long pooltk_xgetbv()

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define POOLTK_OPENMP _OPENMP
    #define pooltk_max_threads omp_get_max_threads
    #else
    #define POOLTK_OPENMP 0
    #define pooltk_max_threads() 1
    #endif
    """
    # POOLTK_LEVELS and POOLTK_COMPILER are defined by meson.build.
    const char* POOLTK_LEVELS
    const char* POOLTK_COMPILER
    const int POOLTK_OPENMP
    int pooltk_max_threads()

BUILT_LEVELS = tuple(POOLTK_LEVELS.decode().split())
COMPILER = POOLTK_COMPILER.decode()
OPENMP = POOLTK_OPENMP  # year and month of the OpenMP specification; 0: built without

cdef enum:
    EAX, EBX, ECX, EDX

# name -> (leaf of cpuid, register, bit)
_BITS = {
    "sse3": (1, ECX, 0),
    "ssse3": (1, ECX, 9),
    "fma": (1, ECX, 12),
    "cmpxchg16b": (1, ECX, 13),
    "sse4.1": (1, ECX, 19),
    "sse4.2": (1, ECX, 20),
    "movbe": (1, ECX, 22),
    "popcnt": (1, ECX, 23),
    "osxsave": (1, ECX, 27),
    "avx": (1, ECX, 28),
    "f16c": (1, ECX, 29),
    "bmi1": (7, EBX, 3),
    "avx2": (7, EBX, 5),
    "bmi2": (7, EBX, 8),
    "lahf": (0x80000001, ECX, 0),
    "lzcnt": (0x80000001, ECX, 5),
}
_YMM = {"avx", "avx2", "fma", "f16c"}  # use registers that the operating system has to save


def cpu_features():
    """Names of what this processor and the operating system both support; x86 only."""
    cdef unsigned int registers[4]
    found = set()
    for name, (leaf, register, bit) in _BITS.items():
        pooltk_cpuid(leaf, registers)
        if registers[<int>register] >> <int>bit & 1:
            found.add(name)
    # Bits 1 and 2: the lower (SSE) and the upper halves of the ymm registers.
    if "osxsave" not in found or pooltk_xgetbv() & 6 != 6:
        found -= _YMM
    return frozenset(found)


def openmp_max_threads():
    """Threads that OpenMP would use here and now."""
    return pooltk_max_threads()
