/*
 * The load: mostly idle processes in cgroups named as docker names its containers.
 *
 *   load fill PROCESSES CGROUPS BUSY_PERCENT SEED (BASE HOME)...
 *   load bound COMMAND [ARGUMENT]...
 *
 * `fill` makes CGROUPS directories below each BASE and spreads PROCESSES over them. HOME is the cgroup of the same
 * hierarchy that this program started in and goes back to; `-` makes the directories there but moves nobody.
 * BUSY_PERCENT of the processes wake once a second and burn a millisecond. Prints `ready` once all is there; at
 * the end of its input, or at SIGTERM, SIGINT or SIGHUP, it ends its processes and removes its cgroups.
 *
 * `bound` becomes COMMAND, which gets SIGTERM when its parent dies.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HIERARCHIES 4
#define BURN_NS 1000000
#define REMOVE_TRIES 200

struct hierarchy {
    const char *base;
    const char *home;
    int made_base;
};

static struct hierarchy hierarchies[HIERARCHIES];
static int hierarchy_count;
static uint64_t seed;
static long cgroups_made;
static pid_t *pids;
static long pid_count;
static volatile sig_atomic_t told_to_stop;
static sigset_t mask_outside;

static void stop(int signal_number)
{
    (void)signal_number;
    told_to_stop = 1;
}

static void complain(const char *what, const char *path)
{
    fprintf(stderr, "load: %s %s: %s\n", what, path, strerror(errno));
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void cgroup_path(char *path, const char *base, long index)
{
    uint64_t part = mix(seed ^ (uint64_t)index << 3);
    int length = snprintf(path, PATH_MAX, "%s/", base);
    for (int i = 0; i < 4; i++, part = mix(part))
        length += snprintf(path + length, (size_t)(PATH_MAX - length), "%016llx", (unsigned long long)part);
}

/* Moves the calling process; what it forks from then on is born there, which spares a move per process. */
static int enter(const char *cgroup)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int ok = fd >= 0 && write(fd, "0", 1) == 1;
    if (!ok)
        complain("cannot enter", cgroup);
    if (fd >= 0)
        close(fd);
    return ok;
}

static void go_home(void)
{
    for (int h = 0; h < hierarchy_count; h++)
        if (strcmp(hierarchies[h].home, "-") != 0)
            enter(hierarchies[h].home);
}

static int make_bases(void)
{
    for (int h = 0; h < hierarchy_count; h++) {
        if (mkdir(hierarchies[h].base, 0755) == 0) {
            hierarchies[h].made_base = 1;
        } else if (errno != EEXIST) {
            complain("cannot make", hierarchies[h].base);
            return 0;
        }
        /* On v2 this gives the containers a memory.current, where the parent allows it; v1 has no such file. */
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/cgroup.subtree_control", hierarchies[h].base);
        int fd = hierarchies[h].made_base ? open(path, O_WRONLY | O_CLOEXEC) : -1;
        if (fd >= 0) {
            if (write(fd, "+memory", 7) != 7)
                fprintf(stderr, "load: no memory controller for %s\n", hierarchies[h].base);
            close(fd);
        }
    }
    return 1;
}

static int make_cgroup(long index)
{
    char path[PATH_MAX];
    cgroups_made = index + 1;
    for (int h = 0; h < hierarchy_count; h++) {
        cgroup_path(path, hierarchies[h].base, index);
        if (mkdir(path, 0755) != 0) {
            complain("cannot make", path);
            return 0;
        }
        if (strcmp(hierarchies[h].home, "-") != 0 && !enter(path))
            return 0;
    }
    return 1;
}

static void burn(void)
{
    struct timespec start, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < BURN_NS);
}

static _Noreturn void be_idle(pid_t parent, int busy, long index)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    prctl(PR_SET_NAME, busy ? "load-busy" : "load-idle");
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &mask_outside, NULL);
    if (!busy)
        for (;;)
            pause();
    /* Spread over the second, so that the wakers do not all stand in the queue at once. */
    struct timespec first = {0, index % 997 * 1000000}, second = {1, 0};
    for (nanosleep(&first, NULL);; nanosleep(&second, NULL))
        burn();
}

