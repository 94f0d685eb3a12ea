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

/* One NaN for any: which one a sum of several has depends on the order of operands, which is the
 * compiler's, and ranks know but one. */
static ALWAYS_INLINE VECTOR OF(one_nan)(VECTOR value)
{
    return OF(choose)(OF(unordered)(value), OF(all)((T)NAN), value);
}

typedef struct {
    VECTOR value;
    PLACES place;
    VECTOR sum; /* of all taps: NaN if one of them is */
} OF(winners_t);

static ALWAYS_INLINE OF(winners_t) OF(first_tap)(VECTOR tap, PLACES place)
{
    OF(winners_t) winners = {tap, place, tap};
    return winners;
}

/* By a later tap. If there may be NaN, all are looked at `exactly`; else it takes half as many
 * operations, and the sum tells afterwards whether there was one, or infinities of both signs. */
static ALWAYS_INLINE OF(winners_t) OF(challenged)(
    int exactly, OF(winners_t) winners, VECTOR tap, PLACES place)
{
    MASK wins = exactly ? OF(beats)(tap, winners.value) : OF(less)(winners.value, tap);
    if (exactly) {
        winners.value = OF(choose)(wins, tap, winners.value);
        winners.place = OF(choose_keys)(wins, place, winners.place);
    } else {
        winners.value = OF(larger)(wins, tap, winners.value);
        winners.place = OF(later_keys)(wins, place, winners.place);
        winners.sum = OF(sum)(winners.sum, tap);
    }
    return winners;
}

/* Of zeros the positive one, whichever won and in whatever way: 0 is added. Where there may be NaN, it
 * has been made one. */
static ALWAYS_INLINE void OF(store_winners)(
    OF(winners_t) winners, ptrdiff_t j, T *values, P *places, int64_t *indices)
{
    OF(store)(values + j, OF(sum)(winners.value, OF(all)(0)));
    if (indices)
        OF(store_indices)(indices + j, winners.place);
    else
        OF(store_keys)(places + j, winners.place);
}

static ALWAYS_INLINE void OF(store_winner)(
    T value, P place, ptrdiff_t j, T *values, P *places, int64_t *indices)
{
    values[j] = value == value ? value + 0 : (T)NAN;
    if (indices)
        indices[j] = place;
    else
        places[j] = place;
}

/* One channel: `count` columns of a row. */
static ALWAYS_INLINE void OF(winner_of_columns)(
    const T *tap, P place, ptrdiff_t count, T *value, P *winner)
{
    T most = *tap;
    P at = place;
    for (ptrdiff_t i = 1; i < count; i++) {
        int wins = tap_wins(tap[i], most);
        most = wins ? tap[i] : most;
        at = wins ? place + (P)i : at;
    }
    *value = most;
    *winner = at;
}

#include "_strips.h"

/* `vectors` of channels of a pixel, from channel c on: the window's `count` columns of these rows,
 * whose first taps have these places. */
static ALWAYS_INLINE void OF(winners_of_channels)(
    int exactly, int vectors, const winners_row *w, int rows, const T *const *row,
    const P *row_place, ptrdiff_t first, ptrdiff_t count, ptrdiff_t c, OF(winners_t) *winners)
{
    ptrdiff_t step = w->step * w->pixel;
    PLACES next = OF(all_keys)((P)w->step);
    for (int k = 0; k < rows; k++) {
        const T *tap = row[k] + first * w->pixel + c;
        PLACES place = OF(all_keys)(row_place[k] + (P)first);
        ptrdiff_t i = 0;
        if (k == 0) {
            for (int v = 0; v < vectors; v++)
                winners[v] = OF(first_tap)(OF(load)(tap + v * WIDTH), place);
            place = OF(plus_keys)(place, next);
            i = 1;
        }
        for (; i < count; i++) {
            for (int v = 0; v < vectors; v++)
                winners[v] = OF(challenged)(exactly, winners[v],
                                            OF(load)(tap + i * step + v * WIDTH), place);
            place = OF(plus_keys)(place, next);
        }
    }
    for (int v = 0; exactly && v < vectors; v++)
        winners[v].value = OF(one_nan)(winners[v].value);
}

