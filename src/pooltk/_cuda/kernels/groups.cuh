// Groups of elements of a result, and the threads whose work they are.

// --- the work of a thread, or of a team ------------------------------------------------------

#if TEAM == 1

__device__ inline int member() { return 0; }
__device__ inline index_t item_number() {
    return (index_t)blockIdx.x * BLOCK + (index_t)threadIdx.x;
}
template <class A> __device__ inline void gather(A &) {}

#else

constexpr int LANES = BLOCK / TEAM; // teams of a block

// Threads of a team are neighbours, or, where a tap is several channels, those of the same ones.
#if VC == 1
__device__ inline int member() { return threadIdx.x % TEAM; }
__device__ inline int lane() { return threadIdx.x / TEAM; }
constexpr int NEXT_MEMBER = 1;
#else
__device__ inline int member() { return threadIdx.x / LANES; }
__device__ inline int lane() { return threadIdx.x % LANES; }
constexpr int NEXT_MEMBER = LANES;
#endif
__device__ inline index_t item_number() { return (index_t)blockIdx.x * LANES + (index_t)lane(); }

// Merge what the threads of a team have, into the first one's.
template <class A> __device__ inline void gather(A &accumulator) {
    __shared__ alignas(16) unsigned char memory[BLOCK * sizeof(A)];
    A *of_threads = reinterpret_cast<A *>(memory);
    A &own = of_threads[threadIdx.x];
    own = accumulator;
    for (int half = TEAM / 2; half > 0; half /= 2) {
        __syncthreads();
        if (member() < half) own.merge(of_threads[threadIdx.x + half * NEXT_MEMBER]);
    }
    accumulator = own;
    __syncthreads(); // before the next one is put there
}

#endif

// --- results ---------------------------------------------------------------------------------

// Store what `element(m, n, c)` gives for a group of VH rows by VW in a row by VC channels, as far
// as its plane of so many rows and columns goes.
template <class T, class Element>
__device__ inline void store_group(T *to, const Strides &s, const Geometry &g, const Item &item,
                                   index_t rows, index_t columns, Element element) {
    const index_t h = item.h * VH, w = item.w * VW;
    to += plane_of(s, item) + offset_of(s, item.d, h, w);
#pragma unroll
    for (int m = 0; m < VH; ++m) {
        if (VH > 1 && h + m >= rows) break;
        T row[VW * VC];
#pragma unroll
        for (int i = 0; i < VW * VC; ++i) row[i] = element(m, i / VC, i % VC);
        T *at = to + m * s.h;
        if (VW == 1 || (VC == 1 && g.packed)) {
            store(at, row);
        } else {
#pragma unroll
            for (int n = 0; n < VW; ++n) {
                if (w + n >= columns) break;
                T pixel[VC];
#pragma unroll
                for (int c = 0; c < VC; ++c) pixel[c] = row[n * VC + c];
                store(at + n * step_in_row(s), pixel);
            }
        }
    }
}
