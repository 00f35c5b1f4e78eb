/// What the warden answers to an order, or reports by itself.
public enum Reply: Equatable, Sendable {
    /// Descriptors come with it: control socket, standard output, standard error.
    case created(sandbox: UInt32, hostUID: UInt32)
    case done
    case collected(bundle: BundleDigest, files: UInt32, bytes: UInt64)
    case hello(instance: String, cgroupVersion: UInt8)
    case refused(RefusalCode, detail: String)
    /// With the memory that the frozen processes hold, in bytes.
    case frozen(memory: UInt64)
    case counted(SandboxCounts)
    /// Sorted; none where there are no more.
    case bundles([BundleDigest])
    /// Not an answer: sandbox `sandbox` is gone.
    case ended(sandbox: UInt32, reason: EndReason, status: Int32)
    /// Not an answer: something in `sandbox` tried the system call `call`, and was refused. `HostileCall.more` says that further ones are
    /// refused without a report. Reports may be lost; answers never are.
    case attempted(sandbox: UInt32, call: UInt32)
}

public enum RefusalCode: UInt8, Sendable {
    case malformed = 1, unknownProfile, unknownSandbox, unknownBundle, digestMismatch, wrongState, limits, capacity, failed, outputRefused
}

/// Why a sandbox ended.
public enum EndReason: UInt8, Sendable {
    case exited = 1, killed, outOfMemory, ordered
}
