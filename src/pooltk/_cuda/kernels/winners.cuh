// The first greatest element of a window, and its number.

struct Winner {
    typedef Order<X> order;
    typename order::key_t key;
    index_t number;

    __device__ static X neutral() { return order::element(order::LEAST); }
    // Not by initializers of the members: in an array of an unrolled loop NVRTC 13.5 gives only the
    // first element the least integer, and the others 0.
    __device__ void clear() {
        key = order::LEAST;
        number = -1;
    }
    __device__ void start(index_t first) { number = first; } // the winner if all are the least
    __device__ void take(X element, index_t at) {
        const typename order::key_t other = order::key(element);
        if (other > key) {
            key = other;
            number = at;
        }
    }
    template <int N>
    __device__ void take_all(const Pack<X, N> &elements, index_t first, index_t step) {
#pragma unroll
        for (int i = 0; i < N; ++i) take(elements.at[i], first + i * step);
    }
    __device__ void follow(const Winner &row, index_t first) {
        if (row.key > key) {
            key = row.key;
            number = first + row.number;
        }
    }
    __device__ void merge(const Winner &other) {
        if (other.key > key || (other.key == key && other.number < number)) *this = other;
    }
    __device__ X value() const { return order::element(key); }
};

// The greatest element alone.
struct Greatest {
    typedef ValueOrder<X> order;
    typename order::key_t key;

    __device__ static X neutral() { return order::element(order::least()); }
    __device__ void clear() { key = order::least(); }
    __device__ void start(index_t) {}
    __device__ void take(X element, index_t) { key = order::greater(key, order::key(element)); }
    template <int N> __device__ void take_all(const Pack<X, N> &elements, index_t, index_t) {
#pragma unroll
        for (int i = 0; i < N; ++i) take(elements.at[i], 0);
    }
    __device__ void follow(const Greatest &row, index_t) { merge(row); }
    __device__ void merge(const Greatest &other) { key = order::greater(key, other.key); }
    __device__ X value() const { return order::element(key); }
};
