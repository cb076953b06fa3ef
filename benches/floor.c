/*
 * The floor: the least system calls that tell the CPU time of every process and cgroup of a node. wattprint's
 * cost per tick is stated as a multiple of this program's.
 *
 *   floor TICKS INTERVAL_MS ROOT FILE
 *
 * ROOT is the mount point of the CPU-accounting cgroup hierarchy, FILE the name of its usage file (cpu.stat on
 * cgroup v2, cpuacct.usage on v1). A tick lists the pids of /proc with getdents64, reads each one's CPU clock,
 * and reads every usage file through a descriptor opened before the first tick. INTERVAL_MS 0 runs the ticks
 * back to back. Prints one JSON object; setting up and one first tick are not counted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct dirent64_raw {
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

struct facts {
    size_t pids;
    size_t cgroups;
    uint64_t process_ns;
    uint64_t cgroup_units;
};

static const char *usage_file;
static int *usage_fds;
static size_t usage_count, usage_room;

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int keep_usage_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    if (type != FTW_F || strcmp(path + ftw->base, usage_file) != 0)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT)
            return 0;
        die(path);
    }
    if (usage_count == usage_room) {
        usage_room = usage_room ? usage_room * 2 : 64;
        usage_fds = realloc(usage_fds, usage_room * sizeof *usage_fds);
        if (!usage_fds)
            die("realloc");
    }
    usage_fds[usage_count++] = fd;
    return 0;
}

static void read_processes(int proc, struct facts *facts)
{
    static char names[32768] __attribute__((aligned(8)));
    if (lseek(proc, 0, SEEK_SET) < 0)
        die("lseek /proc");
    for (;;) {
        long got = syscall(SYS_getdents64, proc, names, sizeof names);
        if (got < 0)
            die("getdents64 /proc");
        if (got == 0)
            return;
        for (long at = 0; at < got;) {
            struct dirent64_raw *entry = (struct dirent64_raw *)(names + at);
            at += entry->d_reclen;
            if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
                continue;
            int pid = 0;
            for (const char *c = entry->d_name; *c; c++)
                pid = pid * 10 + (*c - '0');
            /* The clock of a process by its pid, as clock_getcpuclockid(3) makes it: 2 is CPUCLOCK_SCHED. */
            struct timespec used;
            if (clock_gettime((clockid_t)((~(unsigned)pid << 3) | 2), &used) != 0)
                continue;
            facts->pids++;
            facts->process_ns += (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
        }
    }
}

static void read_cgroups(struct facts *facts)
{
    char text[1024];
    for (size_t i = 0; i < usage_count; i++) {
        ssize_t got = pread(usage_fds[i], text, sizeof text - 1, 0);
        if (got <= 0)
            continue; /* the cgroup is gone */
        text[got] = '\0';
        /* cpuacct.usage is one number; the first number of cpu.stat is usage_usec. */
        facts->cgroup_units += strtoull(text + strcspn(text, "0123456789"), NULL, 10);
        facts->cgroups++;
    }
}

static struct facts tick(int proc)
{
    struct facts facts = {0};
    read_processes(proc, &facts);
    read_cgroups(&facts);
    return facts;
}

static double own_cpu_seconds(void)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) != 0)
        die("getrusage");
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
        + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: floor TICKS INTERVAL_MS ROOT FILE\n");
        return 2;
    }
    long ticks = strtol(argv[1], NULL, 10);
    long interval_ms = strtol(argv[2], NULL, 10);
    usage_file = argv[4];
    if (ticks < 1 || interval_ms < 0) {
        fprintf(stderr, "floor: TICKS must be at least 1 and INTERVAL_MS at least 0\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (nftw(argv[3], keep_usage_file, 32, FTW_PHYS) != 0)
        die(argv[3]);
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        die("/proc");

    struct facts facts = tick(proc);
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    double before = own_cpu_seconds();
    for (long i = 0; i < ticks; i++) {
        if (interval_ms > 0) {
            next.tv_sec += interval_ms / 1000;
            next.tv_nsec += interval_ms % 1000 * 1000000;
            if (next.tv_nsec >= 1000000000) {
                next.tv_sec++;
                next.tv_nsec -= 1000000000;
            }
            while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
                ;
        }
        facts = tick(proc);
    }
    double spent = own_cpu_seconds() - before;
    printf("{\"pids\":%zu,\"cgroups\":%zu,\"process_ns\":%llu,\"cgroup_units\":%llu,\"cpu_ms_per_tick\":%.6f}\n",
           facts.pids, facts.cgroups, (unsigned long long)facts.process_ns,
           (unsigned long long)facts.cgroup_units, spent * 1e3 / (double)ticks);
    return 0;
}
