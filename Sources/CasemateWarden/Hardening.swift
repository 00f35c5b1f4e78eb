import CLinux
import CSeccomp
import CasemateLinux
import Glibc

/// What the warden gives up before it does anything: it stays root, but of a small kind, and so does all that it starts.
///
/// In this order: no new privileges, capabilities, system calls. None comes back, for monitor, worker, crun and ingest alike.
public enum Hardening {
    /// Found by leaving out one at a time, with crun 1.8.1 on control groups version 1 and all of the tests. Over a sandbox's own user
    /// namespace the warden has every capability anyway, being its owner: to kill, to read /proc/PID/root, to set limits, to bring up the
    /// loopback and to bind port 53 in there takes none of these.
    private static let capabilities: [Int32] = [
        CAP_SYS_ADMIN,  // clone, setns, mount, the device controller: warden and crun
        CAP_SETUID,  // crun writes uid_map
        CAP_SETGID,  // crun writes gid_map
        CAP_DAC_READ_SEARCH,  // a build's output is its sandbox's alone; a checkout may be an ordinary user's
    ]

    /// What neither the warden nor crun has a use for, whatever the capabilities say.
    static let refusedCalls = [
        // other processes
        "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "move_pages", "migrate_pages",
        // the kernel itself
        "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "iopl", "ioperm", "modify_ldt",
        // what it shows and records
        "perf_event_open", "syslog", "acct", "quotactl", "quotactl_fd", "fanotify_init", "lookup_dcookie",
        // its clocks
        "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
        // its ways around paths and permissions
        "open_by_handle_at", "swapon", "swapoff", "vhangup", "nfsservctl", "uselib", "ustat", "sysfs",
        // large surfaces
        "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "request_key",
    ]

    public static func apply() throws(SystemError) {
        try check(cl_no_new_privileges(), "giving up new privileges")
        try check(cl_limit_capabilities(capabilities.reduce(0) { $0 | 1 << UInt64($1) }), "giving up capabilities")
        try refuseCalls()
    }

    /// For a process that only copies files: reading those of others is all it keeps.
    public static func applyForIngest() throws(SystemError) {
        try check(cl_keep_capabilities(1 << UInt64(CAP_DAC_READ_SEARCH)), "giving up capabilities")
    }

    /// A call on the list fails with ENOSYS. That is what the kernel does for SECCOMP_RET_TRACE when nothing traces, and nothing here
    /// can: ptrace is on the list. ERRNO would do for the warden, but a sandbox inherits this filter, and of two answers to a call the
    /// kernel takes the stricter: ERRNO would hide what its own filter reports by SECCOMP_RET_USER_NOTIF (seccomp(2)).
    private static func refuseCalls() throws(SystemError) {
        let refuse: UInt32 = 0x7ff0_0000
        guard let filter = seccomp_init(SCMP_ACT_ALLOW) else { throw SystemError("making a filter of system calls", errno: ENOMEM) }
        defer { seccomp_release(filter) }
        func add(_ name: String, _ conditions: [scmp_arg_cmp] = []) throws(SystemError) {
            let number = seccomp_syscall_resolve_name(name)
            guard number >= 0 else { throw SystemError("refusing \(name)", errno: ENOSYS) }
            try check(seccomp_rule_add_array(filter, refuse, number, UInt32(conditions.count), conditions), "refusing \(name)")
        }
        for name in refusedCalls { try add(name) }
        // crun gives each container a session keyring of its own, KEYCTL_JOIN_SESSION_KEYRING, and uses keys for nothing else.
        try add("keyctl", [scmp_arg_cmp(arg: 0, op: SCMP_CMP_NE, datum_a: 1, datum_b: 0)])
        // A sandbox may ask which personality it has.
        try add("personality", [scmp_arg_cmp(arg: 0, op: SCMP_CMP_NE, datum_a: 0xffff_ffff, datum_b: 0)])
        // With version 2, devices are refused by a program that crun loads.
        if Cgroups().version == .v1 { try add("bpf") }
        // Whether sandboxes pay for this mitigation is crun's to say.
        try check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1), "filtering system calls")
        try check(seccomp_load(filter), "filtering system calls")
    }
}
