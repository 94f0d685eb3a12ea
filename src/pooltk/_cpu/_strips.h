/* Winners of the commonest windows of one channel, in strips: included by _winners_of.h for each T.
 *
 * A strip is a vector of outputs wide, and goes down all rows of a tile. What won among a row's
 * columns stays in registers for the windows further down that share the row. Beyond a row's ends
 * lies what never wins: a window has an element inside at least, and its first one comes first.
 */
typedef struct {
    PLACES place[MOST_COLUMNS]; /* of each tap in row 0, of all outputs; of stride 4, see below */
    ptrdiff_t begin;            /* the first output's first column */
#if defined(__AVX2__)           /* the row's ends, for each vector that is read */
    VECTOR inside[MOST_COLUMNS], outside[MOST_COLUMNS];
#endif
} OF(strip_t);

/* Vectors of a row that a strip reads: how many, and where the i-th begins. Of strides of 2 each tap
 * takes two; with 4 there are as many taps, and windows lie side by side. */
static ALWAYS_INLINE int OF(reads)(int stride, int columns)
{
    return stride == 2 ? 2 * columns - 2 : columns;
}

static ALWAYS_INLINE ptrdiff_t OF(read_from)(int stride, int i)
{
    return stride == 1 ? i : stride == 2 ? i / 2 + i % 2 * WIDTH : i * WIDTH;
}

static ALWAYS_INLINE void OF(place_strip)(
    int edge, int stride, int columns, const strips_t *s, ptrdiff_t x, OF(strip_t) *strip)
{
    P places[WIDTH];
    strip->begin = x * stride - s->padding;
    for (int i = 0; i < columns; i++) {
        ptrdiff_t column = strip->begin + (stride == 4 ? i / 2 * 2 * WIDTH + i % 2 : i);
        PLACES place = OF(plus_keys)(OF(all_keys)((P)column),
                                     OF(ascending_keys)(stride == 1 ? 1 : 2));
        if (edge) {
            OF(store_keys)(places, place);
            for (int lane = 0; lane < WIDTH; lane++)
                places[lane] = places[lane] < 0 ? 0 : places[lane];
            place = OF(load_keys)(places);
        }
        strip->place[i] = stride > 1 ? OF(sorted_keys)(place) : place; /* as `even` leaves them */
    }
#if defined(__AVX2__)
    for (int i = 0; edge && i < OF(reads)(stride, columns); i++) {
        ptrdiff_t column = strip->begin + OF(read_from)(stride, i);
        VECTOR lowest = OF(all)((T)-INFINITY), before = OF(first)(-column);
        strip->inside[i] = OF(where_not)(before, OF(first)(s->input_columns - column));
        strip->outside[i] = OF(where_not)(strip->inside[i], lowest);
    }
#endif
}

#if !defined(__AVX2__)
/* A vector from this column of the row on. */
static VECTOR OF(read_edge)(const T *from, ptrdiff_t column, ptrdiff_t input_columns)
{
    T read[WIDTH];
    for (int lane = 0; lane < WIDTH; lane++, column++)
        read[lane] = 0 <= column && column < input_columns ? from[lane] : (T)-INFINITY;
    return OF(load)(read);
}
#endif

static ALWAYS_INLINE VECTOR OF(read_strip)(
    int edge, int stride, int i, const T *row, const OF(strip_t) *strip, ptrdiff_t input_columns)
{
    const T *from = row + OF(read_from)(stride, i);
    if (!edge)
        return OF(load)(from);
#if defined(__AVX2__)
    (void)input_columns;
    return OF(either)(OF(load_where)(strip->inside[i], from), strip->outside[i]);
#else
    return OF(read_edge)(from, strip->begin + OF(read_from)(stride, i), input_columns);
#endif
}

static ALWAYS_INLINE OF(winners_t) OF(in_order)(OF(winners_t) winners)
{
    winners.value = OF(sorted)(winners.value);
    winners.place = OF(sorted_keys)(winners.place);
    return winners;
}

/* Of pairs of columns in two vectors. */
static ALWAYS_INLINE OF(winners_t) OF(winners_of_pairs)(
    int exactly, VECTOR low, VECTOR high, const PLACES *place)
{
    OF(winners_t) winners = OF(first_tap)(OF(even)(low, high), place[0]);
    return OF(challenged)(exactly, winners, OF(odd)(low, high), place[1]);
}

