/* Winners among elements of type T, with places of type P: included by _winners.h for each T.
 *
 * Taps meet in row-major order, so that the first of equals stays without a look at where it came
 * from: first the columns of each row, once for all windows that share it, then a window's rows.
 */
#define OF2(name, T) name##T
#define OF1(name, T) OF2(name, T)
#define OF(name) OF1(name##_, T)
#define WIDTH OF(WIDTH)
#define VECTOR OF(VECTOR)
#define PLACES OF(KEYS)

typedef struct {
    VECTOR value;
    PLACES place;
} OF(winners_t);

static ALWAYS_INLINE OF(winners_t) OF(challenged)(OF(winners_t) winners, VECTOR tap, PLACES place)
{
    MASK wins = OF(beats)(tap, winners.value);
    winners.value = OF(choose)(wins, tap, winners.value);
    winners.place = OF(choose_keys)(wins, place, winners.place);
    return winners;
}

/* One channel: `count` columns of a row, `step` apart. */
static void OF(winner_of_columns)(
    const T *tap, P place, ptrdiff_t count, ptrdiff_t step, T *value, P *winner)
{
    *value = *tap;
    *winner = place;
    for (ptrdiff_t i = 1; i < count; i++) {
        tap += step;
        place += (P)step;
        if (tap_wins(*tap, *value)) {
            *value = *tap;
            *winner = place;
        }
    }
}

/* One channel: n windows inside a row; the first begins at its first column, which has this place. */
static ALWAYS_INLINE void OF(winners_inside)(
    int columns, int stride, const T *row, P place, T *values, P *places, ptrdiff_t n)
{
    PLACES ascending = OF(ascending_keys)(stride);
    for (ptrdiff_t j = 0;; j += WIDTH) {
        OF(winners_t) winners;
        const T *at;
        P first;
        j = j > n - WIDTH ? n - WIDTH : j;
        at = row + stride * j;
        first = place + (P)(stride * j);
        if (stride == 1) {
            winners.value = OF(load)(at);
            winners.place = OF(plus_keys)(ascending, OF(all_keys)(first));
            for (int column = 1; column < columns; column++)
                winners = OF(challenged)(winners, OF(load)(at + column),
                                         OF(plus_keys)(ascending, OF(all_keys)(first + column)));
        } else { /* places from the first column of each window, in the order of `even` and `odd` */
            VECTOR a = OF(load)(at), b = OF(load)(at + WIDTH);
            winners.value = OF(even)(a, b);
            winners.place = OF(all_keys)(first);
            winners = OF(challenged)(winners, OF(odd)(a, b), OF(all_keys)(first + 1));
            if (columns == 3)
                /* not `even` from column 2 on, which would read a column too many */
                winners = OF(challenged)(
                    winners, OF(odd)(OF(load)(at + 1), OF(load)(at + 1 + WIDTH)),
                    OF(all_keys)(first + 2));
            winners.value = OF(sorted)(winners.value);
            winners.place = OF(plus_keys)(OF(sorted_keys)(winners.place), ascending);
        }
        OF(store)(values + j, winners.value);
        OF(store_keys)(places + j, winners.place);
        if (j == n - WIDTH)
            return;
    }
}

/* All channels of a pixel, at least WIDTH: `count` pixels of a row, `step` apart. */
static ALWAYS_INLINE void OF(winners_of_pixels)(
    const winners_row *w, const T *tap, P place, ptrdiff_t count, T *values, P *places)
{
    ptrdiff_t n = w->channels, step = w->step * w->pixel;
    for (ptrdiff_t c = 0;; c += WIDTH) {
        OF(winners_t) winners;
        const T *next;
        c = c > n - WIDTH ? n - WIDTH : c;
        next = tap + c;
        winners.value = OF(load)(next);
        winners.place = OF(all_keys)(place);
        for (ptrdiff_t i = 1; i < count; i++) {
            next += step;
            winners = OF(challenged)(winners, OF(load)(next),
                                     OF(all_keys)(place + (P)(i * w->step)));
        }
        OF(store)(values + c, winners.value);
        OF(store_keys)(places + c, winners.place);
        if (c == n - WIDTH)
            return;
    }
}

