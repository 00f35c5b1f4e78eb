#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int cl_lock_exclusive(int fd) { return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0; }

int cl_syncfs(int fd) { return syncfs(fd) < 0 ? -errno : 0; }

int cl_memfd(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int64_t nanoseconds(struct timespec time) { return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec; }

int cl_stat_at(int dirfd, const char *name, struct cl_stat *out) {
    struct stat found;
    if (fstatat(dirfd, name, &found, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0) return -errno;
    *out = (struct cl_stat){
        .inode = found.st_ino,
        .size = (uint64_t)found.st_size,
        .changed_ns = nanoseconds(found.st_ctim),
        .modified_ns = nanoseconds(found.st_mtim),
        .mode = found.st_mode,
        .uid = found.st_uid,
        .links = (uint32_t)found.st_nlink,
    };
    return 0;
}

void *cl_opendir(int fd) { return fdopendir(fd); }

const char *cl_readdir(void *directory) {
    for (;;) {
        struct dirent *entry = readdir(directory);
        if (!entry) return NULL;
        const char *name = entry->d_name;
        if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
        return name;
    }
}

void cl_closedir(void *directory) { closedir(directory); }
