/*
 * How long it takes to learn which of many connections have something to read: select, poll, epoll and io_uring with ten active connections among
 * some that are idle. Prints one JSON object per line.
 *
 *   cc -O2 -o readiness measures/readiness.c && ./readiness > measures/figures/readiness.json
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ACTIVE = 10, MOST = 10000 + ACTIVE, BATCH = 5000, LIMIT = 20000, BITS = 8 * sizeof(long) };

static const int idle[] = {10, 30, 100, 300, 1000, 3000, 10000};
enum { STEPS = sizeof idle / sizeof *idle };

static int near_end[MOST], far_end[MOST];
static int count;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The active connections are spread among the idle ones. */
static int active(int i) { return (int)((long)i * count / ACTIVE); }

/* What is ready is read; one less to wait for. */
static int take(int i) {
    char byte;
    return read(near_end[i], &byte, 1) == 1;
}

/* --- select: the sets of the C library end at 1024, the kernel's do not. */
static unsigned long *wanted, *found;
static int highest;

static void select_start(void) {
    wanted = calloc(LIMIT / BITS + 1, sizeof(long));
    found = calloc(LIMIT / BITS + 1, sizeof(long));
    highest = 0;
    for (int i = 0; i < count; i++) {
        wanted[near_end[i] / BITS] |= 1ul << near_end[i] % BITS;
        highest = near_end[i] > highest ? near_end[i] : highest;
    }
}

static int select_wait(void) {
    int taken = 0;
    memcpy(found, wanted, (highest / BITS + 1) * sizeof(long));
    if (syscall(SYS_pselect6, highest + 1, found, NULL, NULL, NULL, NULL) < 0)
        fail("select");
    for (int i = 0; i < count; i++)
        if (found[near_end[i] / BITS] & 1ul << near_end[i] % BITS)
            taken += take(i);
    return taken;
}

static void select_stop(void) {
    free(wanted);
    free(found);
}

/* --- poll */
static struct pollfd *list;

static void poll_start(void) {
    list = calloc(count, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = (struct pollfd){.fd = near_end[i], .events = POLLIN};
}

static int poll_wait(void) {
    int taken = 0;
    if (poll(list, count, -1) < 0)
        fail("poll");
    for (int i = 0; i < count; i++)
        if (list[i].revents)
            taken += take(i);
    return taken;
}

static void poll_stop(void) { free(list); }

/* --- epoll, edge-triggered as in a server */
static int set;

static void epoll_start(void) {
    set = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = i};
        if (epoll_ctl(set, EPOLL_CTL_ADD, near_end[i], &event))
            fail("epoll_ctl");
    }
}

static int epoll_wait_all(void) {
    struct epoll_event events[64];
    int taken = 0, ready = epoll_wait(set, events, 64, -1);
    if (ready < 0)
        fail("epoll_wait");
    for (int i = 0; i < ready; i++)
        taken += take(events[i].data.u32);
    return taken;
}

static void epoll_stop(void) { close(set); }

/* --- io_uring: one poll request that stays, for each connection */
static int ring;
static struct io_uring_params params;
static char *submission, *completion;
static struct io_uring_sqe *entries;
static size_t submission_size, completion_size, entries_size;

#define WORD(base, offset) ((unsigned *)((base) + (offset)))

static int uring_start_ok(void) {
    memset(&params, 0, sizeof params);
    params.flags = IORING_SETUP_CQSIZE;
    params.cq_entries = 32768;
    ring = syscall(SYS_io_uring_setup, 4096, &params);
    return ring >= 0;
}

