/* The parts of one call, shared among threads.
 *
 * Whoever calls takes parts himself; helpers that are awake take others, and whoever has none left
 * takes them from another. So nobody waits for a helper that comes late, as the end of an OpenMP
 * loop does: on a busy machine for whole time slices (docs/decisions.md). Helpers sleep until they
 * are woken, and before that look out for more, for less than it takes to wake one up.
 *
 * Python's locks are the only ones that are the same on all systems.
 */
#ifndef POOLTK_TEAM_H
#define POOLTK_TEAM_H

#include <Python.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define pause_a_little() _mm_pause()
#elif defined(__aarch64__) && defined(__GNUC__)
#define pause_a_little() __asm__ volatile("yield")
#else
#define pause_a_little()
#endif

#if defined(_WIN32)
#define let_others_run()
#else
#include <sched.h>
#define let_others_run() sched_yield()
#endif

enum {
    MOST_THREADS = 1024, /* as _threads.py has it */
    LOOKS = 1000,        /* for a lock, before sleeping: 15 to 60 us, */
    LOOKS_IN_A_ROW = 16  /* before another thread may have the core: the one that is waited for */
};

/* `job` is what all parts have in common; `scratch` is the thread's own. */
typedef void (*part_function)(const void *job, Py_ssize_t index, void *scratch);

static struct {
    PyThread_type_lock busy; /* of the call that has the helpers: another one goes without */
    PyThread_type_lock lock; /* of `open`, `at_work`, `waiting` and `woken` */
    PyThread_type_lock done; /* is free when the last helper is, if the caller waits for it */
    int started, threads, at_work, open, waiting;
    part_function part;
    const void *job;
    char *scratch;
    size_t scratch_size;
    struct {
        PyThread_type_lock lock; /* of the parts that wait for this thread; the first is the caller */
        Py_ssize_t begin, end;
        PyThread_type_lock wake;
        int woken, asleep;
        unsigned long id;
        int kept_off; /* the core on which it may not be woken, or -1 */
    } thread[MOST_THREADS];
} team;

static int took_lock_awake(PyThread_type_lock lock)
{
    for (int look = 0; look < LOOKS; look++) {
        if (PyThread_acquire_lock(lock, NOWAIT_LOCK))
            return 1;
        if (look % LOOKS_IN_A_ROW == LOOKS_IN_A_ROW - 1)
            let_others_run();
        else
            pause_a_little();
    }
    return 0;
}

static void take_lock(PyThread_type_lock lock)
{
    if (!took_lock_awake(lock))
        PyThread_acquire_lock(lock, WAIT_LOCK);
}

static void set_parts(int thread, Py_ssize_t begin, Py_ssize_t end)
{
    take_lock(team.thread[thread].lock);
    team.thread[thread].begin = begin;
    team.thread[thread].end = end;
    PyThread_release_lock(team.thread[thread].lock);
}

/* How many of the parts that wait for a thread are taken: some of its first ones by itself, the
 * later half by another. */
static Py_ssize_t take_parts(int thread, int by_another, Py_ssize_t *first)
{
    take_lock(team.thread[thread].lock);
    Py_ssize_t left = team.thread[thread].end - team.thread[thread].begin;
    Py_ssize_t n = by_another ? (left + 1) / 2 : (left + 7) / 8;
    if (by_another) {
        *first = team.thread[thread].end -= n;
    } else {
        *first = team.thread[thread].begin;
        team.thread[thread].begin += n;
    }
    PyThread_release_lock(team.thread[thread].lock);
    return n;
}

/* Whether there was something left for another thread, half of which waits for this one now. */
static int found_more(int me)
{
    for (int k = 1; k < team.threads; k++) {
        Py_ssize_t first, n = take_parts((me + k) % team.threads, 1, &first);
        if (n) {
            set_parts(me, first, first + n);
            return 1;
        }
    }
    return 0;
}

static void work(int me)
{
    Py_ssize_t first, n;
    do
        while ((n = take_parts(me, 0, &first)))
            for (Py_ssize_t index = first; index < first + n; index++)
                team.part(team.job, index, team.scratch + me * team.scratch_size);
    while (found_more(me));
}

/* Linux may wake a thread on the core of the one that wakes it though others are idle, if they were
 * not a moment ago; there it waits until that one's time slice ends, for milliseconds
 * (docs/decisions.md). So a thread that sleeps is kept off that core until it runs. */