/* For each output the winner of its window's columns in one row, whose first has this place. */
static void OF(winners_of_row)(
    const winners_row *w, const T *row, P place, T identity, T *values, P *places)
{
    ptrdiff_t n = w->outer - w->inner;
    for (ptrdiff_t x = 0; x < w->outputs; x++) {
        ptrdiff_t first = w->first[x], count = w->count[x];
        if (count <= 0) { /* dilation may leave no tap inside */
            for (ptrdiff_t c = 0; c < w->channels; c++) {
                values[x * w->channels + c] = identity;
                places[x * w->channels + c] = -1;
            }
        } else if (w->channels > 1) {
            OF(winners_of_pixels)(w, row + first * w->pixel, place + (P)first, count,
                                  values + x * w->channels, places + x * w->channels);
        } else if (x == w->inner && n >= WIDTH) {
            const T *at = row + first;
            P from = place + (P)first;
            if (w->stride == 2 && w->columns == 2)
                OF(winners_inside)(2, 2, at, from, values + x, places + x, n);
            else if (w->stride == 2)
                OF(winners_inside)(3, 2, at, from, values + x, places + x, n);
            else if (w->columns == 3)
                OF(winners_inside)(3, 1, at, from, values + x, places + x, n);
            else
                OF(winners_inside)(w->columns, 1, at, from, values + x, places + x, n);
            x = w->outer - 1;
        } else {
            OF(winner_of_columns)(row + first, place + (P)first, count, w->step,
                                  values + x, places + x);
        }
    }
}

/* Of n outputs the winner of their windows' rows, each of which has its winners. Places go to
 * `indices`, if there are, else to `places`. */
static void OF(winners_of_rows)(
    int rows, const T *const *row, const P *const *row_places, T *values, P *places,
    int64_t *indices, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH) {
        OF(winners_t) winners = {OF(load)(row[0] + j), OF(load_keys)(row_places[0] + j)};
        for (int k = 1; k < rows; k++)
            winners = OF(challenged)(winners, OF(load)(row[k] + j),
                                     OF(load_keys)(row_places[k] + j));
        OF(store)(values + j, winners.value);
        if (indices)
            OF(store_indices)(indices + j, winners.place);
        else
            OF(store_keys)(places + j, winners.place);
    }
    for (; j < n; j++) {
        T value = row[0][j];
        P place = row_places[0][j];
        for (int k = 1; k < rows; k++)
            if (tap_wins(row[k][j], value)) {
                value = row[k][j];
                place = row_places[k][j];
            }
        values[j] = value;
        if (indices)
            indices[j] = place;
        else
            places[j] = place;
    }
}

/* Each of n winners is challenged by the later one `shift` behind it, in place. A vector more than
 * these may be read, and written. */
static void OF(challenge_later)(T *values, P *places, ptrdiff_t shift, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j += WIDTH) {
        OF(winners_t) winners = {OF(load)(values + j), OF(load_keys)(places + j)};
        winners = OF(challenged)(winners, OF(load)(values + j + shift),
                                 OF(load_keys)(places + j + shift));
        OF(store)(values + j, winners.value);
        OF(store_keys)(places + j, winners.place);
    }
}

/* Gradients -----------------------------------------------------------------------------------
 *
 * An element's is the sum, in row-major order, over the windows that hold it, of the gradients of
 * those that it won. All are looked at: no order of stores, none of which waits for another.
 */

/* `vectors` of channels of a pixel, from channel c on, which lies in windows `begin` to `end`. */
static ALWAYS_INLINE void OF(gather_pixel)(
    int vectors, int rows, const P *const *places, const T *const *grads, ptrdiff_t begin,
    ptrdiff_t end, PLACES own, ptrdiff_t channels, ptrdiff_t c, T *dst)
{
    VECTOR sum[4];
    for (int i = 0; i < vectors; i++)
        sum[i] = OF(all)(0);
    for (int k = 0; k < rows; k++)
        for (ptrdiff_t j = begin * channels + c; j < end * channels; j += channels)
            for (int i = 0; i < vectors; i++) {
                PLACES place = OF(load_keys)(places[k] + j + i * WIDTH);
                sum[i] = OF(sum)(sum[i], OF(where)(OF(equal_keys)(place, own),
                                                   OF(load)(grads[k] + j + i * WIDTH)));
            }
    for (int i = 0; i < vectors; i++)
        OF(store)(dst + c + i * WIDTH, sum[i]);
}

