/* Maxima of float32 and where they are, for windows of few rows and columns.
 *
 * First the winner of each window's columns in one row is found, once for all windows that share
 * the row, then those of a window's rows meet in order. So taps meet in row-major order, and the
 * first of equals stays without a look at where it came from. Places in the plane are int32 until
 * they are stored.
 */
#ifndef POOLTK_SMALL_WINNERS_H
#define POOLTK_SMALL_WINNERS_H

#include "_rows.h"

/* A tap wins over an earlier one if it is greater, or the first NaN. */
static ALWAYS_INLINE int tap_wins(float tap, float winner)
{
    return !(winner >= tap) && winner == winner;
}

/* Columns `first` to `last` of a row, one channel. */
static void winner_of_columns(
    const float *row, int32_t place, ptrdiff_t first, ptrdiff_t last, float *value, int32_t *index)
{
    *value = row[first];
    *index = place + (int32_t)first;
    for (ptrdiff_t column = first + 1; column < last; column++)
        if (tap_wins(row[column], *value)) {
            *value = row[column];
            *index = place + (int32_t)column;
        }
}

#if defined(KEYS_float)
#define WINNERS_OF_PIXELS 1
#if defined(__AVX2__)
#define plus_keys _mm256_add_epi32
#define ascending_keys(step) \
    _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(step))
#define sorted_keys(k) _mm256_permute4x64_epi64(k, 0xD8)
static ALWAYS_INLINE void store_indices(int64_t *dst, __m256i keys)
{
    __m128i low = _mm256_castsi256_si128(keys), high = _mm256_extracti128_si256(keys, 1);
    _mm256_storeu_si256((__m256i *)dst, _mm256_cvtepi32_epi64(low));
    _mm256_storeu_si256((__m256i *)(dst + 4), _mm256_cvtepi32_epi64(high));
}
#else
#define plus_keys _mm_add_epi32
#define ascending_keys(step) _mm_setr_epi32(0, step, 2 * (step), 3 * (step))
#define sorted_keys(k) (k)
static ALWAYS_INLINE void store_indices(int64_t *dst, __m128i keys)
{
    _mm_storeu_si128((__m128i *)dst, _mm_unpacklo_epi32(keys, _mm_setzero_si128()));
    _mm_storeu_si128((__m128i *)(dst + 2), _mm_unpackhi_epi32(keys, _mm_setzero_si128()));
}
#endif

typedef struct {
    VECTOR_float value;
    KEYS_float place;
} winners_t;

static ALWAYS_INLINE winners_t challenged(winners_t winners, VECTOR_float tap, KEYS_float place)
{
    VECTOR_float wins = beats_float(tap, winners.value);
    winners.value = choose_float(wins, tap, winners.value);
    winners.place = choose_keys_float(wins, place, winners.place);
    return winners;
}

/* n windows inside a row; the first begins at its first column, which has this place. */
static ALWAYS_INLINE void winners_inside(
    int columns, int stride, const float *row, int32_t place, float *values, int32_t *places,
    ptrdiff_t n)
{
    KEYS_float ascending = ascending_keys(stride);
    for (ptrdiff_t j = 0;; j += WIDTH_float) {
        winners_t winners;
        const float *at;
        int32_t first;
        j = j > n - WIDTH_float ? n - WIDTH_float : j;
        at = row + stride * j;
        first = place + stride * (int32_t)j;
        if (stride == 1) {
            winners.value = load_float(at);
            winners.place = plus_keys(ascending, all_keys_float(first));
            for (int column = 1; column < columns; column++)
                winners = challenged(winners, load_float(at + column),
                                     plus_keys(ascending, all_keys_float(first + column)));
        } else { /* places from the first column of each window, in the order of `even` and `odd` */
            VECTOR_float a = load_float(at), b = load_float(at + WIDTH_float);
            winners.value = even_float(a, b);
            winners.place = all_keys_float(first);
            winners = challenged(winners, odd_float(a, b), all_keys_float(first + 1));
            if (columns == 3)
                /* not `even` from column 2 on, which would read a column too many */
                winners = challenged(
                    winners, odd_float(load_float(at + 1), load_float(at + 1 + WIDTH_float)),
                    all_keys_float(first + 2));
            winners.value = sorted_float(winners.value);
            winners.place = plus_keys(sorted_keys(winners.place), ascending);
        }
        store_float(values + j, winners.value);
        store_keys_float(places + j, winners.place);
        if (j == n - WIDTH_float)
            return;
    }
}

