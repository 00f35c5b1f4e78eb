#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

// <sys/mount.h> and <linux/mount.h> declare the same names in this glibc; only the latter has the new API.
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#define CL_MNT_DETACH 2

int cl_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
    return mount(source, target, type, flags, data) < 0 ? -errno : 0;
}

int cl_unmount_detach(const char *target) { return umount2(target, CL_MNT_DETACH) < 0 ? -errno : 0; }

int cl_unshare(int flags) { return unshare(flags) < 0 ? -errno : 0; }

int cl_overlay_readonly(const char *name) {
    char lower[256];
    if (snprintf(lower, sizeof lower, "%s:.empty", name) >= (int)sizeof lower) return -ENAMETOOLONG;
    int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (context < 0) return -errno;
    int tree = -1;
    // The kernel shows the option as it was given: a name, no path.
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", "bundle", 0) == 0
        && syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "lowerdir", lower, 0) == 0
        && syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    int failure = errno;
    close(context);
    return tree < 0 ? -failure : tree;
}

int cl_attach_tree(int tree, const char *target) {
    return syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int cl_reconfigure(const char *target, const char *key, const char *value) {
    int context = (int)syscall(SYS_fspick, AT_FDCWD, target, FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT);
    if (context < 0) return -errno;
    int result = 0;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0) < 0
        || syscall(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        result = -errno;
    close(context);
    return result;
}

const char *cl_missing_call(void) {
    static const struct {
        const char *name;
        long number;
    } calls[] = {
        {"open_tree", SYS_open_tree}, {"move_mount", SYS_move_mount}, {"fsopen", SYS_fsopen},   {"fsconfig", SYS_fsconfig},
        {"fsmount", SYS_fsmount},     {"fspick", SYS_fspick},         {"openat2", SYS_openat2}, {"mount_setattr", SYS_mount_setattr},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (cl_call_with_nonsense((int)calls[i].number) == -ENOSYS) return calls[i].name;
    return NULL;
}
