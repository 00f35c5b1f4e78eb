#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// A later kernel's structures may be longer than those we were compiled with; it writes all of its own.
union request {
    struct seccomp_notif fields;
    char space[512];
};
union response {
    struct seccomp_notif_resp fields;
    char space[512];
};

int cl_notify_supported(void) {
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) return -errno;
    return sizes.seccomp_notif <= sizeof(union request) && sizes.seccomp_notif_resp <= sizeof(union response) ? 0 : -EMSGSIZE;
}

int cl_notify_refuse(int listener, int error, uint32_t *number) {
    struct pollfd item = {.fd = listener, .events = POLLIN};
    if (poll(&item, 1, 0) < 0) return errno == EINTR ? 0 : -errno;
    // Receiving waits when there is nothing, whatever O_NONBLOCK says. Readable means that there is something or, when its caller died
    // since, that the kernel answers ENOENT.
    if (!(item.revents & POLLIN)) return item.revents & (POLLHUP | POLLERR | POLLNVAL) ? -EPIPE : 0;
    union request request;
    memset(&request, 0, sizeof request);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) return errno == ENOENT || errno == EINTR ? 0 : -errno;
    union response response;
    memset(&response, 0, sizeof response);
    response.fields.id = request.fields.id;
    response.fields.error = -error;
    // ENOENT: the caller died while we answered. It tried all the same.
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT) return -errno;
    *number = (uint32_t)request.fields.data.nr;
    return 1;
}
