import Foundation
import Glibc

/// Bytes that are overwritten when the last reference goes. They can't be printed, dumped or encoded by accident.
///
/// `@unchecked`: nothing changes them between `init` and `deinit`.
final class SensitiveBytes: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer
    /// Without the zero that follows, which lets libcurl read them as text.
    let count: Int

    convenience init(_ bytes: some Collection<UInt8>) { self.init(count: bytes.count) { $0.copyBytes(from: bytes) } }

    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        memory = .allocate(byteCount: count + 1, alignment: 1)
        memory[count] = 0
        self.count = count
        fill(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
    }

    deinit {
        explicit_bzero(memory.baseAddress!, memory.count)
        memory.deallocate()
    }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        // A class may be freed after its last use, which the pointer is not.
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(rebasing: memory[..<count])) }
    }

    /// As C's text, up to the first zero.
    func withText<R>(_ body: (UnsafePointer<CChar>) throws -> R) rethrows -> R {
        try withExtendedLifetime(self) { try body(UnsafePointer(memory.baseAddress!.assumingMemoryBound(to: CChar.self))) }
    }

    /// As Foundation wants them, without a copy.
    func withData<R>(_ body: (Data) throws -> R) rethrows -> R {
        try withBytes { bytes in
            guard let base = bytes.baseAddress, !bytes.isEmpty else { return try body(Data()) }
            return try body(Data(bytesNoCopy: UnsafeMutableRawPointer(mutating: base), count: bytes.count, deallocator: .none))
        }
    }
}

extension SensitiveBytes: CustomStringConvertible, CustomReflectable {
    var description: String { "<redacted>" }
    var customMirror: Mirror { Mirror(self, children: []) }
}

extension [UInt8] {
    /// Overwrites them. When the array's memory is shared, Swift makes a copy first and only that is overwritten.
    mutating func wipe() {
        withUnsafeMutableBytes { bytes in
            if let base = bytes.baseAddress { explicit_bzero(base, bytes.count) }
        }
    }
}

extension Data {
    /// As for arrays.
    mutating func wipe() {
        withUnsafeMutableBytes { bytes in
            if let base = bytes.baseAddress { explicit_bzero(base, bytes.count) }
        }
    }
}