static ALWAYS_INLINE void OF(winners_of_pixel)(
    int vectors, const winners_row *w, int rows, const T *const *row, const P *row_place,
    ptrdiff_t first, ptrdiff_t count, ptrdiff_t c, T *values, P *places, int64_t *indices)
{
    OF(winners_t) winners[2];
    OF(winners_of_channels)(0, vectors, w, rows, row, row_place, first, count, c, winners);
    if (OF(any_unordered)(vectors > 1 ? OF(sum)(winners[0].sum, winners[1].sum) : winners[0].sum))
        OF(winners_of_channels)(1, vectors, w, rows, row, row_place, first, count, c, winners);
    for (int v = 0; v < vectors; v++)
        OF(store_winners)(winners[v], c + v * WIDTH, values, places, indices);
}

/* All channels, at least WIDTH, of a row of outputs: the winners of their windows in these rows.
 * Places go to `indices`, if there are, else to `places`. */
static void OF(winners_of_row)(
    const winners_row *w, int rows, const T *const *row, const P *row_place, T identity,
    T *values, P *places, int64_t *indices)
{
    ptrdiff_t n = w->channels;
    for (ptrdiff_t x = 0; x < w->outputs; x++) {
        ptrdiff_t first = w->first[x], count = w->count[x], c = 0;
        if (count <= 0) /* dilation may leave no tap inside */
            for (; c < n; c++)
                OF(store_winner)(identity, -1, c, values, places, indices);
        for (; c + 2 * WIDTH <= n; c += 2 * WIDTH)
            OF(winners_of_pixel)(2, w, rows, row, row_place, first, count, c, values, places, indices);
        for (; c < n; c += WIDTH) {
            c = c > n - WIDTH ? n - WIDTH : c;
            OF(winners_of_pixel)(1, w, rows, row, row_place, first, count, c, values, places, indices);
        }
        values += n;
        if (indices)
            indices += n;
        else
            places += n;
    }
}

/* Bins of one channel: first down their columns, then across them. */

/* Some vectors of columns, down so many rows, of which each has places `place_row` behind the one
 * before. Returns whether there may have been a NaN. */
static ALWAYS_INLINE int OF(columns_down)(
    int exactly, int vectors, const char *src, ptrdiff_t src_row, ptrdiff_t rows, P place_row,
    OF(winners_t) *winners)
{
    PLACES place = OF(all_keys)(0), next = OF(all_keys)(place_row);
    const char *ahead = src + rows * src_row;
    VECTOR sum = OF(all)(0);
    for (int v = 0; v < vectors; v++)
        winners[v] = OF(first_tap)(OF(load)((const T *)src + v * WIDTH), place);
    for (ptrdiff_t k = 1; k < rows; k++) {
        src += src_row, ahead += src_row;
        place = OF(plus_keys)(place, next);
        for (int v = 0; v < vectors; v++) {
            if (v % 2 == 0)
                prefetch_line(ahead + v * sizeof(VECTOR));
            winners[v] = OF(challenged)(exactly, winners[v],
                                        OF(load)((const T *)src + v * WIDTH), place);
        }
    }
    for (int v = 0; v < vectors; v++)
        sum = OF(sum)(sum, winners[v].sum);
    return OF(any_unordered)(sum);
}

static void OF(exactly_down)(
    const char *src, ptrdiff_t src_row, ptrdiff_t rows, P place_row, OF(winners_t) *winners)
{
    OF(columns_down)(1, 1, src, src_row, rows, place_row, winners);
}

static ALWAYS_INLINE void OF(store_down)(
    int vectors, const char *src, ptrdiff_t src_row, ptrdiff_t rows, P place, P place_row,
    int more, T *values, P *places)
{
    OF(winners_t) winners[4];
    if (OF(columns_down)(0, vectors, src, src_row, rows, place_row, winners))
        for (int v = 0; v < vectors; v++)
            OF(exactly_down)(src + v * sizeof(VECTOR), src_row, rows, place_row, winners + v);
    for (int v = 0; v < vectors; v++) {
        PLACES first = OF(plus_keys)(OF(all_keys)(place + v * WIDTH), OF(ascending_keys)(1));
        winners[v].place = OF(plus_keys)(winners[v].place, first);
        if (more)
            winners[v] = OF(challenged)(
                1, OF(first_tap)(OF(load)(values + v * WIDTH), OF(load_keys)(places + v * WIDTH)),
                winners[v].value, winners[v].place);
        OF(store_winners)(winners[v], v * WIDTH, values, places, NULL);
    }
}

