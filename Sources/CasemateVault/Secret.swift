import Glibc

/// A secret value. It can't be printed, logged, compared or encoded by accident: the one way in is `withBytes`.
///
/// Its memory is its own, and overwritten when the last reference goes. Where that ends: what is made of the bytes inside `withBytes`, such as
/// the tables of a redactor and the frame that a sandbox gets, is Swift's and NIO's memory, freed as it is; so is what a request's body came in.
public final class Secret: @unchecked Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    // SAFETY: written in `init` and overwritten in `deinit` alone.
    private let bytes: UnsafeMutableRawBufferPointer

    public init(_ bytes: some Collection<UInt8>) {
        let own = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        own.copyBytes(from: bytes)
        self.bytes = own
    }

    deinit {
        if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) }
        bytes.deallocate()
    }

    /// The value, for as long as `body` runs.
    public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { try body(UnsafeRawBufferPointer(bytes)) }

    public var count: Int { bytes.count }

    /// In a time that does not depend on where they differ.
    public func isEqual(to other: Secret) -> Bool {
        bytes.count == other.bytes.count && zip(bytes, other.bytes).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    public var description: String { "<redacted>" }
    public var debugDescription: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// The longest value that is stored, in bytes.
    public static let maximumLength = 65_536
}
