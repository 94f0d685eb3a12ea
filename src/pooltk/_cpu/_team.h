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

enum {
    MOST_THREADS = 1024, /* as _threads.py has it */
    LOOKS = 1000         /* for a lock, before sleeping: 15 to 60 us */
};

/* `job` is what all parts have in common; `scratch` is the thread's own. */
typedef void (*part_function)(const void *job, Py_ssize_t index, void *scratch);

static struct {
    PyThread_type_lock busy; /* of the call that has the helpers: another one goes without */
    PyThread_type_lock lock; /* of what follows */
    PyThread_type_lock done; /* is free when the last helper is, if the caller waits for it */
    int started, threads, at_work, open, waiting;
    part_function part;
    const void *job;
    char *scratch;
    size_t scratch_size;
    struct {
        Py_ssize_t begin, end; /* parts that wait for this thread; the first is the caller */
        PyThread_type_lock wake;
        int woken;
    } thread[MOST_THREADS];
} team;

static void take_lock(PyThread_type_lock lock)
{
    for (int look = 0; look < LOOKS; look++) {
        if (PyThread_acquire_lock(lock, NOWAIT_LOCK))
            return;
        pause_a_little();
    }
    PyThread_acquire_lock(lock, WAIT_LOCK);
}

/* Some of the parts that are left, for thread `me`; 0 if there are none. Under the lock. */
static Py_ssize_t claim(int me, Py_ssize_t *first)
{
    int from = me;
    if (team.thread[me].begin == team.thread[me].end) {
        for (int other = 0; other < team.threads; other++)
            if (team.thread[other].end - team.thread[other].begin
                > team.thread[from].end - team.thread[from].begin)
                from = other;
        /* The later half of what another has left. */
        team.thread[me].end = team.thread[from].end;
        team.thread[me].begin = team.thread[from].end
            - (team.thread[from].end - team.thread[from].begin + 1) / 2;
        team.thread[from].end = team.thread[me].begin;
    }
    Py_ssize_t left = team.thread[me].end - team.thread[me].begin, n = (left + 7) / 8;
    *first = team.thread[me].begin;
    team.thread[me].begin += n;
    return n;
}

static void work(int me)
{
    Py_ssize_t first, n;
    char *scratch = team.scratch + me * team.scratch_size;
    while ((n = claim(me, &first))) {
        PyThread_release_lock(team.lock);
        for (Py_ssize_t index = first; index < first + n; index++)
            team.part(team.job, index, scratch);
        take_lock(team.lock);
    }
}

/* Two threads a thread, as a tree: one alone would take too long to wake many. Under the lock. */
static void wake_others(int me)
{
    for (int other = 2 * me + 1; other <= 2 * me + 2 && other < team.threads; other++)
        if (!team.thread[other].woken) {
            team.thread[other].woken = 1;
            PyThread_release_lock(team.thread[other].wake);
        }
}

static void help(void *number)
{
    int me = (int)(Py_ssize_t)number;
    for (;;) {
        take_lock(team.thread[me].wake);
        take_lock(team.lock);
        team.thread[me].woken = 0;
        if (team.open && me < team.threads) {
            wake_others(me);
            team.at_work++;
            work(me);
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
    team.started = 1;
    return team.busy != NULL && team.lock != NULL && team.done != NULL;
}

/* See that there are so many threads; the number there are. */
static int enlarge_team(int threads)
{
    while (team.started < threads) {
        int next = team.started;
        if (team.thread[next].wake == NULL)
            team.thread[next].wake = taken_lock();
        if (team.thread[next].wake == NULL
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
    for (int i = 0; i < threads; i++) {
        team.thread[i].begin = total / threads * i + (i < total % threads ? i : total % threads);
        if (i)
            team.thread[i - 1].end = team.thread[i].begin;
    }
    team.thread[threads - 1].end = total;
    team.open = 1;
    wake_others(0);
    work(0);
    team.open = 0;
    team.waiting = team.at_work > 0;
    int wait = team.waiting;
    PyThread_release_lock(team.lock);
    if (wait)
        take_lock(team.done);
    PyThread_release_lock(team.busy);
}

#endif
