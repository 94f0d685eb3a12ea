/* Bins of few rows and few pixels, each of a vector of channels at least, for each KIND that
 * POOLS_PIXELS: included by _small.h. All taps of a bin are merged in registers, rows first.
 */
static ALWAYS_INLINE void OF_T(merge_bin_)(
    int op, int rows, int pixels, const T *const *row, ptrdiff_t n, VECTOR by, int inverse, T *dst)
{
    for (ptrdiff_t j = 0; j < n; j += WIDTH) {
        VECTOR pixel[4], a;
        j = j < n - WIDTH ? j : n - WIDTH;
        for (int k = 0; k < pixels; k++)
            pixel[k] = OF_T(merged_4_)(op, rows, row, j + k * n);
        a = pixel[0];
        if (pixels >= 2)
            a = OF_T(joined_)(op, a, pixel[1]);
        if (pixels == 3)
            a = OF_T(joined_)(op, a, pixel[2]);
        if (pixels == 4)
            a = OF_T(joined_)(op, a, OF_T(joined_)(op, pixel[2], pixel[3]));
        a = OF_T(finished_)(op == OP_MAX ? MAXIMA_LEAVE : inverse ? MULTIPLIED : DIVIDED, a, NULL, by);
        OF_V(store_)(dst + j, a);
    }
}

/* A row of them, each with its place, how many pixels it has and of how many results it is one. Sums
 * are divided by how many pixels those are, if `divides`, and by `by`. */
static ALWAYS_INLINE void OF_T(merge_row_of_bins_)(int op, const pixel_bins *b, T *dst)
{
    const ptrdiff_t *bin = b->bins, n = b->channels;
    const char *fetched = b->fetched;
    for (T *end = dst + b->outputs * n; dst < end; bin += 3 * bin[2], fetched += b->each) {
        const T *row[4];
        double divisor = b->by * (b->divides ? bin[1] : 1);
        int exponent, inverse = frexp(divisor, &exponent) == 0.5;
        VECTOR by = OF_V(all_)((T)(inverse ? 1 / divisor : divisor));
        prefetch(fetched, b->each);
        for (int k = 0; k < 4; k++)
            row[k] = (const T *)(b->src + (k < b->rows ? k : 0) * b->row) + bin[0];
#define CASE(rows, pixels) \
    case 4 * rows + pixels: OF_T(merge_bin_)(op, rows, pixels, row, n, by, inverse, dst); break;
#define CASES(rows) CASE(rows, 1) CASE(rows, 2) CASE(rows, 3) CASE(rows, 4)
        switch (4 * b->rows + bin[1]) { CASES(1) CASES(2) CASES(3) CASES(4) }
#undef CASE
#undef CASES
        for (ptrdiff_t i = 1; i < bin[2]; i++)
            memcpy(dst + i * n, dst, n * sizeof(T));
        dst += bin[2] * n;
    }
}

static void OF_T(merge_bins_)(const pixel_bins *b, T *dst)
{
    if (b->op == OP_SUM)
        OF_T(merge_row_of_bins_)(OP_SUM, b, dst);
    else /* of ranks too, of which none is NaN */
        OF_T(merge_row_of_bins_)(OP_MAX, b, dst);
}