static void uring_push(int i) {
    unsigned tail = *WORD(submission, params.sq_off.tail), slot = tail & *WORD(submission, params.sq_off.ring_mask);
    entries[slot] = (struct io_uring_sqe){.opcode = IORING_OP_POLL_ADD, .fd = near_end[i], .len = IORING_POLL_ADD_MULTI, .user_data = i};
    entries[slot].poll32_events = POLLIN;
    WORD(submission, params.sq_off.array)[slot] = slot;
    __atomic_store_n(WORD(submission, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
}

static void uring_enter(unsigned submit, unsigned wait) {
    while (syscall(SYS_io_uring_enter, ring, submit, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL, 0) < 0)
        if (errno != EINTR)
            fail("io_uring_enter");
}

static void uring_start(void) {
    submission_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    completion_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    entries_size = params.sq_entries * sizeof(struct io_uring_sqe);
    submission = mmap(NULL, submission_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    completion = mmap(NULL, completion_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
    entries = mmap(NULL, entries_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    if (submission == MAP_FAILED || completion == MAP_FAILED || entries == MAP_FAILED)
        fail("mmap");
    for (int i = 0; i < count;) {
        unsigned batch = 0;
        for (; i < count && batch < 1024; i++, batch++)
            uring_push(i);
        uring_enter(batch, 0);
    }
}

static int uring_wait(void) {
    unsigned *head = WORD(completion, params.cq_off.head), mask = *WORD(completion, params.cq_off.ring_mask);
    int taken = 0, again = 0;
    if (*head == __atomic_load_n(WORD(completion, params.cq_off.tail), __ATOMIC_ACQUIRE))
        uring_enter(0, 1);
    unsigned tail = __atomic_load_n(WORD(completion, params.cq_off.tail), __ATOMIC_ACQUIRE), at = *head;
    for (; at != tail; at++) {
        struct io_uring_cqe *done = (struct io_uring_cqe *)(completion + params.cq_off.cqes) + (at & mask);
        if (done->res < 0) {
            errno = -done->res;
            fail("poll request");
        }
        taken += take(done->user_data);
        if (!(done->flags & IORING_CQE_F_MORE)) {
            uring_push(done->user_data);
            again++;
        }
    }
    __atomic_store_n(head, at, __ATOMIC_RELEASE);
    if (again)
        uring_enter(again, 0);
    return taken;
}

static void uring_stop(void) {
    munmap(submission, submission_size);
    munmap(completion, completion_size);
    munmap(entries, entries_size);
    close(ring);
}

/* --- */
static const struct method {
    const char *name;
    void (*start)(void);
    int (*wait)(void);
    void (*stop)(void);
} methods[] = {
    {"select", select_start, select_wait, select_stop},
    {"poll", poll_start, poll_wait, poll_stop},
    {"epoll", epoll_start, epoll_wait_all, epoll_stop},
    {"io_uring", uring_start, uring_wait, uring_stop},
};

/* Seconds for a round: ten connections get a byte, and all ten are read. */
static double round_time(const struct method *method) {
    double start = now();
    for (int i = 0; i < ACTIVE; i++)
        if (write(far_end[active(i)], "x", 1) != 1)
            fail("write");
    for (int left = ACTIVE; left > 0;)
        left -= method->wait();
    return now() - start;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether this process writes to a connection at some step. */
static int is_ever_active(int i) {
    for (int n = 0; n < STEPS; n++)
        for (int k = 0; k < ACTIVE; k++)
            if ((long)k * (idle[n] + ACTIVE) / ACTIVE == i)
                return 1;
    return 0;
}

/* A process that holds the clients' ends: one process has too few descriptors for both ends of all. */
static void hold(void) {
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            sleep(1);
        _exit(0);
    }
}

static void connect_all(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < LIMIT ? limit.rlim_max : LIMIT;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        fail("setrlimit");
    for (int from = 0; from < MOST; from += BATCH) {
        int to = from + BATCH < MOST ? from + BATCH : MOST;
        for (int i = from; i < to; i++) {
            int pair[2];
            if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
                fail("socketpair");
            near_end[i] = pair[0];
            far_end[i] = pair[1];
        }
        hold();
        for (int i = from; i < to; i++)
            if (!is_ever_active(i))
                close(far_end[i]);
    }
}

int main(void) {
    enum { ROUNDS = 1001 };
    static double times[ROUNDS];
    connect_all();
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++)
        for (int n = 0; n < STEPS; n++) {
            const struct method *method = &methods[m];
            count = idle[n] + ACTIVE;
            if (method->start == uring_start && !uring_start_ok()) {
                fprintf(stderr, "io_uring is not allowed here: %s\n", strerror(errno));
                return 0;
            }
            method->start();
            for (int i = 0; i < ROUNDS; i++)
                times[i] = round_time(method);
            method->stop();
            qsort(times, ROUNDS, sizeof *times, compare);
            printf("{\"method\": \"%s\", \"idle\": %d, \"us\": %.3f}\n", method->name, idle[n], times[ROUNDS / 2] * 1e6 / ACTIVE);
            fflush(stdout);
        }
    return 0;
}
