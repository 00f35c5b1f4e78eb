/// The fields of a specialise, check or build frame: tag, length, value.
public struct ShimFields: Sendable {
    private var out = ByteWriter()

    public init() {}

    public enum Tag: UInt8, Sendable {
        case handler = 1, signature, environment, secret, function, revision, memoryInMiB, index, policy, lock, unpackLimit,
            concurrency, isolation, authority, upgrade, attachedLock, furtherIndex, packageIndex, sourceDistribution, phase,
            checkKind, word, seconds, schema
    }

    public mutating func add(_ tag: Tag, _ value: some Collection<UInt8>) {
        out.integer(tag.rawValue)
        out.integer(UInt32(value.count))
        out.append(value)
    }

    public mutating func add(_ tag: Tag, _ value: String) { add(tag, Array(value.utf8)) }

    /// `NAME` NUL value.
    public mutating func add(_ tag: Tag, name: String, value: some Collection<UInt8>) { add(tag, Array(name.utf8) + [0] + Array(value)) }

    public var bytes: [UInt8] { out.bytes }
}

/// An error frame's meta: what is wrong with a bundle, in a form for its author.
public struct ShimFault: Error, Equatable, Sendable {
    public var code: String
    public var file: String?
    public var line: Int?
    public var message: String

    public init(code: String, file: String? = nil, line: Int? = nil, message: String) {
        self.code = code
        self.file = file
        self.line = line
        self.message = message
    }

    /// From `code` NUL `file` NUL `line` NUL `message`; a shim is hostile, so whatever is odd becomes a plain message.
    public init(meta: [UInt8]) {
        let parts = meta.split(separator: 0, maxSplits: 3, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 4, parts[0].utf8.allSatisfy({ $0 == UInt8(ascii: "-") || (97...122).contains($0) }), !parts[0].isEmpty else {
            self.init(code: "sandbox-fault", message: "the sandbox sent something that is not an error of ours")
            return
        }
        self.init(code: parts[0], file: parts[1].isEmpty ? nil : parts[1], line: Int(parts[2]), message: parts[3])
    }
}
