/// A secret value. It can't be printed, logged, compared or encoded by accident: the one way in is `withBytes`.
///
/// The bytes are not overwritten when the last reference goes; that comes with the vault's own memory.
public final class Secret: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let bytes: [UInt8]

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value, for as long as `body` runs.
    public func withBytes<R>(_ body: ([UInt8]) throws -> R) rethrows -> R { try body(bytes) }

    public var count: Int { bytes.count }

    public var description: String { "<redacted>" }
    public var debugDescription: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// The longest value that is stored, in bytes.
    public static let maximumLength = 65_536
}