/* Of pairs of such pairs: windows of 4 columns side by side. */
static ALWAYS_INLINE OF(winners_t) OF(winners_of_fours)(
    int exactly, OF(winners_t) low, OF(winners_t) high)
{
    OF(winners_t) winners;
    low = OF(in_order)(low), high = OF(in_order)(high);
    winners.value = OF(even)(low.value, high.value);
    winners.place = OF(even_keys)(low.place, high.place);
    winners.sum = OF(sum)(low.sum, high.sum);
    return OF(challenged)(exactly, winners, OF(odd)(low.value, high.value),
                          OF(odd_keys)(low.place, high.place));
}

/* Among the columns of a row, from the first output's first one on. */
static ALWAYS_INLINE OF(winners_t) OF(winners_in_row)(
    int exactly, int edge, int stride, int columns, const T *row, const OF(strip_t) *strip,
    ptrdiff_t input_columns)
{
    OF(winners_t) winners;
    VECTOR tap, low, high;
#define READ(i) OF(read_strip)(edge, stride, i, row, strip, input_columns)
    if (stride == 4)
        return OF(winners_of_fours)(
            exactly, OF(winners_of_pairs)(exactly, READ(0), READ(1), strip->place),
            OF(winners_of_pairs)(exactly, READ(2), READ(3), strip->place + 2));
    for (int i = 0; i < columns; i++) {
        if (stride == 1)
            tap = READ(i);
        else if (i == 0)
            low = READ(0), high = READ(1), tap = OF(even)(low, high);
        else if (i == 1)
            tap = OF(odd)(low, high);
        else /* not `even` from column 2 on, which would read a column too many */
            tap = OF(odd)(READ(2 * i - 2), READ(2 * i - 1));
        winners = i ? OF(challenged)(exactly, winners, tap, strip->place[i])
                    : OF(first_tap)(tap, strip->place[0]);
    }
#undef READ
    return winners;
}

/* All of a vector of winners, or the first ones. */
static ALWAYS_INLINE void OF(store_strip)(
    OF(winners_t) winners, ptrdiff_t lanes, T *values, P *places, int64_t *indices)
{
    winners.value = OF(sum)(winners.value, OF(all)(0)); /* as `store_winners` */
    if (lanes == WIDTH) {
        if (values)
            OF(store)(values, winners.value);
        if (indices)
            OF(store_indices)(indices, winners.place);
        else
            OF(store_keys)(places, winners.place);
        return;
    }
#if defined(__AVX2__)
    if (values)
        OF(store_where)(OF(first)(lanes), values, winners.value);
    if (indices)
        OF(store_some_indices)(lanes, indices, winners.place);
    else
        OF(store_some_keys)(lanes, places, winners.place);
#else
    T some_values[WIDTH];
    P some_places[WIDTH];
    OF(store)(some_values, winners.value);
    OF(store_keys)(some_places, winners.place);
    for (ptrdiff_t i = 0; i < lanes; i++) {
        if (values)
            values[i] = some_values[i];
        if (indices)
            indices[i] = some_places[i];
        else
            places[i] = some_places[i];
    }
#endif
}

static void OF(any_strips)(
    int exactly, const strips_t *s, const strips_tile *t, ptrdiff_t x, ptrdiff_t x_end);

/* Strips of outputs x to x_end of each plane: of `rows` rows of each window, of which `kept` are the
 * next one's too; or, if those are ANY_ROWS, of any rows and depths. There are a vector of outputs
 * at least, unless some lack columns at an `edge`. A strip in which there may be NaN is looked at
 * once more, exactly.
 *
 * Windows that lack rows take the first or the last one more than once. */