static int should_stop(int wait_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000L};
    char byte;
    int ready = ppoll(&input, 1, wait_ms < 0 ? NULL : &wait, &mask_outside);
    return told_to_stop || (ready > 0 && read(STDIN_FILENO, &byte, 1) <= 0);
}

static int fill(long processes, long cgroups, long busy_percent)
{
    pid_t self = getpid();
    for (long g = 0; g < cgroups; g++) {
        if (should_stop(0) || !make_cgroup(g))
            return 0;
        for (long until = processes * (g + 1) / cgroups; pid_count < until; pid_count++) {
            int busy = mix((uint64_t)pid_count) % 100 < (uint64_t)busy_percent;
            pid_t pid = fork();
            if (pid == 0)
                be_idle(self, busy, pid_count);
            if (pid < 0) {
                fprintf(stderr, "load: fork after %ld processes: %s (kernel.pid_max, kernel.threads-max, "
                                "pids.max or memory)\n", pid_count, strerror(errno));
                return 0;
            }
            pids[pid_count] = pid;
        }
    }
    return 1;
}

/* A cgroup may stay busy for a moment after its last process was waited for. */
static int remove_cgroup(const char *path)
{
    struct timespec moment = {0, 10000000};
    for (int i = 0; i < REMOVE_TRIES; i++, nanosleep(&moment, NULL))
        if (rmdir(path) == 0 || errno == ENOENT)
            return 1;
        else if (errno != EBUSY)
            break;
    complain("cannot remove", path);
    return 0;
}

static int clean_up(void)
{
    int clean = 1;
    char path[PATH_MAX];
    for (long i = 0; i < pid_count; i++)
        kill(pids[i], SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    for (int h = 0; h < hierarchy_count; h++) {
        for (long g = 0; g < cgroups_made; g++) {
            cgroup_path(path, hierarchies[h].base, g);
            clean &= remove_cgroup(path);
        }
        if (hierarchies[h].made_base)
            clean &= remove_cgroup(hierarchies[h].base);
    }
    return clean;
}

static int run_fill(int argc, char **argv)
{
    long processes = strtol(argv[2], NULL, 10), cgroups = strtol(argv[3], NULL, 10);
    seed = strtoull(argv[5], NULL, 10);
    for (int i = 6; i + 1 < argc && hierarchy_count < HIERARCHIES; i += 2)
        hierarchies[hierarchy_count++] = (struct hierarchy){argv[i], argv[i + 1], 0};
    pids = calloc((size_t)processes + 1, sizeof *pids);
    if (!pids)
        return 1;

    struct sigaction action = {.sa_handler = stop};
    sigset_t stopping;
    sigemptyset(&stopping);
    int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], &action, NULL);
        sigaddset(&stopping, signals[i]);
    }
    sigprocmask(SIG_BLOCK, &stopping, &mask_outside);
    /* The reader may be gone first; that must not keep the cgroups from being removed. */
    signal(SIGPIPE, SIG_IGN);

    int filled = make_bases() && fill(processes, cgroups, strtol(argv[4], NULL, 10));
    go_home();
    if (filled) {
        printf("ready\n");
        fflush(stdout);
        while (!should_stop(-1))
            ;
    }
    return clean_up() && filled ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc >= 8 && argc % 2 == 0 && strcmp(argv[1], "fill") == 0)
        return run_fill(argc, argv);
    if (argc >= 3 && strcmp(argv[1], "bound") == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execvp(argv[2], argv + 2);
        complain("cannot run", argv[2]);
        return 127;
    }
    fprintf(stderr, "usage: load fill PROCESSES CGROUPS BUSY_PERCENT SEED (BASE HOME)...\n"
                    "       load bound COMMAND [ARGUMENT]...\n");
    return 2;
}
