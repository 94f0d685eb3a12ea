// The first greatest element of a window.

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
    __device__ void merge(const Winner &other) {
        if (other.key > key || (other.key == key && other.number < number)) *this = other;
    }
    __device__ X value() const { return order::element(key); }
};
