/// What a server may ask of the warden: ids, digests, profile names and numbers, never a path or a command.
public enum Order: Equatable, Sendable {
    /// Make a sandbox of `profile`, not yet bound to a function.
    case create(profile: String, purpose: SandboxPurpose, limits: SandboxLimits)
    /// Attach the bundle `digest` to a waiting sandbox and set its final limits. Once per sandbox.
    case specialise(sandbox: UInt32, bundle: BundleDigest, limits: SandboxLimits)
    /// Kill the sandbox and remove every trace of it.
    case destroy(sandbox: UInt32)
    /// Kill a build sandbox and store what it left in its output folder as a bundle.
    case collect(sandbox: UInt32, maximumBytes: UInt64, maximumFiles: UInt32)
    /// Open 127.0.0.53:53, UDP and TCP, inside a waiting sandbox whose interpreter is warm, and hand both over. Once per sandbox.
    case openResolver(sandbox: UInt32)
    /// Open TCP listeners inside the sandbox's network namespace, and hand them over.
    case listen(sandbox: UInt32, [InnerListener])
    /// Make a range of addresses local to the sandbox, open a TCP listener for all of it at one port, and hand that over.
    case openRange(sandbox: UInt32, InnerRange)
    /// Forget a stored bundle.
    case removeBundle(BundleDigest)
    /// Name stored bundles, by digest: those behind `after`, or the first.
    case listBundles(after: BundleDigest?)
    /// Say who you are.
    case hello
    /// Stop all processes of a sandbox where they are.
    case freeze(sandbox: UInt32)
    case thaw(sandbox: UInt32)
    /// Say how often a sandbox ran into its limits.
    case count(sandbox: UInt32)
}

/// Where a listener of the server's stands inside a sandbox: an address of its own for each name, and the port.
public struct InnerListener: Hashable, Sendable {
    /// Stands for a name, inside this sandbox alone; 1 and more.
    public let index: UInt16
    public let port: UInt16

    public init(index: UInt16, port: UInt16) {
        self.index = index
        self.port = port
    }

    /// 127.66.x.y, in host byte order.
    public var address: UInt32 { Self.network | UInt32(index) }

    private static let network: UInt32 = 0x7f42_0000
    /// Neither the network's first address nor its last.
    public static let indices: ClosedRange<UInt16> = 1...65_534
}

/// IPv4 addresses of the world at one port, for which a listener stands inside a sandbox.
public struct InnerRange: Hashable, Sendable {
    /// In host byte order, without a bit beyond the prefix.
    public let address: UInt32
    public let bits: UInt8
    public let port: UInt16

    /// Nil for a range that is none, is larger than a `/8`, or holds addresses of the sandbox's own or of nobody's:
    /// 0.0.0.0/8, 127.0.0.0/8, and 224.0.0.0 and more.
    public init?(address: UInt32, bits: UInt8, port: UInt16) {
        let first = UInt8(address >> 24)
        guard (8...32).contains(bits), port > 0, bits == 32 || address << UInt32(bits) == 0, first != 0, first != 127, first < 224 else {
            return nil
        }
        self.address = address
        self.bits = bits
        self.port = port
    }
}

/// What a sandbox is for; it decides which template the warden fills in.
public enum SandboxPurpose: UInt8, Sendable {
    /// Runs one revision.
    case run = 1
    /// Unpacks and builds one upload into its own size-capped folder.
    case build = 2
    /// Searches one bundle; nothing of a user's runs in it.
    case scan = 3
    /// Fetches one source from a repository.
    case fetch = 4
    /// Runs an author's own checks over one bundle.
    case check = 5
}

/// Limits of one sandbox, enforced by cgroups and mount options.
public struct SandboxLimits: Equatable, Sendable {
    public var memoryInBytes: UInt64
    public var cpuInMillicores: UInt32
    public var pids: UInt32
    public var tmpInBytes: UInt64

    public init(memoryInBytes: UInt64, cpuInMillicores: UInt32, pids: UInt32, tmpInBytes: UInt64) {
        self.memoryInBytes = memoryInBytes
        self.cpuInMillicores = cpuInMillicores
        self.pids = pids
        self.tmpInBytes = tmpInBytes
    }

    /// What the warden accepts at all, whatever a server asks.
    public var isAcceptable: Bool {
        (16 << 20...64 << 30).contains(memoryInBytes) && (10...64_000).contains(cpuInMillicores) && (2...4096).contains(pids)
            && (1 << 20...8 << 30).contains(tmpInBytes)
    }
}

/// What a sandbox's control group has counted since it was made.
public struct SandboxCounts: Equatable, Sendable {
    /// Processes killed for want of memory.
    public var outOfMemory: UInt32
    /// Processes refused by the limit on their number.
    public var pids: UInt32
    /// How long the CPU limit held it back.
    public var throttledInMilliseconds: UInt64

    public init(outOfMemory: UInt32, pids: UInt32, throttledInMilliseconds: UInt64) {
        self.outOfMemory = outOfMemory
        self.pids = pids
        self.throttledInMilliseconds = throttledInMilliseconds
    }
}

/// SHA-256 over the sorted list of a bundle's paths, modes and contents (see PROTOCOL.md).
public struct BundleDigest: Hashable, Sendable, Comparable {
    public let bytes: [UInt8]

    public static func < (left: Self, right: Self) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }

    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// From 64 lower-case hexadecimal digits.
    public init?(hex: some StringProtocol) {
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in hex.utf8 {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        guard high == nil else { return nil }
        self.init(bytes)
    }

    public var hex: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