static ALWAYS_INLINE void OF(strips)(
    int exactly, int edge, int stride, int columns, int rows, int kept, const strips_t *s,
    const strips_tile *t, ptrdiff_t x, ptrdiff_t x_end)
{
    OF(strip_t) strip;
    OF(winners_t) found[MOST_COLUMNS], winners;
    VECTOR sum = OF(all)(0);
    const ptrdiff_t src_row = t->src_row, src_depth = t->src_depth, ahead = t->ahead;
    const ptrdiff_t row_stride = s->row_stride, last_row = s->input_rows - 1;
    const ptrdiff_t values_row = t->values_row, places_row = t->places_row;
    const P input_columns = (P)s->input_columns, place = (P)t->place, depth = (P)t->place_depth;
#define FIND_IN_ROW(winners, z, k)                                                              \
    do {                                                                                        \
        ptrdiff_t row = first + (k) < 0 ? 0 : first + (k) > last_row ? last_row : first + (k);  \
        const char *at_row = src + row * src_row + (z) * src_depth;                             \
        prefetch_line(at_row + ahead);                                                          \
        winners = OF(winners_in_row)(exactly, edge, stride, columns, (const T *)at_row, &strip, \
                                     s->input_columns);                                         \
        sum = OF(sum)(sum, winners.sum);                                                        \
        winners.place = OF(plus_keys)(                                                          \
            winners.place, OF(all_keys)(place + (P)(z) * depth + (P)row * input_columns));      \
    } while (0)
    for (; x < x_end; x += WIDTH) {
        ptrdiff_t lanes = WIDTH;
        if (edge)
            lanes = x_end - x < WIDTH ? x_end - x : WIDTH;
        else if (x > x_end - WIDTH)
            x = x_end - WIDTH;
        OF(place_strip)(edge, stride, columns, s, x, &strip);
        for (ptrdiff_t p = 0; p < t->planes; p++) {
            const char *src = (const char *)t->src + p * t->src_plane;
            ptrdiff_t first = t->y * row_stride - s->row_padding, at = x - t->x;
            T *values = t->values ? (T *)t->values + at + p * t->values_plane : NULL;
            P *places = t->indices ? NULL : (P *)t->places + at + p * t->places_plane;
            int64_t *indices = t->indices ? t->indices + at + p * t->places_plane : NULL;
            src += strip.begin * (ptrdiff_t)sizeof(T);
            for (int k = 0; k < kept; k++)
                FIND_IN_ROW(found[k], 0, k);
            for (ptrdiff_t y = t->y; y < t->y_end; y++, first += row_stride) {
                if (kept != ANY_ROWS) {
                    for (int k = kept; k < rows; k++)
                        FIND_IN_ROW(found[k], 0, k);
                    winners = found[0];
                    for (int k = 1; k < rows; k++)
                        winners = OF(challenged)(exactly, winners, found[k].value, found[k].place);
                    for (int k = 0; k < kept; k++)
                        found[k] = found[k + rows - kept];
                } else {
                    FIND_IN_ROW(winners, 0, 0);
                    for (int z = 0; z < t->depths; z++)
                        for (int k = z ? 0 : 1; k < rows; k++) {
                            FIND_IN_ROW(found[0], z, k);
                            winners = OF(challenged)(exactly, winners, found[0].value,
                                                     found[0].place);
                        }
                }
                if (stride > 1)
                    winners = OF(in_order)(winners);
                if (exactly)
                    winners.value = OF(one_nan)(winners.value);
                OF(store_strip)(winners, lanes, values, places, indices);
                values = values ? values + values_row : NULL;
                places = places ? places + places_row : NULL;
                indices = indices ? indices + places_row : NULL;
            }
        }
        if (!exactly && OF(any_unordered)(sum)) {
            OF(any_strips)(1, s, t, x, x + lanes);
            sum = OF(all)(0);
        }
    }
#undef FIND_IN_ROW
}

