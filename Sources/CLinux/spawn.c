#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void reset_signals(void) {
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// Only async-signal-safe calls: other threads of the parent may hold any lock.
static _Noreturn void child(const char *path, char *const argv[], char *const envp[], const int *descriptors, size_t count,
                            int new_session, int die_with_parent, int report) {
    int failure = 0;
    int moved[16];
    reset_signals();
    if (new_session) setsid();
    if (die_with_parent) prctl(PR_SET_PDEATHSIG, SIGKILL);
    // First out of the way of the final numbers, so that no source is overwritten before it was copied.
    for (size_t i = 0; i < count; i++) {
        moved[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 64);
        if (moved[i] < 0) goto failed;
    }
    report = fcntl(report, F_DUPFD_CLOEXEC, 96);
    for (size_t i = 0; i < count; i++)
        if (dup2(moved[i], (int)i) < 0) goto failed;
    syscall(SYS_close_range, (unsigned)count, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(path, argv, envp);
failed:
    failure = errno;
    if (write(report, &failure, sizeof failure) < 0) _exit(126);
    _exit(127);
}

int cl_spawn(const char *path, char *const argv[], char *const envp[], const int *descriptors, size_t count, int new_session,
             int die_with_parent, pid_t *pid) {
    int report[2];
    if (count > 16) return -EINVAL;
    if (pipe2(report, O_CLOEXEC) < 0) return -errno;
    pid_t made = fork();
    if (made < 0) {
        int failure = errno;
        close(report[0]);
        close(report[1]);
        return -failure;
    }
    if (made == 0) child(path, argv, envp, descriptors, count, new_session, die_with_parent, report[1]);
    close(report[1]);
    int failure = 0;
    ssize_t got;
    do got = read(report[0], &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got == sizeof failure) {
        waitpid(made, NULL, 0);
        return -failure;
    }
    *pid = made;
    return 0;
}

int cl_fork_worker(int *pidfd) {
    struct clone_args arguments = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    long made = syscall(SYS_clone3, &arguments, sizeof arguments);
    return made < 0 ? -errno : (int)made;
}

int cl_exec(const char *path, char *const argv[], char *const envp[]) {
    execve(path, argv, envp);
    return -errno;
}

int cl_wait_pid(pid_t pid, int options, int *status) {
    pid_t got;
    do got = waitpid(pid, status, options);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

int cl_limit_file_size(pid_t pid, uint64_t bytes) {
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
    return prlimit(pid, RLIMIT_FSIZE, &limit, NULL) < 0 ? -errno : 0;
}

int cl_pidfd_open(pid_t pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int cl_pidfd_kill(int pidfd, int number) {
    return syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0 ? -errno : 0;
}
