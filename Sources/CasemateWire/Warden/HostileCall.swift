/// System calls that no function has a use for: a sandbox that tries one is refused, and the attempt is reported.
///
/// The profiles in `runtimes/profiles` list the same ones as `SCMP_ACT_NOTIFY`; a test compares the two.
public enum HostileCall {
    /// Instead of a number: the sandbox has tried so often that it is no longer asked which call it was.
    public static let more = UInt32.max

    /// The call's name on x86-64. One of a fixed set, so that it can be a metric's label: an unknown number is `other`.
    public static func name(_ number: UInt32) -> String {
        number == more ? "more" : names[number] ?? "other"
    }

    /// Linux's x86-64 table, `arch/x86/entry/syscalls/syscall_64.tbl`.
    public static let names: [UInt32: String] = [
        101: "ptrace", 103: "syslog", 105: "setuid", 106: "setgid", 113: "setreuid", 114: "setregid", 116: "setgroups", 117: "setresuid",
        119: "setresgid", 122: "setfsuid", 123: "setfsgid", 126: "capset", 153: "vhangup", 154: "modify_ldt", 155: "pivot_root",
        159: "adjtimex", 161: "chroot", 163: "acct", 164: "settimeofday", 165: "mount", 166: "umount2", 167: "swapon", 168: "swapoff",
        169: "reboot", 170: "sethostname", 171: "setdomainname", 172: "iopl", 173: "ioperm", 175: "init_module", 176: "delete_module",
        179: "quotactl", 180: "nfsservctl", 212: "lookup_dcookie", 227: "clock_settime", 237: "mbind", 238: "set_mempolicy",
        246: "kexec_load", 248: "add_key", 249: "request_key", 250: "keyctl", 256: "migrate_pages", 272: "unshare", 279: "move_pages",
        298: "perf_event_open", 300: "fanotify_init", 303: "name_to_handle_at", 304: "open_by_handle_at", 305: "clock_adjtime",
        308: "setns", 310: "process_vm_readv", 311: "process_vm_writev", 312: "kcmp", 313: "finit_module", 317: "seccomp",
        320: "kexec_file_load", 321: "bpf", 323: "userfaultfd", 425: "io_uring_setup", 426: "io_uring_enter", 427: "io_uring_register",
        428: "open_tree", 429: "move_mount", 430: "fsopen", 431: "fsconfig", 432: "fsmount", 433: "fspick", 438: "pidfd_getfd",
        440: "process_madvise", 442: "mount_setattr", 443: "quotactl_fd", 444: "landlock_create_ruleset", 447: "memfd_secret",
    ]
}
