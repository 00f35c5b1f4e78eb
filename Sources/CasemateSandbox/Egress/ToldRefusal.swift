import CasemateModel

/// What a runtime asks its resolver for to tell that its function was refused a connection: `pPORT.HOST.refused.casemate.internal`, where
/// HOST is a name, or `x` and an address in hexadecimal.
///
/// It is the function's own word, and good for no more than a line of its log.
struct ToldRefusal: Equatable {
    enum Host: Equatable {
        case name(String)
        case address(IPAddress)
    }

    let host: Host
    let port: UInt16

    private static let suffix = ".refused.casemate.internal"

    /// Nil for any other name.
    init?(_ name: String) {
        guard name.hasSuffix(Self.suffix), name.hasPrefix("p") else { return nil }
        let parts = name.dropLast(Self.suffix.utf8.count).dropFirst().split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let port = UInt16(parts[0]), port > 0 else { return nil }
        self.port = port
        if parts[1].hasPrefix("x"), let bytes = Self.bytes(hex: parts[1].dropFirst()), let address = IPAddress(bytes: bytes) {
            host = .address(address)
        } else if let allowed = AllowedHost(name: String(parts[1]), port: port) {
            host = .name(allowed.name)
        } else {
            return nil
        }
    }

    private static func bytes(hex: Substring) -> [UInt8]? {
        let digits = Array(hex.utf8)
        guard digits.count == 8 || digits.count == 32 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index..<(index + 2)], as: UTF8.self), radix: 16) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}
