// Runs a kernel for ThreadSanitizer: each block is a thread of the host, so that __shared__ memory
// is its thread_local memory, and each CUDA thread is a fiber in it that TSan takes for a thread.
//
// TSan reports two accesses that nothing orders, whether or not they came close in time. So the
// fibers may run one after the other, always in the same order, and a report does not come and go.
// What orders them is said here and nowhere else: a switch from fiber to fiber does not, shuffles
// do not, __syncthreads and __syncwarp do. This file itself is compiled without TSan.
//
//     PROGRAM ARGUMENTS RESULTS       the files are those of race_check.py
#include <sanitizer/tsan_interface.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector_types.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

__thread uint3 threadIdx, blockIdx;
uint3 blockDim, gridDim;
void invoke(void** values);   // calls the kernel
namespace shim {
uint64_t exchange(unsigned mask, uint64_t value, unsigned from);
unsigned lane();
}   // namespace shim

namespace {

const size_t kStackSize = 256 << 10;

struct Meeting {   // of a block's threads, or of a warp's
    unsigned live = 0, arrived = 0;
    uint64_t generation = 0;
    char order[2];   // one a generation, in turn: none may be ordered by the next one's arrivals

    void release() {
        arrived = 0;
        ++generation;
    }
    void leave() {   // a thread that returned is not waited for
        if (--live && arrived == live) release();
    }
};
struct Warp : Meeting {
    unsigned lanes = 0;   // those that have not returned
    uint64_t values[32];
};
struct Fiber {
    ucontext_t context;
    void *stack, *tsan;
    uint3 index;
    unsigned lane;
    Warp* warp;
    bool done = false;
};
struct Block : Meeting {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    ucontext_t context;
    void* tsan;
};

thread_local Block* block;
thread_local Fiber* self;
void** values;
char finished;

[[noreturn]] void fail(const char* message) {
    fprintf(stderr, "race_check: %s, block (%u,%u,%u) thread (%u,%u,%u)\n", message, blockIdx.x,
            blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    _exit(3);
}

void switch_to(void* tsan, ucontext_t* from, ucontext_t* to) {
    __tsan_switch_to_fiber(tsan, __tsan_switch_to_fiber_no_sync);
    swapcontext(from, to);
}

void wait(Meeting& meeting, bool ordered) {
    uint64_t mine = meeting.generation;
    char* order = &meeting.order[mine % 2];
    if (ordered) __tsan_release(order);
    if (++meeting.arrived == meeting.live) meeting.release();
    while (meeting.generation == mine) switch_to(block->tsan, &self->context, &block->context);
    if (ordered) __tsan_acquire(order);
}

void wait_for_lanes(unsigned mask, bool ordered) {
    Warp& warp = *self->warp;
    if ((mask & warp.lanes) != warp.lanes) fail("only whole warps can wait");
    wait(warp, ordered);
}

void run_thread() {
    invoke(values);
    __tsan_release(&finished);
    self->warp->lanes &= ~(1u << self->lane);
    self->warp->leave();
    block->leave();
    self->done = true;
    switch_to(block->tsan, &self->context, &block->context);
}

void prepare(Fiber& fiber, unsigned number) {
    fiber.index = {number % blockDim.x, number / blockDim.x % blockDim.y,
                   number / blockDim.x / blockDim.y};
    fiber.lane = number % 32;
    fiber.warp = &block->warps[number / 32];
    fiber.warp->live++;
    fiber.warp->lanes |= 1u << fiber.lane;
    fiber.stack = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fiber.stack == MAP_FAILED) fail("no memory for a stack");
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = kStackSize;
    makecontext(&fiber.context, run_thread, 0);
    char name[64];
    snprintf(name, sizeof name, "block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y,
             blockIdx.z, fiber.index.x, fiber.index.y, fiber.index.z);
    fiber.tsan = __tsan_create_fiber(0);
    __tsan_set_fiber_name(fiber.tsan, name);
}

// One turn for each thread; whether one finished or a meeting came to its end.
bool run_round() {
    bool progress = false;
    for (Fiber& fiber : block->fibers) {
        if (fiber.done) continue;
        uint64_t before = block->generation + fiber.warp->generation;
        self = &fiber;
        threadIdx = fiber.index;
        switch_to(fiber.tsan, &block->context, &fiber.context);
        progress |= fiber.done || before != block->generation + fiber.warp->generation;
    }
    return progress;
}

void run_block(uint3 index, unsigned threads, Block& own) {
    block = &own;
    blockIdx = index;
    own.live = threads;
    own.tsan = __tsan_get_current_fiber();
    own.fibers.resize(threads);
    own.warps.resize((threads + 31) / 32);
    for (unsigned i = 0; i < threads; ++i) prepare(own.fibers[i], i);
    while (own.live)
        if (!run_round()) fail("deadlock");
    for (Fiber& fiber : own.fibers) {
        __tsan_destroy_fiber(fiber.tsan);
        munmap(fiber.stack, kStackSize);
    }
}

int64_t number(FILE* file) {
    int64_t value;
    if (fread(&value, sizeof value, 1, file) != 1) exit(4);
    return value;
}

}   // namespace

void __syncthreads() { wait(*block, true); }
void __syncwarp(unsigned mask) { wait_for_lanes(mask, true); }
uint64_t shim::exchange(unsigned mask, uint64_t value, unsigned from) {
    uint64_t* values = self->warp->values;
    values[self->lane] = value;
    wait_for_lanes(mask, false);
    value = values[from];
    wait_for_lanes(mask, false);
    return value;
}
unsigned shim::lane() { return self->lane; }

int main(int, char** paths) {
    FILE* file = fopen(paths[1], "rb");
    for (uint3* size : {&gridDim, &blockDim}) {
        size->x = number(file);
        size->y = number(file);
        size->z = number(file);
    }
    struct Argument {
        bool is_array;
        size_t size;
        void* data;
    };
    std::vector<Argument> arguments(number(file));
    std::vector<void*> pointers;
    for (Argument& argument : arguments) {
        argument.is_array = number(file);
        argument.size = number(file);
        argument.data = malloc(argument.size);
        if (fread(argument.data, 1, argument.size, file) != argument.size) return 4;
        pointers.push_back(argument.is_array ? (void*)&argument.data : argument.data);
    }
    fclose(file);
    values = pointers.data();
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    // All blocks at once: memory that a later one took over would bring its order along.
    std::vector<Block> blocks(gridDim.x * gridDim.y * gridDim.z);
    std::vector<std::thread> running;
    for (unsigned z = 0; z < gridDim.z; ++z)
        for (unsigned y = 0; y < gridDim.y; ++y)
            for (unsigned x = 0; x < gridDim.x; ++x)
                running.emplace_back(run_block, uint3{x, y, z}, threads,
                                     std::ref(blocks[running.size()]));
    for (std::thread& thread : running) thread.join();
    __tsan_acquire(&finished);
    file = fopen(paths[2], "wb");
    for (Argument& argument : arguments)
        if (argument.is_array) fwrite(argument.data, 1, argument.size, file);
    fclose(file);
}
