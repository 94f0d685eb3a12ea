# Windows of one pooled axis, as `pooltk._geometry` defines them, for the kernels' inner loops.
# They are computed, not tabulated: a table would be as long as the axis.

cdef enum:
    SLIDING = 0     # window i starts at i * stride - padding
    ADAPTIVE = 1    # bin i of output_size over input_size
    TRANSPOSED = 2  # the windows whose taps include i: the inverse of SLIDING


cdef struct axis_t:
    Py_ssize_t kind
    Py_ssize_t input_size
    Py_ssize_t output_size
    Py_ssize_t kernel_size
    Py_ssize_t stride
    Py_ssize_t dilation
    Py_ssize_t padding
    Py_ssize_t padding_high
    Py_ssize_t step  # distance of a window's taps


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return -floor_div(-a, b)


cdef inline Py_ssize_t floor_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a // b - (a % b < 0)  # C division: b > 0


cdef inline Py_ssize_t extent(const axis_t* axis) noexcept nogil:
    return axis.dilation * (axis.kernel_size - 1) + 1


cdef inline Py_ssize_t span_begin(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    """No tap of window i or of a later one lies before this."""
    if axis.kind == SLIDING:
        return max(0, i * axis.stride - axis.padding)
    if axis.kind == ADAPTIVE:
        return i * axis.input_size // axis.output_size
    return max(0, ceil_div(i + axis.padding + 1 - extent(axis), axis.stride))


cdef inline Py_ssize_t span_end(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    """No tap of window i or of an earlier one lies at this or behind it."""
    if axis.kind == SLIDING:
        return max(0, min(axis.input_size, i * axis.stride - axis.padding + extent(axis)))
    if axis.kind == ADAPTIVE:
        return ceil_div((i + 1) * axis.input_size, axis.output_size)
    return max(0, min(axis.input_size, floor_div(i + axis.padding, axis.stride) + 1))


cdef inline Py_ssize_t first_tap(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t first = span_begin(axis, i), offset, end
    if axis.dilation == 1 or axis.kind == ADAPTIVE:
        return first
    # Padding or the inverse may have cut between two taps: go on to the next one.
    if axis.kind == SLIDING:
        offset = first - (i * axis.stride - axis.padding)
        return first + (axis.dilation - offset % axis.dilation) % axis.dilation
    end = span_end(axis, i)
    while first < end and (i + axis.padding - first * axis.stride) % axis.dilation:
        first += 1
    return first


cdef inline Py_ssize_t tap_count(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    """Taps of window i inside the input."""
    if axis.step == 1:
        return max(0, span_end(axis, i) - first_tap(axis, i))
    return max(0, ceil_div(span_end(axis, i) - first_tap(axis, i), axis.step))


cdef inline Py_ssize_t end_of_run(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    """Up to here, windows are known to have the taps of window i."""
    cdef Py_ssize_t first, end
    if axis.kind == ADAPTIVE:
        first = i * axis.input_size // axis.output_size
        end = ceil_div((i + 1) * axis.input_size, axis.output_size)
        return min(
            ceil_div((first + 1) * axis.output_size, axis.input_size),
            end * axis.output_size // axis.input_size,
        )
    if axis.kind == TRANSPOSED and axis.kernel_size == axis.stride and axis.dilation == 1:
        return i + axis.stride - (i + axis.padding) % axis.stride
    return i + 1


cdef struct adaptive_t:
    Py_ssize_t first          # tap
    Py_ssize_t rest           # of the division that tells it
    Py_ssize_t quotient, remainder, divisor  # of the sizes


cdef inline adaptive_t adaptive_bin(const axis_t* axis, Py_ssize_t i) noexcept nogil:
    """From which on `next_bin` needs no divisions."""
    cdef adaptive_t bin
    bin.divisor = axis.output_size
    bin.quotient = axis.input_size // bin.divisor
    bin.remainder = axis.input_size % bin.divisor
    bin.first = i * axis.input_size // bin.divisor
    bin.rest = i * axis.input_size % bin.divisor
    return bin


cdef inline Py_ssize_t next_bin(adaptive_t* bin) noexcept nogil:
    """How many taps it has; and on to the next."""
    cdef Py_ssize_t first = bin.first
    bin.first += bin.quotient
    bin.rest += bin.remainder
    if bin.rest >= bin.divisor:
        bin.rest -= bin.divisor
        bin.first += 1
    return bin.first + (bin.rest > 0) - first


cdef inline Py_ssize_t window_count(
    const axis_t* axis, Py_ssize_t i, bint count_include_pad
) noexcept nogil:
    """Taps by which an average divides along this axis."""
    cdef Py_ssize_t first, end
    if axis.kind != SLIDING or not count_include_pad:
        return tap_count(axis, i)
    first = i * axis.stride - axis.padding
    end = min(first + extent(axis), axis.input_size + axis.padding_high)
    if axis.dilation == 1:  # spares a division, which takes longer than a short row
        return max(0, end - first)
    return max(0, ceil_div(end - first, axis.dilation))


cdef inline bint counts_are_equal(
    const axis_t* axis, Py_ssize_t begin, Py_ssize_t end, bint count_include_pad
) noexcept nogil:
    """Whether windows begin .. end are known to divide by the same count."""
    if axis.kind != SLIDING:
        return end - begin == 1
    # The count grows from the low edge to kernel_size and falls to the high edge.
    cdef Py_ssize_t first = window_count(axis, begin, count_include_pad)
    if end - begin == 1:
        return True
    return first == axis.kernel_size and window_count(axis, end - 1, count_include_pad) == first


cdef inline bint takes_each(const axis_t* axis) noexcept nogil:
    """Whether window i is element i and no other."""
    return (
        axis.kind == SLIDING and axis.kernel_size == axis.stride == 1
        and axis.padding == axis.padding_high == 0
    )


cdef inline bint slides_over_taps(const axis_t* axis) noexcept nogil:
    """Whether the windows slide and have no gaps, and each has a tap."""
    return (
        axis.kind == SLIDING and axis.dilation == 1 and axis.padding < axis.kernel_size
        and (axis.output_size - 1) * axis.stride - axis.padding < axis.input_size
    )


cdef inline axis_t each_of(Py_ssize_t size) noexcept nogil:
    """The windows that do."""
    cdef axis_t axis
    axis.kind = SLIDING
    axis.input_size = axis.output_size = size
    axis.kernel_size = axis.stride = axis.dilation = axis.step = 1
    axis.padding = axis.padding_high = 0
    return axis


cdef inline Py_ssize_t most_columns(const axis_t* axis, Py_ssize_t windows) noexcept nogil:
    """At most so many input positions lie between the ends of this many adjacent windows."""
    if axis.kind == SLIDING:
        return (windows - 1) * axis.stride + extent(axis)
    if axis.kind == ADAPTIVE:
        return windows * axis.input_size // axis.output_size + 2
    return (windows - 1 + extent(axis)) // axis.stride + 2


cdef inline bint is_power_of_two(double divisor) noexcept nogil:
    """Whether its reciprocal is exact."""
    cdef int exponent
    return frexp(divisor, &exponent) == 0.5
