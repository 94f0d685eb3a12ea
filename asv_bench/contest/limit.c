/* The limit: read every byte of the input, write every byte of the result, do nothing else.
 *
 * The input is `rows` runs of `row_bytes` bytes, each at its own offset, so a view is read where
 * it lies. A thread owns one share of the input and one of the result and goes through both side
 * by side, a block at a time, as a pooling loop has to. What was read ends in the returned word
 * and what is written comes from an argument, so the compiler can drop neither.
 */
#include <stdint.h>
#include <string.h>

#define BLOCK 8192 /* bytes; from 1 KB to all at once no size is 10 % better than this one */
#define THREADED 131072 /* bytes; of less, one thread is through before a second has begun */

typedef uint64_t vector __attribute__((vector_size(32), aligned(1), may_alias));

/* Four accumulators, as one would wait for the instruction before it and not for the memory. */
static vector read_run(const char *run, int64_t bytes, vector sum)
{
    vector a = sum, b = {0}, c = {0}, d = {0}, rest = {0};
    int64_t i = 0;
    for (; i + 128 <= bytes; i += 128) {
        a ^= *(const vector *)(run + i);
        b ^= *(const vector *)(run + i + 32);
        c ^= *(const vector *)(run + i + 64);
        d ^= *(const vector *)(run + i + 96);
    }
    for (; i + 32 <= bytes; i += 32)
        a ^= *(const vector *)(run + i);
    memcpy(&rest, run + i, bytes - i);
    return a ^ b ^ c ^ d ^ rest;
}

static void write_run(char *run, int64_t bytes, vector pattern)
{
    int64_t i = 0;
    for (; i + 32 <= bytes; i += 32)
        *(vector *)(run + i) = pattern;
    memcpy(run + i, &pattern, bytes - i);
}

/* Where part `index` of `parts` begins. */
static int64_t begin_of(int64_t bytes, int64_t index, int64_t parts)
{
    return index == parts ? bytes : bytes / parts * index / 64 * 64;
}

uint64_t limit(const char *input, const int64_t *offsets, int64_t rows, int64_t row_bytes,
               char *result, int64_t result_bytes, uint64_t word, int threads)
{
    int64_t input_bytes = rows * row_bytes;
    int64_t most = input_bytes > result_bytes ? input_bytes : result_bytes;
    int64_t blocks = most / threads / BLOCK + 1;
    uint64_t seen = 0;

#pragma omp parallel for num_threads(threads) if (most >= THREADED) reduction(^ : seen)
    for (int thread = 0; thread < threads; thread++) {
        vector sum = {0}, pattern = {word, word, word, word};
        int64_t first = thread * blocks, at = begin_of(input_bytes, first, threads * blocks);
        int64_t row = at / row_bytes, column = at % row_bytes;
        for (int64_t block = first; block < first + blocks; block++) {
            int64_t stop = begin_of(input_bytes, block + 1, threads * blocks);
            while (at < stop) {
                int64_t run = row_bytes - column < stop - at ? row_bytes - column : stop - at;
                sum = read_run(input + offsets[row] + column, run, sum);
                at += run;
                column += run;
                if (column == row_bytes) {
                    column = 0;
                    row++;
                }
            }
            int64_t from = begin_of(result_bytes, block, threads * blocks);
            int64_t to = begin_of(result_bytes, block + 1, threads * blocks);
            write_run(result + from, to - from, pattern);
        }
        seen ^= sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
    }
    return seen;
}