/* All channels of a row's pixels, at least WIDTH; the windows of column x are begin[x] to end[x]. */
static void OF(gather_pixels)(
    int rows, const P *const *places, const T *const *grads, const ptrdiff_t *begin,
    const ptrdiff_t *end, P place, ptrdiff_t columns, ptrdiff_t channels, T *dst,
    ptrdiff_t dst_pixel)
{
    for (ptrdiff_t x = 0; x < columns; x++, dst += dst_pixel) {
        PLACES own = OF(all_keys)(place + (P)x);
        ptrdiff_t c = 0;
        for (; c + 4 * WIDTH <= channels; c += 4 * WIDTH)
            OF(gather_pixel)(4, rows, places, grads, begin[x], end[x], own, channels, c, dst);
        for (; c + 2 * WIDTH <= channels; c += 2 * WIDTH)
            OF(gather_pixel)(2, rows, places, grads, begin[x], end[x], own, channels, c, dst);
        for (; c < channels; c += WIDTH) {
            c = c > channels - WIDTH ? channels - WIDTH : c;
            OF(gather_pixel)(1, rows, places, grads, begin[x], end[x], own, channels, c, dst);
        }
    }
}

/* From windows j + low to j + high of all rows. */
static ALWAYS_INLINE VECTOR OF(gathered)(
    int rows, const P *const *places, const T *const *grads, ptrdiff_t j, int low, int high,
    PLACES own)
{
    VECTOR sum = OF(all)(0);
    for (int k = 0; k < rows; k++)
        for (int window = low; window <= high; window++)
            sum = OF(sum)(sum, OF(where)(OF(equal_keys)(OF(load_keys)(places[k] + j + window), own),
                                         OF(load)(grads[k] + j + window)));
    return sum;
}

/* One channel, stride 1 or 2: the elements of a row, of which the even ones lie in windows low[0] to
 * high[0] from half their column on, the odd ones in low[1] to high[1]. */
static ALWAYS_INLINE void OF(gather_columns)(
    int stride, int low0, int high0, int low1, int high1, int rows, const P *const *places,
    const T *const *grads, P place, ptrdiff_t columns, T *dst)
{
    PLACES ascending = OF(ascending_keys)(stride);
    ptrdiff_t step = stride * WIDTH, last = columns - step, x = 0;
    if (last >= 0)
        last -= last % stride;
    for (; x <= last; x += step) {
        ptrdiff_t j = x / stride;
        PLACES own = OF(plus_keys)(ascending, OF(all_keys)(place + (P)x));
        VECTOR even = OF(gathered)(rows, places, grads, j, low0, high0, own);
        if (stride == 1) {
            OF(store)(dst + x, even);
        } else {
            VECTOR odd = OF(gathered)(rows, places, grads, j, low1, high1,
                                      OF(plus_keys)(own, OF(all_keys)(1)));
            OF(store)(dst + x, OF(first_half)(even, odd));
            OF(store)(dst + x + WIDTH, OF(second_half)(even, odd));
        }
        if (x < last && x + step > last) /* the last vector overlaps the one before */
            x = last - step;
    }
    for (x = last >= 0 ? last + step : 0; x < columns; x++) {
        ptrdiff_t j = x / stride;
        int low = stride == 2 && x % 2 ? low1 : low0, high = stride == 2 && x % 2 ? high1 : high0;
        T sum = 0;
        for (int k = 0; k < rows; k++)
            for (int window = low; window <= high; window++)
                sum += places[k][j + window] == place + (P)x ? grads[k][j + window] : 0;
        dst[x] = sum;
    }
}

static void OF(gather_row)(
    int columns, int stride, int padding, int rows, const P *const *places, const T *const *grads,
    P place, ptrdiff_t n, T *dst)
{
#define GATHER(stride, low0, high0, low1, high1) \
    OF(gather_columns)(stride, low0, high0, low1, high1, rows, places, grads, place, n, dst)
    if (stride == 1 && columns == 2)
        GATHER(1, -1, 0, 0, 0);
    else if (stride == 1)
        GATHER(1, -2, 0, 0, 0);
    else if (columns == 2 && padding == 0)
        GATHER(2, 0, 0, 0, 0);
    else if (columns == 2)
        GATHER(2, 0, 0, 1, 1);
    else if (padding == 0)
        GATHER(2, -1, 0, 0, 0);
    else
        GATHER(2, 0, 0, 0, 1);
#undef GATHER
}

#undef OF
#undef OF1
#undef OF2
#undef WIDTH
#undef VECTOR
#undef PLACES
#undef T
#undef P
