/// Why an address is none, and how to write it. Never holds what stood where a password could stand.
public struct AWSAddressError: Error, Equatable, CustomStringConvertible {
    public let message: String

    init(_ message: String) { self.message = message }

    public var description: String { message }
}
