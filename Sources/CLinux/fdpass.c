#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 64

int cl_socketpair_stream(int pair[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0; }

int cl_pipe(int pair[2]) { return pipe2(pair, O_CLOEXEC) < 0 ? -errno : 0; }

static int address(const char *path, struct sockaddr_un *out) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof out->sun_path) return -ENAMETOOLONG;
    strcpy(out->sun_path, path);
    return 0;
}

static int listen_at(const char *path, int type, mode_t mode) {
    struct sockaddr_un name;
    int result = address(path, &name);
    if (result < 0) return result;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || chmod(path, mode) < 0 || listen(fd, 16) < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

int cl_seqpacket_listen(const char *path, mode_t mode) { return listen_at(path, SOCK_SEQPACKET, mode); }

int cl_stream_listen(const char *path, mode_t mode) { return listen_at(path, SOCK_STREAM, mode); }

int cl_seqpacket_connect(const char *path) {
    struct sockaddr_un name;
    int result = address(path, &name);
    if (result < 0) return result;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

int cl_accept(int listener, uid_t *peer_uid) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        int failure = errno;
        close(fd);
        return -failure;
    }
    *peer_uid = peer.uid;
    return fd;
}

int cl_send(int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count, int dont_wait) {
    union {
        char space[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor_count > MOST_DESCRIPTORS) return -EINVAL;
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL | (dont_wait ? MSG_DONTWAIT : 0));
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : (int)sent;
}

int cl_unread(int socket) {
    int count = 0;
    return ioctl(socket, SIOCOUTQ, &count) < 0 ? -errno : count;
}

int cl_receive(int socket, void *bytes, size_t capacity, int *descriptors, size_t *descriptor_count, int dont_wait) {
    union {
        char space[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    size_t room = *descriptor_count, kept = 0;
    int overflow = 0;
    *descriptor_count = 0;
    ssize_t got;
    do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (dont_wait ? MSG_DONTWAIT : 0));
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            if (kept < room) {
                descriptors[kept++] = fd;
            } else {
                close(fd);
                overflow = 1;
            }
        }
    }
    if (overflow || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (size_t i = 0; i < kept; i++) close(descriptors[i]);
        return -EMSGSIZE;
    }
    *descriptor_count = kept;
    return (int)got;
}
