import Glibc

/// The host's memory.
public enum HostMemory {
    /// In bytes.
    public static var totalInBytes: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }
}