/* n columns of some rows, the first of which is at this place; if there are `more`, after others whose
 * winners are there. */
static void OF(winners_down)(
    const char *src, ptrdiff_t src_row, ptrdiff_t rows, P place, P place_row, ptrdiff_t n, int more,
    T *values, P *places)
{
    ptrdiff_t some = n * (ptrdiff_t)sizeof(T) < LONG_BIN_ROW ? BIN_ROWS : FEW_BIN_ROWS;
    for (; rows > 0; src += some * src_row, place += (P)some * place_row, rows -= some) {
        ptrdiff_t j = 0;
        some = some < rows ? some : rows;
#define DOWN(vectors)                                                                           \
    OF(store_down)(vectors, src + j * (ptrdiff_t)sizeof(T), src_row, some, place + (P)j, place_row, \
                   more, values + j, places + j)
        for (; j + 4 * WIDTH <= n; j += 4 * WIDTH)
            DOWN(4);
        for (; n >= WIDTH && j < n; j += WIDTH) {
            j = j > n - WIDTH ? n - WIDTH : j;
            DOWN(1);
        }
#undef DOWN
        for (; j < n; j++)
            for (ptrdiff_t k = 0; k < some; k++) {
                T tap = *((const T *)(src + k * src_row) + j);
                if (k + more == 0 || tap_wins(tap, values[j])) {
                    values[j] = tap;
                    places[j] = place + (P)(k * place_row + j);
                }
            }
        more = 1;
    }
}

/* Of n columns' winners the largest, and of equals the one whose place is first. */
static ALWAYS_INLINE void OF(winner_across)(
    const T *values, const P *places, ptrdiff_t n, T *value, P *place)
{
    T most = values[0];
    P at = places[0];
#if defined(__AVX2__)
    VECTOR lowest = OF(all)((T)-INFINITY), largest = lowest;
    PLACES first = OF(beyond_keys);
    for (ptrdiff_t i = 0; i < n; i += WIDTH) {
        VECTOR inside = OF(first)(n - i), here = OF(load_where)(inside, values + i);
        largest = OF(max)(largest, OF(either)(here, OF(where_not)(inside, lowest)));
    }
    for (int step = 0; step < OF(SWAPS); step++)
        largest = OF(max)(largest, OF(swapped)(step, largest));
    if (!OF(any_unordered)(largest)) {
        for (ptrdiff_t i = 0; i < n; i += WIDTH) {
            VECTOR inside = OF(first)(n - i), here = OF(load_where)(inside, values + i);
            VECTOR equal = OF(where)(inside, OF(equal)(here, largest));
            PLACES found = OF(load_some_keys)(inside, places + i);
            first = OF(earlier_keys)(first, OF(choose_keys)(equal, found, OF(beyond_keys)));
        }
        for (int step = 0; step < OF(SWAPS); step++)
            first = OF(earlier_keys)(first, OF(swapped_keys)(step, first));
        P found[WIDTH];
        T all[WIDTH];
        OF(store_keys)(found, first);
        OF(store)(all, largest);
        *place = found[0];
        *value = all[0];
        return;
    }
#endif
    for (ptrdiff_t i = 1; i < n; i++) {
        int same = (values[i] == most) | ((values[i] != values[i]) & (most != most));
        int wins = tap_wins(values[i], most) | (same & (places[i] < at));
        most = wins ? values[i] : most; /* no branch, which would often be mispredicted */
        at = wins ? places[i] : at;
    }
    *value = most;
    *place = at;
}

