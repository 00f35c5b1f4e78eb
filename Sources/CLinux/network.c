#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int cl_join_network(int fd) { return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0; }

int cl_loopback_up(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lo");
    int result = 0;
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
        result = -errno;
    } else {
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) result = -errno;
    }
    close(fd);
    return result;
}

int cl_route_to_loopback(uint32_t address, uint8_t bits) {
    struct {
        struct nlmsghdr head;
        struct rtmsg route;
        struct rtattr destination_head;
        uint32_t destination;
        struct rtattr device_head;
        uint32_t device;
    } request = {
        .head = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_NEWROUTE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
        .route = {.rtm_family = AF_INET, .rtm_dst_len = bits, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = RTPROT_BOOT,
                  .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL},
        .destination_head = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = RTA_DST},
        .destination = htonl(address),
        .device_head = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = RTA_OIF},
        .device = if_nametoindex("lo"),
    };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[512];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) return -errno;
    int result = 0;
    ssize_t length = 0;
    if (send(fd, &request, sizeof request, 0) < 0 || (length = recv(fd, &answer, sizeof answer, 0)) < 0) {
        result = -errno;
    } else if ((size_t)length < sizeof answer.head + sizeof answer.error || answer.head.nlmsg_type != NLMSG_ERROR) {
        result = -EPROTO;
    } else if (answer.error.error != -EEXIST) {
        result = answer.error.error;
    }
    close(fd);
    return result;
}

int cl_bind_ipv4(uint32_t address, uint16_t port, int is_stream) {
    int fd = socket(AF_INET, (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int one = 1;
    // One for a range of addresses and one for an address in it may have the same port; those of another user may not.
    if (is_stream) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || (is_stream && listen(fd, 128) < 0)) {
        int failure = errno;
        close(fd);
        return -failure;
    }
    return fd;
}
