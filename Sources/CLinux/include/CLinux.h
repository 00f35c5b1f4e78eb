// Syscalls without a Swift-callable wrapper, and what must happen between fork and exec.
// Every function returns a value >= 0, or -errno; none keeps state.
#ifndef CASEMATE_CLINUX_H
#define CASEMATE_CLINUX_H

#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// spawn.c
/// Starts `path`. `descriptors[i]` becomes descriptor i of the child and every other one is closed there.
/// The child starts with an empty signal mask, default handlers, and a session of its own when `new_session` is set.
/// The calling thread must live as long as the child when `die_with_parent` is set (PR_SET_PDEATHSIG is the thread's).
int cl_spawn(const char *path, char *const argv[], char *const envp[], const int *descriptors, size_t descriptor_count,
             int new_session, int die_with_parent, pid_t *pid);
/// Forks into a pid and a mount namespace of its own: returns twice, like fork. Only for a process with one thread.
int cl_fork_worker(int *pidfd);
int cl_exec(const char *path, char *const argv[], char *const envp[]);
int cl_wait_pid(pid_t pid, int options, int *status);
/// Lowers the largest file that process `pid` may write (RLIMIT_FSIZE, soft and hard).
int cl_limit_file_size(pid_t pid, uint64_t bytes);
int cl_pidfd_open(pid_t pid);
int cl_pidfd_kill(int pidfd, int signal);

// mount.c
int cl_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int cl_unmount_detach(const char *target);
int cl_unshare(int flags);
/// A detached, read-only, nosuid, nodev overlay of the folder `name` in the current folder, where an empty folder `.empty` must lie too.
/// Unlike a bind mount it does not tell those who see it where on the host it lies.
int cl_overlay_readonly(const char *name);
/// Attaches a tree from cl_overlay_readonly at `target`.
int cl_attach_tree(int tree, const char *target);
/// Sets `key` to `value` on the file system mounted at `target` (fspick, FSCONFIG_CMD_RECONFIGURE).
int cl_reconfigure(const char *target, const char *key, const char *value);
/// The name of a call that the warden attaches bundles with and that this kernel lacks or a filter hides; NULL when all are there.
const char *cl_missing_call(void);

// beneath.c
/// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS.
int cl_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/// Likewise, following links that stay beneath dirfd.
int cl_open_within(int dirfd, const char *path, int flags);

// fdpass.c
int cl_socketpair_stream(int pair[2]);
int cl_pipe(int pair[2]);
int cl_seqpacket_listen(const char *path, mode_t mode);
int cl_seqpacket_connect(const char *path);
int cl_stream_listen(const char *path, mode_t mode);
int cl_accept(int listener, uid_t *peer_uid);
/// Sends one packet (or stream bytes) with descriptors. Returns the bytes sent.
int cl_send(int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count, int dont_wait);
/// Bytes that were sent on a Unix socket and not yet read by the other end, with what the kernel needs to keep them.
int cl_unread(int socket);
/// Receives into `bytes`; at most `*descriptor_count` descriptors (close-on-exec) are kept, more end in -EMSGSIZE.
int cl_receive(int socket, void *bytes, size_t capacity, int *descriptors, size_t *descriptor_count, int dont_wait);

// network.c
/// Joins the network namespace that `fd` refers to. The whole thread moves.
int cl_join_network(int fd);
/// Makes all addresses of a range, in host byte order, local to the current network namespace. One that is local already is no fault.
int cl_route_to_loopback(uint32_t address, uint8_t bits);
/// Brings up the loopback interface of the current network namespace.
int cl_loopback_up(void);
/// A bound socket on the IPv4 address `address` (host byte order): a datagram socket, or a stream socket that listens.
int cl_bind_ipv4(uint32_t address, uint16_t port, int is_stream);

// events.c
/// A counter to wake a poll with: eight bytes in, eight bytes out.
int cl_eventfd(void);
int cl_epoll_create(void);
int cl_epoll_add(int epoll, int fd, uint64_t token);
int cl_epoll_remove(int epoll, int fd);
/// Waits; writes up to `capacity` tokens. A negative timeout waits for ever.
int cl_epoll_wait(int epoll, uint64_t *tokens, int capacity, int timeout_ms);
/// Blocks `signals` and returns a descriptor that reads them.
int cl_signal_descriptor(const int *signals, size_t count);
/// One signal number from a descriptor of cl_signal_descriptor.
int cl_signal_read(int fd);
int cl_set_nonblocking(int fd);
int cl_set_cloexec(int fd, int on);
int cl_close_from(int first);
int cl_poll_readable(int fd, int timeout_ms);

// privilege.c
int cl_no_new_privileges(void);
int cl_not_dumpable(void);
int cl_die_with_parent(void);
/// Gives up groups, gid, uid and every capability for good; checks that root cannot be had back.
int cl_become(uid_t uid, gid_t gid);
/// Leaves only `keep` (bit per capability) in the bounding, permitted and effective sets.
int cl_limit_capabilities(uint64_t keep);
/// Leaves only `keep` in the permitted and effective sets, for good where new privileges were given up.
int cl_keep_capabilities(uint64_t keep);
/// Makes a system call with arguments that none accepts, to see whether it is refused before the kernel looks at them.
int cl_call_with_nonsense(int number);

// notify.c
/// Whether the kernel's seccomp notifications are those that we know: 0, or -errno.
int cl_notify_supported(void);
/// Takes one system call from a seccomp listener, if one waits, and makes it fail with `error`: 1 and its number, or 0.
/// -EPIPE when no process is left that could make one. Never waits.
int cl_notify_refuse(int listener, int error, uint32_t *number);

// files.c
/// An exclusive lock that lasts as long as the descriptor, or -EWOULDBLOCK.
int cl_lock_exclusive(int fd);
/// Waits until all of the file system that holds `fd` is on disk.
int cl_syncfs(int fd);
int cl_memfd(const char *name);
/// Attributes of `name` beneath dirfd, not following links.
struct cl_stat {
    uint64_t inode, size;
    int64_t changed_ns, modified_ns;
    uint32_t mode, uid, links;
};
int cl_stat_at(int dirfd, const char *name, struct cl_stat *out);
/// Next entry's name of a directory stream opened from `fd`, which is consumed. Names are at most 255 bytes.
void *cl_opendir(int fd);
const char *cl_readdir(void *directory);
void cl_closedir(void *directory);

#endif
