/* Pixels of whole vectors of channels, for each KIND that POOLS_PIXELS: included by _small.h.
 *
 * Windows of 2 or 3 columns and up to as many rows. The rows of a column of pixels are merged as they
 * are read. Columns that the next window has too are kept, and nothing else but results is stored.
 */
static ALWAYS_INLINE void OF_T(pool_pixels_)(
    int op, int columns, int stride, int finish, const small_windows *w)
{
    const int taps = columns, kept = columns - stride;
    const int fetches = w->fresh > 0;
    const ptrdiff_t channels = w->channels;
    const ptrdiff_t inside = w->columns_inside / channels, before = w->before / channels;
    T *column[3], *turn[3];
    S *outside = (S *)((T *)w->columns_kept + columns * channels), *none = outside + channels;
    VECTOR identity = OF_T(identity_)(op);
    BY by = DIVISOR_OF(w);
    const char *src = w->src;
    char *dst = w->dst;
    for (ptrdiff_t c = 0; w->pad && c < channels; c += WIDTH) {
        OF_T(write_)(outside + c, identity);
        OF_T(write_)(none + c, OF_V(all_)((T)-0.0));
    }
    for (ptrdiff_t y = 0; y < w->rows; y++, src += w->src_row, dst += w->dst_row) {
        const S *row[3], *tap[3][3];
        ptrdiff_t pixel[3];
        S *result = (S *)dst;
        const T *divisors = w->divisors;
        for (int k = 0; k < taps; k++) { /* a row that lacks changes nothing, not a bit */
            int lacks = k >= w->taps;
            row[k] = lacks && op == OP_SUM ? none : (const S *)(src + w->tap[lacks ? 0 : k]);
            pixel[k] = lacks && op == OP_SUM ? 0 : channels;
        }
#define PLACE_TAPS(i, at)                                                     \
    for (int k = 0; k < taps; k++)                                            \
        tap[i][k] = 0 <= (at) && (at) < inside ? row[k] + (at) * pixel[k] : outside
        for (int i = 0; i < columns; i++) {
            column[i] = (T *)w->columns_kept + i * channels;
            if (i < kept) {
                PLACE_TAPS(i, i - before);
                for (ptrdiff_t c = 0; c < channels; c += WIDTH)
                    OF_V(store_)(column[i] + c, OF_T(merged_)(op, taps, tap[i], c));
            }
        }
        for (ptrdiff_t x = -before; x < w->outputs / channels * stride - before; x += stride) {
            for (int i = kept; i < columns; i++)
                PLACE_TAPS(i, x + i);
            for (ptrdiff_t c = 0; c < channels; c += WIDTH) {
                VECTOR a, b;
                for (int i = 0; i < columns; i++) {
                    b = i < kept ? OPERAND(column[i] + c) : OF_T(merged_)(op, taps, tap[i], c);
                    /* the next window's rows, if they do not run on: more streams than are foreseen */
                    for (int k = 1; fetches && stride > 1 && i >= kept && k <= 2; k++)
                        prefetch_line((const char *)(tap[i][taps - k] + c) + w->src_row);
                    if (kept <= i && stride <= i)
                        OF_V(store_)(column[i] + c, b);
                    a = i ? OF_T(joined_)(op, a, b) : b;
                }
                OF_T(write_)(result + c, OF_T(finished_)(finish, a, divisors + c, by));
            }
            result += channels;
            divisors += channels;
            for (int i = 0; i < columns; i++)
                turn[i] = column[(i + stride) % columns];
            for (int i = 0; i < columns; i++)
                column[i] = turn[i];
        }
#undef PLACE_TAPS
    }
}