/* A row of outputs: across the winners of their columns. */
static void OF(winners_across)(
    const winners_row *w, const T *columns, const P *column_places, T *values, P *places,
    int64_t *indices)
{
    for (ptrdiff_t x = 0; x < w->outputs; x++) {
        T value;
        P place;
        OF(winner_across)(columns + w->first[x], column_places + w->first[x], w->count[x], &value,
                          &place);
        OF(store_winner)(value, place, x, values, places, indices);
    }
}

/* Of winners in so many vectors without NaN the largest, and of equals the one whose place is first. */
static ALWAYS_INLINE void OF(winner_among)(int vectors, const OF(winners_t) *winners, T *value, P *place)
{
    T values[LONG_RUN];
    P places[LONG_RUN];
#if defined(__AVX2__)
    VECTOR largest = winners[0].value;
    PLACES first = OF(beyond_keys);
    for (int v = 1; v < vectors; v++)
        largest = OF(larger)(0, winners[v].value, largest);
    for (int step = 0; step < OF(SWAPS); step++)
        largest = OF(larger)(0, OF(swapped)(step, largest), largest);
    for (int v = 0; v < vectors; v++) {
        VECTOR equal = OF(equal)(winners[v].value, largest);
        first = OF(earlier_keys)(
            first, OF(choose_keys)(equal, winners[v].place, OF(beyond_keys)));
    }
    for (int step = 0; step < OF(SWAPS); step++)
        first = OF(earlier_keys)(first, OF(swapped_keys)(step, first));
    OF(store)(values, largest);
    OF(store_keys)(places, first);
    *value = values[0];
    *place = places[0];
#else
    for (int v = 0; v < vectors; v++)
        OF(store_winners)(winners[v], v * WIDTH, values, places, NULL);
    OF(winner_across)(values, places, vectors * WIDTH, value, place);
#endif
}

/* One channel: a run of columns, seen as rows of four vectors, of which the last one may begin in the
 * one before. */
static ALWAYS_INLINE void OF(winner_of_run)(const T *row, P place, ptrdiff_t n, T *value, P *winner)
{
    enum { RUN = 4 * WIDTH };
    OF(winners_t) winners[4];
    VECTOR sum = OF(all)(0);
    ptrdiff_t rows = n / RUN;
    int found = 0;
    if (rows > 0) {
        OF(columns_down)(0, 4, (const char *)row, RUN * sizeof(T), rows, RUN, winners);
        for (int v = 0; v < 4; v++) {
            PLACES first = OF(plus_keys)(OF(all_keys)(place + v * WIDTH), OF(ascending_keys)(1));
            if (n > rows * RUN)
                winners[v] = OF(challenged)(0, winners[v], OF(load)(row + n - RUN + v * WIDTH),
                                            OF(all_keys)((P)(n - RUN)));
            winners[v].place = OF(plus_keys)(winners[v].place, first);
            sum = OF(sum)(sum, winners[v].sum);
        }
        found = !OF(any_unordered)(sum);
    }
    if (found)
        OF(winner_among)(4, winners, value, winner);
    else
        OF(winner_of_columns)(row, place, n, value, winner);
}

/* Planes that are one such run each, with one window. */
static void OF(winners_of_planes)(
    ptrdiff_t planes, const char *src, ptrdiff_t src_plane, ptrdiff_t n, T *values,
    ptrdiff_t values_plane, P *places, int64_t *indices, ptrdiff_t places_plane)
{
    for (ptrdiff_t p = 0; p < planes; p++, src += src_plane) {
        T value;
        P place;
        OF(winner_of_run)((const T *)src, 0, n, &value, &place);
        OF(store_winner)(value, place, 0, values, places, indices);
        values += values_plane;
        if (indices)
            indices += places_plane;
        else
            places += places_plane;
    }
}

/* A row of outputs whose windows lie in one row, the first column of which is at this place. */
static void OF(winners_of_runs)(
    const winners_row *w, const T *row, P place, T *values, P *places, int64_t *indices)
{
    for (ptrdiff_t x = 0; x < w->outputs; x++) {
        T value;
        P at = place + (P)w->first[x];
        OF(winner_of_run)(row + w->first[x], at, w->count[x], &value, &at);
        OF(store_winner)(value, at, x, values, places, indices);
    }
}