#if defined(__linux__)
static void keep_off_this_core(int other)
{
    pid_t id = (pid_t)team.thread[other].id;
    int core = sched_getcpu();
    cpu_set_t cores;
    if (core < 0 || sched_getaffinity(id, sizeof cores, &cores) || !CPU_ISSET(core, &cores))
        return;
    CPU_CLR(core, &cores);
    if (CPU_COUNT(&cores) && !sched_setaffinity(id, sizeof cores, &cores))
        team.thread[other].kept_off = core;
}

static void allow_all_cores(int me)
{
    cpu_set_t cores;
    if (team.thread[me].kept_off < 0 || sched_getaffinity(0, sizeof cores, &cores))
        return;
    CPU_SET(team.thread[me].kept_off, &cores);
    sched_setaffinity(0, sizeof cores, &cores);
    team.thread[me].kept_off = -1;
}
#else
#define keep_off_this_core(other)
#define allow_all_cores(me)
#endif

/* Two threads a thread, as a tree: one alone would take too long to wake many. Under the lock. */
static void wake_others(int me)
{
    for (int other = 2 * me + 1; other <= 2 * me + 2 && other < team.threads; other++)
        if (!team.thread[other].woken) {
            team.thread[other].woken = 1;
            if (team.thread[other].asleep)
                keep_off_this_core(other);
            PyThread_release_lock(team.thread[other].wake);
        }
}

static void wait_for_wake(int me)
{
    if (took_lock_awake(team.thread[me].wake))
        return;
    take_lock(team.lock);
    team.thread[me].asleep = 1;
    PyThread_release_lock(team.lock);
    PyThread_acquire_lock(team.thread[me].wake, WAIT_LOCK);
    allow_all_cores(me);
}

static void help(void *number)
{
    int me = (int)(Py_ssize_t)number;
    team.thread[me].id = PyThread_get_thread_native_id();
    for (;;) {
        wait_for_wake(me);
        take_lock(team.lock);
        team.thread[me].woken = team.thread[me].asleep = 0;
        if (team.open && me < team.threads) {
            wake_others(me);
            team.at_work++;
            PyThread_release_lock(team.lock);
            work(me);
            take_lock(team.lock);
            if (--team.at_work == 0 && team.waiting) {
                team.waiting = 0;
                PyThread_release_lock(team.done);
            }
        }
        PyThread_release_lock(team.lock);
    }
}

/* A lock that is taken, or NULL. */
static PyThread_type_lock taken_lock(void)
{
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock != NULL)
        PyThread_acquire_lock(lock, WAIT_LOCK);
    return lock;
}

/* Once, before any call; 0 if there is no memory. */
static int found_team(void)
{
    team.busy = PyThread_allocate_lock();
    team.lock = PyThread_allocate_lock();
    team.done = taken_lock();
    team.thread[0].lock = PyThread_allocate_lock();
    team.started = 1;
    return team.busy && team.lock && team.done && team.thread[0].lock;
}

/* See that there are so many threads; the number there are. */
static int enlarge_team(int threads)
{
    while (team.started < threads) {
        int next = team.started;
        team.thread[next].kept_off = -1;
        if (!team.thread[next].lock)
            team.thread[next].lock = PyThread_allocate_lock();
        if (!team.thread[next].wake)
            team.thread[next].wake = taken_lock();
        if (!team.thread[next].lock || !team.thread[next].wake
            || PyThread_start_new_thread(help, (void *)(Py_ssize_t)next) == (unsigned long)-1)
            return next;
        team.started++;
    }
    return threads;
}

/* part(job, index, scratch) for each index below `total`, by up to so many threads, each of which
 * has its own `scratch_size` bytes of scratch. */
static void share(
    part_function part, const void *job, Py_ssize_t total, char *scratch, size_t scratch_size,
    int threads)
{
    if (threads == 1 || !PyThread_acquire_lock(team.busy, NOWAIT_LOCK)) {
        for (Py_ssize_t index = 0; index < total; index++)
            part(job, index, scratch);
        return;
    }
    threads = enlarge_team(threads < MOST_THREADS ? threads : MOST_THREADS);
    take_lock(team.lock);
    team.part = part;
    team.job = job;
    team.scratch = scratch;
    team.scratch_size = scratch_size;
    team.threads = threads;
    Py_ssize_t begin = 0;
    for (int i = 0; i < threads; i++) {
        Py_ssize_t end = begin + total / threads + (i < total % threads);
        set_parts(i, begin, end);
        begin = end;
    }
    team.open = 1;
    wake_others(0);
    PyThread_release_lock(team.lock);
    work(0);
    take_lock(team.lock);
    team.open = 0;
    team.waiting = team.at_work > 0;
    int wait = team.waiting;
    PyThread_release_lock(team.lock);
    if (wait)
        take_lock(team.done);
    PyThread_release_lock(team.busy);
}

#endif
