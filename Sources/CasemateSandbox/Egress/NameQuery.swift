/// The little of DNS (RFC 1035 §4) that a sandbox needs: one question in, an address or "no such name" out.
struct NameQuery: Sendable {
    let id: (UInt8, UInt8)
    /// Lower case.
    let name: String
    let type: UInt16
    private let question: [UInt8]
    private let wantsRecursion: UInt8

    /// Nil for what is not exactly one ordinary question of class IN.
    init?(_ message: [UInt8]) {
        guard (17...Self.longest).contains(message.count), message[2] & 0xf8 == 0, message[4] == 0, message[5] == 1 else { return nil }
        var offset = 12
        var labels: [String] = []
        while true {
            guard offset < message.count else { return nil }
            let length = Int(message[offset])
            if length == 0 { break }
            // A pointer has no place in a first question.
            guard length < 64, offset + 1 + length < message.count, labels.count < 64 else { return nil }
            let label = message[(offset + 1)..<(offset + 1 + length)]
            guard label.allSatisfy({ (33...126).contains($0) && $0 != UInt8(ascii: ".") }) else { return nil }
            labels.append(String(decoding: label, as: UTF8.self).lowercased())
            offset += 1 + length
        }
        guard offset + 5 <= message.count, message[offset + 3] == 0, message[offset + 4] == 1 else { return nil }
        id = (message[0], message[1])
        wantsRecursion = message[2] & 1
        name = labels.joined(separator: ".")
        type = UInt16(message[offset + 1]) << 8 | UInt16(message[offset + 2])
        question = Array(message[12..<(offset + 5)])
    }

    static let typeA: UInt16 = 1
    static let longest = 512

    /// What is said to a message that is no question of ours, so that nobody waits for an answer; nil where nothing is to be said.
    static func fault(of message: [UInt8]) -> [UInt8]? {
        guard message.count >= 12, message[2] & 0x80 == 0 else { return nil }
        let isStandard = message[2] & 0x78 == 0
        return [message[0], message[1], 0x80 | message[2] & 0x79, isStandard ? 1 : 4, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    enum Answer: Sendable {
        /// In host byte order.
        case address(UInt32)
        /// The name is allowed, but has no record of this type.
        case nothing
        case noSuchName
        /// Not now.
        case failed
    }

    func response(_ answer: Answer) -> [UInt8] {
        var code: UInt8 = 0
        var record: [UInt8] = []
        switch answer {
        case .address(let address):
            record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4] + (0..<4).map { UInt8(truncatingIfNeeded: address >> (24 - 8 * $0)) }
        case .nothing: break
        case .noSuchName: code = 3
        case .failed: code = 2
        }
        let head: [UInt8] = [id.0, id.1, 0x84 | wantsRecursion, 0x80 | code, 0, 1, 0, record.isEmpty ? 0 : 1, 0, 0, 0, 0]
        return head + question + record
    }
}
