import Glibc

/// A failed system call: what was being done, and errno.
public struct SystemError: Error, CustomStringConvertible, Sendable {
    public let doing: String
    public let errno: Int32

    public init(_ doing: String, errno: Int32) {
        self.doing = doing
        self.errno = errno
    }

    /// For a call that answers -1 and sets errno.
    public static func last(_ doing: String) -> SystemError { SystemError(doing, errno: Glibc.errno) }

    public var description: String { "\(doing): \(String(cString: strerror(errno)))" }
}

/// Turns the `-errno` of a CLinux function into an error that says what was being done.
@discardableResult
public func check(_ result: Int32, _ doing: @autoclosure () -> String) throws(SystemError) -> Int32 {
    guard result >= 0 else { throw SystemError(doing(), errno: -result) }
    return result
}