/* A vector of outputs, from the j-th on: the winners of their windows' rows, each of which has its
 * winners. */
static ALWAYS_INLINE OF(winners_t) OF(winners_among)(
    int exactly, int rows, const T *const *row, const P *const *row_places, ptrdiff_t j)
{
    OF(winners_t) winners = OF(first_tap)(OF(load)(row[0] + j), OF(load_keys)(row_places[0] + j));
    for (int k = 1; k < rows; k++)
        winners = OF(challenged)(exactly, winners, OF(load)(row[k] + j),
                                 OF(load_keys)(row_places[k] + j));
    if (exactly)
        winners.value = OF(one_nan)(winners.value);
    return winners;
}

/* Of n outputs the winner of their windows' rows, each of which has its winners. Places go to
 * `indices`, if there are, else to `places`. */
static void OF(winners_of_rows)(
    int rows, const T *const *row, const P *const *row_places, T *values, P *places,
    int64_t *indices, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    for (; n >= WIDTH && j < n; j += WIDTH) {
        OF(winners_t) winners;
        j = j > n - WIDTH ? n - WIDTH : j;
        winners = OF(winners_among)(0, rows, row, row_places, j);
        if (OF(any_unordered)(winners.sum))
            winners = OF(winners_among)(1, rows, row, row_places, j);
        OF(store_winners)(winners, j, values, places, indices);
    }
    for (; j < n; j++) {
        T value = row[0][j];
        P place = row_places[0][j];
        for (int k = 1; k < rows; k++)
            if (tap_wins(row[k][j], value)) {
                value = row[k][j];
                place = row_places[k][j];
            }
        OF(store_winner)(value, place, j, values, places, indices);
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
        OF(store)(dst + c + i * WIDTH, OF(one_nan)(sum[i]));
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

/* Windows of 2 x 2, stride 2, inside two rows: winners are told by masks, from elements or from indices.
 * From output j on; where there are fewer than a vector, they are SOME. */
static ALWAYS_INLINE void OF(gather_pair)(
    int some, int by_index, const T *row0, const T *row1, const int64_t *indices, P place,
    P columns, const T *grads, T *dst0, T *dst1, ptrdiff_t j, ptrdiff_t n)
{
#if defined(__AVX2__)
    VECTOR now = OF(first)(n), low = OF(first)(2 * n), high = OF(first)(2 * n - WIDTH);
#define LOADED(mask, p) (some ? OF(load_where)(mask, p) : OF(load)(p))
#define STORED(mask, p, a) (some ? OF(store_where)(mask, p, a) : OF(store)(p, a))
#else
#define LOADED(mask, p) OF(load)(p)
#define STORED(mask, p, a) OF(store)(p, a)
    (void)some, (void)n;
#endif
    VECTOR grad = OF(sorted)(OF(one_nan)(OF(sum)(LOADED(now, grads + j), OF(all)(0)))), a, b, c, d;
    if (by_index) {
        PLACES own = OF(sorted_keys)(OF(plus_keys)(OF(all_keys)(place), OF(ascending_keys)(2)));
        PLACES won = OF(read_indices)(some, indices + j, n);
        PLACES next = OF(all_keys)(1), below = OF(plus_keys)(own, OF(all_keys)(columns));
        a = OF(where)(OF(equal_keys)(won, own), grad);
        b = OF(where)(OF(equal_keys)(won, OF(plus_keys)(own, next)), grad);
        c = OF(where)(OF(equal_keys)(won, below), grad);
        d = OF(where)(OF(equal_keys)(won, OF(plus_keys)(below, next)), grad);
    } else {
        VECTOR low0 = LOADED(low, row0 + 2 * j), high0 = LOADED(high, row0 + 2 * j + WIDTH);
        VECTOR low1 = LOADED(low, row1 + 2 * j), high1 = LOADED(high, row1 + 2 * j + WIDTH);
        a = OF(even)(low0, high0), b = OF(odd)(low0, high0);
        c = OF(even)(low1, high1), d = OF(odd)(low1, high1);
        MASK b_wins = OF(beats)(b, a), d_wins = OF(beats)(d, c);
        a = OF(choose)(b_wins, b, a), c = OF(choose)(d_wins, d, c);
        MASK lower_wins = OF(beats)(c, a);
        VECTOR upper = OF(where_not)(lower_wins, grad), lower = OF(where)(lower_wins, grad);
        a = OF(where_not)(b_wins, upper), b = OF(where)(b_wins, upper);
        c = OF(where_not)(d_wins, lower), d = OF(where)(d_wins, lower);
    }
    STORED(low, dst0 + 2 * j, OF(low_halves)(a, b));
    STORED(high, dst0 + 2 * j + WIDTH, OF(high_halves)(a, b));
    STORED(low, dst1 + 2 * j, OF(low_halves)(c, d));
    STORED(high, dst1 + 2 * j + WIDTH, OF(high_halves)(c, d));
#undef LOADED
#undef STORED
}

/* Where there are no vectors of so few. */
static ALWAYS_INLINE void OF(gather_last_pair)(
    int by_index, const T *row0, const T *row1, const int64_t *indices, int64_t place,
    int64_t columns, const T *grads, T *dst0, T *dst1, ptrdiff_t j)
{
    T grad = grads[j] + 0;
    grad = grad == grad ? grad : (T)NAN;
    dst0[2 * j] = dst0[2 * j + 1] = dst1[2 * j] = dst1[2 * j + 1] = 0;
    if (by_index) {
        int64_t won = (int64_t)((uint64_t)indices[j] - (uint64_t)(place + 2 * j));
        if (won == 0 || won == 1)
            dst0[2 * j + won] = grad;
        else if (won == columns || won == columns + 1)
            dst1[2 * j + won - columns] = grad;
    } else {
        int b_wins = tap_wins(row0[2 * j + 1], row0[2 * j]);
        int d_wins = tap_wins(row1[2 * j + 1], row1[2 * j]);
        int lower_wins = tap_wins(row1[2 * j + d_wins], row0[2 * j + b_wins]);
        (lower_wins ? dst1 + d_wins : dst0 + b_wins)[2 * j] = grad;
    }
}

static ALWAYS_INLINE void OF(gather_all_pairs)(int by_index, const pairs_t *w)
{
    const T *row0 = w->row[0], *row1 = w->row[1], *grads = w->grads;
    const int64_t *indices = w->indices;
    T *dst0 = w->dst[0], *dst1 = w->dst[1];
    ptrdiff_t n = w->outputs, row = n * (ptrdiff_t)sizeof(T), pairs = w->pairs;
    ptrdiff_t last = n < WIDTH ? 0 : n - WIDTH;
    int64_t place = w->place;
    const P columns = (P)w->columns;
    int run_on = 2 * n >= WIDTH && w->grads_row == row && w->dst_pair == 4 * row &&
                 (by_index ? w->indices_row == 8 * n : w->src_pair == 4 * row);
#define AHEAD_OF(j)                                                      \
    do {                                                                 \
        if (by_index) {                                                  \
            prefetch_line((const char *)(indices + (j)) + AHEAD);        \
        } else {                                                         \
            prefetch_line((const char *)(row0 + 2 * (j)) + AHEAD);       \
            prefetch_line((const char *)(row1 + 2 * (j)) + AHEAD);       \
        }                                                                \
    } while (0)
#define NEXT(p, bytes) p = (void *)((char *)p + (bytes))
    for (ptrdiff_t pair = 0; pair < pairs; pair++) {
        ptrdiff_t j = 0;
        /* what lies behind a short row is written with the next pair */
        ptrdiff_t vectors_of = n >= WIDTH || (run_on && pair < pairs - 1) ? n : 0;
        for (; j < vectors_of; j += WIDTH) {
            j = j > last ? last : j;
            AHEAD_OF(j);
            OF(gather_pair)(0, by_index, row0, row1, indices, (P)(place + 2 * j), columns, grads,
                            dst0, dst1, j, n);
        }
#if defined(__AVX2__)
        if (j < n) {
            AHEAD_OF(0);
            OF(gather_pair)(1, by_index, row0, row1, indices, (P)place, columns, grads, dst0, dst1,
                            0, n);
            j = n;
        }
#endif
        for (; j < n; j++)
            OF(gather_last_pair)(by_index, row0, row1, indices, place, columns, grads, dst0, dst1,
                                 j);
        if (by_index)
            NEXT(indices, w->indices_row);
        else
            NEXT(row0, w->src_pair), NEXT(row1, w->src_pair);
        NEXT(grads, w->grads_row);
        NEXT(dst0, w->dst_pair);
        NEXT(dst1, w->dst_pair);
        place += 2 * columns;
    }
#undef NEXT
#undef AHEAD_OF
}

static void OF(gather_pairs)(const pairs_t *w)
{
    if (w->indices)
        OF(gather_all_pairs)(1, w);
    else
        OF(gather_all_pairs)(0, w);
}

/* Whether one of n is NaN or infinite: no sum of others is NaN. */
static NEVER_INLINE int OF(any_not_finite)(const T *grads, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    VECTOR zero = OF(all)(0), sum = zero;
    for (; j + WIDTH <= n; j += WIDTH)
        sum = OF(sum)(sum, OF(product)(OF(load)(grads + j), zero));
    int any = OF(any_unordered)(sum) != 0;
    for (; j < n; j++)
        any |= !(grads[j] * 0 == 0);
    return any;
}

/* Of each of so many planes in turn one gradient, if what won it lies in the plane's block. */
static ALWAYS_INLINE void OF(scatter_planes)(
    int planes, ptrdiff_t begin, const scatter_t *s, T *block, const int64_t *indices,
    const T *grads)
{
    ptrdiff_t block_plane = s->block_plane, length = s->length, n = s->n;
    for (ptrdiff_t j = 0; j < n; j++, indices += s->step)
        for (int p = 0; p < planes; p++) {
            /* As unsigned numbers, -1 and what lies before the block are beyond it too. */
            uint64_t place = (uint64_t)indices[p * s->indices_plane] - (uint64_t)begin;
            if (place < (uint64_t)length)
                block[p * block_plane + place] += grads[p * s->grads_plane + j];
        }
}

/* Gradients are added to what won them, if that lies in the plane's block. Sums in one plane wait for
 * each other, those of some planes at once do not. Returns whether one of the sums may be NaN. */
static NEVER_INLINE int OF(scatter)(const scatter_t *s, T *block, const int64_t *indices, const T *grads)
{
    ptrdiff_t n = s->n * s->channels, planes = s->planes;
    int any = 0;
    if (s->grads_plane == n)
        any = OF(any_not_finite)(grads, planes * n);
    else
        for (ptrdiff_t p = 0; p < planes; p++)
            any |= OF(any_not_finite)(grads + p * s->grads_plane, n);
    if (s->channels > 1)
        for (ptrdiff_t j = 0; j < n; j += s->channels)
            for (ptrdiff_t c = 0; c < s->channels; c++) {
                uint64_t place = (uint64_t)indices[j + c] - (uint64_t)s->begin;
                if (place < (uint64_t)s->length)
                    block[place * s->channels + c] += grads[j + c];
            }
    else
        while (planes > 0) {
            int some = planes < AT_ONCE ? 1 : AT_ONCE;
            if (some == AT_ONCE)
                OF(scatter_planes)(AT_ONCE, 0, s, block, indices, grads);
            else
                OF(scatter_planes)(1, s->begin, s, block, indices, grads);
            block += some * s->block_plane;
            indices += some * s->indices_plane;
            grads += some * s->grads_plane;
            planes -= some;
        }
    return any;
}

static void OF(one_nan_each)(T *block, ptrdiff_t n)
{
    ptrdiff_t j = 0;
    for (; j + WIDTH <= n; j += WIDTH)
        OF(store)(block + j, OF(one_nan)(OF(load)(block + j)));
    for (; j < n; j++)
        block[j] = block[j] == block[j] ? block[j] : (T)NAN;
}

#undef OF
#undef OF1
#undef OF2
#undef WIDTH
#undef VECTOR
#undef PLACES
#undef T
#undef P
