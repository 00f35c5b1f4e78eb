// The wall clock of the programs that this is preloaded into: the machine's, and what CASEMATE_TEST_CLOCK, a file of one
// int64_t of nanoseconds, says at each moment. Monotonic clocks, and times of files, stay what they are.
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

static const int64_t none;
static const volatile int64_t *offset = &none;
// As the environment has them, for the server: it is started without any of this program's variables.
static char clock_entry[4096], preload_entry[4096];

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CASEMATE_TEST_CLOCK"), *preload = getenv("LD_PRELOAD");
    if (!path || !preload) return;
    snprintf(clock_entry, sizeof clock_entry, "CASEMATE_TEST_CLOCK=%s", path);
    snprintf(preload_entry, sizeof preload_entry, "LD_PRELOAD=%s", preload);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *found = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    // A test must not go on with the machine's clock and believe it to be its own.
    if (found == MAP_FAILED) abort();
    offset = found;
    close(file);
}

static void add(struct timespec *time, int64_t more) {
    int64_t all = time->tv_sec * BILLION + time->tv_nsec + more;
    time->tv_sec = all / BILLION;
    time->tv_nsec = all % BILLION;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) add(time, *offset);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

// Waits are the kernel's, by its own clock. What is no time since 1970 is one of the monotonic clock.
static struct timespec really(const struct timespec *until) {
    struct timespec time = *until;
    if (time.tv_sec > BILLION) add(&time, -*offset);
    return time;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!next) next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec time = really(until);
    return next(condition, mutex, &time);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    static int (*next)(sem_t *, const struct timespec *);
    if (!next) next = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec time = really(until);
    return next(semaphore, &time);
}

int execve(const char *path, char *const arguments[], char *const environment[]) {
    size_t count = 0;
    while (environment && environment[count]) count++;
    char **with = alloca((count + 3) * sizeof *with);
    if (count) memcpy(with, environment, count * sizeof *with);
    if (*clock_entry && arguments[0] && arguments[1] && !strcmp(arguments[1], "serve")) {
        with[count++] = clock_entry;
        with[count++] = preload_entry;
    }
    with[count] = NULL;
    return (int)syscall(SYS_execve, path, arguments, with);
}