/* Windows of one row, which lack no column: from strip to strip along each row. */
static ALWAYS_INLINE void OF(strips_along)(
    int stride, int columns, const strips_t *s, const strips_tile *t, ptrdiff_t x, ptrdiff_t x_end)
{
    VECTOR sum = OF(all)(0);
    for (ptrdiff_t p = 0; p < t->planes; p++)
        for (ptrdiff_t y = t->y; y < t->y_end; y++) {
            ptrdiff_t row = y * s->row_stride - s->row_padding, left = x_end - x, step = 0;
            ptrdiff_t to_value = x - t->x + p * t->values_plane + (y - t->y) * t->values_row;
            ptrdiff_t to_place = x - t->x + p * t->places_plane + (y - t->y) * t->places_row;
            const T *src = (const T *)((const char *)t->src + p * t->src_plane + row * t->src_row);
            T *values = t->values ? (T *)t->values + to_value : NULL;
            P *places = t->indices ? NULL : (P *)t->places + to_place;
            int64_t *indices = t->indices ? t->indices + to_place : NULL;
            PLACES next = OF(all_keys)((P)(t->place + row * s->input_columns));
            OF(strip_t) strip;
            OF(place_strip)(0, stride, columns, s, x, &strip);
            src += strip.begin;
            for (; left > 0; left -= WIDTH) {
                OF(winners_t) winners;
                for (int i = 0; i < columns; i++)
                    strip.place[i] = OF(plus_keys)(strip.place[i], next);
                prefetch_line((const char *)src + t->ahead);
                winners = OF(winners_in_row)(0, 0, stride, columns, src, &strip, 0);
                sum = OF(sum)(sum, winners.sum);
                if (stride > 1)
                    winners = OF(in_order)(winners);
                OF(store_strip)(winners, WIDTH, values, places, indices);
                /* the last one ends with the row */
                step = left - WIDTH < WIDTH ? left - WIDTH : WIDTH;
                next = OF(all_keys)((P)(stride * step));
                src += stride * step;
                values = values ? values + step : NULL;
                places = places ? places + step : NULL;
                indices = indices ? indices + step : NULL;
            }
        }
    if (OF(any_unordered)(sum))
        OF(any_strips)(1, s, t, x, x_end);
}

/* Windows of any kind, whether they lack columns or not. */
static void OF(any_strips)(
    int exactly, const strips_t *s, const strips_tile *t, ptrdiff_t x, ptrdiff_t x_end)
{
    if (s->stride == 1)
        OF(strips)(exactly, 1, 1, s->columns, s->rows, ANY_ROWS, s, t, x, x_end);
    else if (s->stride == 2)
        OF(strips)(exactly, 1, 2, s->columns, s->rows, ANY_ROWS, s, t, x, x_end);
    else
        OF(strips)(exactly, 1, 4, 4, s->rows, ANY_ROWS, s, t, x, x_end);
}

static void OF(find_in_strips)(
    int edge, const strips_t *s, const strips_tile *t, ptrdiff_t x, ptrdiff_t x_end)
{
    int rows = t->depths > 1 ? 0 : s->rows;
    int kept = rows > s->row_stride ? rows - (int)s->row_stride : 0;
#define CASE(edge, stride, columns, rows, kept)                                              \
    case 10000 * edge + 1000 * stride + 100 * columns + 10 * rows + kept:                    \
        if (edge && WIDTH < 8) /* not worth a copy of the code */                            \
            OF(any_strips)(0, s, t, x, x_end);                                               \
        else                                                                                 \
            OF(strips)(0, edge, stride, columns, rows, kept, s, t, x, x_end);                \
        break;
#define ALONG(stride, columns)                                                               \
    case 1000 * stride + 100 * columns + 10:                                                 \
        OF(strips_along)(stride, columns, s, t, x, x_end);                                   \
        break;
#define CASES(edge) \
    CASE(edge, 1, 3, 3, 2) CASE(edge, 2, 2, 2, 0) CASE(edge, 2, 3, 3, 1)
    switch (10000 * edge + 1000 * s->stride + 100 * s->columns + 10 * rows + kept) {
        CASES(0) CASES(1) ALONG(1, 3) ALONG(2, 2) ALONG(4, 4)
    case 2200: /* of some depths */
        OF(strips)(0, 0, 2, 2, s->rows, ANY_ROWS, s, t, x, x_end);
        break;
    default:
        OF(any_strips)(0, s, t, x, x_end);
    }
#undef CASE
#undef CASES
#undef ALONG
}

static void OF(winners_in_strips)(const strips_t *s, const strips_tile *t)
{
    ptrdiff_t x = t->x, end = s->outer < t->x_end ? s->outer : t->x_end;
    if (x < s->inner || end - x < WIDTH) {
        ptrdiff_t edge = t->x_end - x < WIDTH ? t->x_end : x + WIDTH;
        OF(find_in_strips)(1, s, t, x, edge);
        x = edge;
    }
    if (x < end && (end == t->x_end || t->x_end - x > WIDTH)) {
        ptrdiff_t begin = end - x < WIDTH ? end - WIDTH : x;
        if (begin >= s->inner) {
            OF(find_in_strips)(0, s, t, begin, end);
            x = end;
        }
    }
    if (x < t->x_end) {
        x = t->x_end - x < WIDTH ? t->x_end - WIDTH : x;
        OF(find_in_strips)(1, s, t, x, t->x_end);
    }
}