/* Columns `first` to `last` of a row, all n channels. */
static ALWAYS_INLINE void winners_of_pixel(
    const float *row, int32_t place, ptrdiff_t first, ptrdiff_t last, float *values,
    int32_t *places, ptrdiff_t n)
{
    for (ptrdiff_t c = 0;; c += WIDTH_float) {
        winners_t winners;
        c = c > n - WIDTH_float ? n - WIDTH_float : c;
        winners.value = load_float(row + first * n + c);
        winners.place = all_keys_float(place + (int32_t)first);
        for (ptrdiff_t column = first + 1; column < last; column++)
            winners = challenged(winners, load_float(row + column * n + c),
                                 all_keys_float(place + (int32_t)column));
        store_float(values + c, winners.value);
        store_keys_float(places + c, winners.place);
        if (c == n - WIDTH_float)
            return;
    }
}
#else
#define WINNERS_OF_PIXELS 0
#endif

/* For each output the winner of its window's columns in one row, whose first has this place. */
static void winners_of_row(const small_windows *w, const float *row, int32_t place, float *values,
                           int32_t *places)
{
    int stride = w->stride, columns = w->columns;
    ptrdiff_t inner = w->first_column < 0 ? (stride - 1 - w->first_column) / stride : 0;
    ptrdiff_t outer = (w->columns_inside - columns - w->first_column) / stride + 1;
    ptrdiff_t x, n, start;
    inner = inner < w->outputs ? inner : w->outputs;
    outer = outer > w->outputs ? w->outputs : outer < inner ? inner : outer;
    n = outer - inner;
    start = w->first_column + inner * stride;
    for (x = 0; x < w->outputs; x++) {
        ptrdiff_t first = w->first_column + x * stride, last = first + columns;
        first = first < 0 ? 0 : first;
        last = last > w->columns_inside ? w->columns_inside : last;
#if defined(KEYS_float)
        if (w->channels > 1) {
            winners_of_pixel(row, place, first, last, values + x * w->channels,
                             places + x * w->channels, w->channels);
            continue;
        }
        if (x == inner && n >= WIDTH_float) {
            const float *at = row + start;
            int32_t from = place + (int32_t)start;
            if (stride == 2 && columns == 2)
                winners_inside(2, 2, at, from, values + x, places + x, n);
            else if (stride == 2)
                winners_inside(3, 2, at, from, values + x, places + x, n);
            else if (columns == 3)
                winners_inside(3, 1, at, from, values + x, places + x, n);
            else
                winners_inside(columns, 1, at, from, values + x, places + x, n);
            x = outer - 1;
            continue;
        }
#endif
        winner_of_columns(row, place, first, last, values + x, places + x);
    }
}

/* Of n outputs the winner of their windows' rows, each of which has its winners. */
static void winners_of_rows(
    int rows, const float *const *row, const int32_t *const *row_places, float *values,
    int64_t *indices, ptrdiff_t n)
{
    ptrdiff_t j = 0;
#if defined(KEYS_float)
    for (; j + WIDTH_float <= n; j += WIDTH_float) {
        winners_t winners = {load_float(row[0] + j), load_keys_float(row_places[0] + j)};
        for (int k = 1; k < rows; k++)
            winners = challenged(winners, load_float(row[k] + j), load_keys_float(row_places[k] + j));
        store_float(values + j, winners.value);
        store_indices(indices + j, winners.place);
    }
#endif
    for (; j < n; j++) {
        values[j] = row[0][j];
        indices[j] = row_places[0][j];
        for (int k = 1; k < rows; k++)
            if (tap_wins(row[k][j], values[j])) {
                values[j] = row[k][j];
                indices[j] = row_places[k][j];
            }
    }
}

#endif
