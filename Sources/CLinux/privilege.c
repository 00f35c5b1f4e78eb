#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int cl_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0; }

int cl_not_dumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0; }

int cl_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0; }

static int set_capabilities(uint64_t keep) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    memset(data, 0, sizeof data);
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(keep >> (32 * half));
        data[half].permitted = data[half].effective;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int cl_keep_capabilities(uint64_t keep) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[2];
    if (syscall(SYS_capget, &header, now) < 0) return -errno;
    return set_capabilities(keep & ((uint64_t)now[1].permitted << 32 | now[0].permitted));
}

int cl_limit_capabilities(uint64_t keep) {
    for (int capability = 0; capability <= 63; capability++) {
        if (keep & (UINT64_C(1) << capability)) continue;
        // The host may not have the capability at all; then there is nothing to drop.
        if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return -errno;
    }
    return cl_keep_capabilities(keep);
}

int cl_call_with_nonsense(int number) { return syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) < 0 ? -errno : 0; }

int cl_become(uid_t uid, gid_t gid) {
    if (uid == 0 || gid == 0) return -EINVAL;
    int result = cl_limit_capabilities(UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID);
    if (result < 0) return result;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) return -errno;
    result = set_capabilities(0);
    if (result < 0) return result;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return -errno;
    result = cl_no_new_privileges();
    if (result < 0) return result;
    return setuid(0) == 0 || setgid(0) == 0 || getuid() != uid || geteuid() != uid ? -EPERM : 0;
}
