import CasemateModel
import Crypto
import Foundation

/// The log's lines: `{"hash":"…","record":{…}}`, the hash being SHA-256 over the bytes of the record as they stand in the line.
///
/// A record holds the hash of the one before, so that each of them stands for all before it. Whoever has `sha256sum` and the line can check it.
public enum AuditChain {
    public static let beginning = String(repeating: "0", count: 64)
    /// A longer line is none of ours.
    public static let longestLine = 32_768

    private static let front = Array(#"{"hash":""#.utf8)
    private static let middle = Array(#"","record":"#.utf8)

    /// The line, without its end, and its hash.
    static func line(_ record: AuditRecord) throws -> (bytes: [UInt8], hash: String) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let body = Array(try encoder.encode(record))
        let hash = hex(SHA256.hash(data: body))
        return (front + Array(hash.utf8) + middle + body + [UInt8(ascii: "}")], hash)
    }

    /// What a line says, and whether its hash fits; nil for what is no line of a log.
    public static func parse(_ line: some Collection<UInt8>) -> (record: AuditRecord, hash: String, isIntact: Bool)? {
        let line = Array(line)
        let start = front.count + 64 + middle.count
        guard line.count > start + 1, line.count <= longestLine, line.starts(with: front), line.last == UInt8(ascii: "}"),
            line[(front.count + 64)..<start].elementsEqual(middle)
        else { return nil }
        let hash = String(decoding: line[front.count..<(front.count + 64)], as: UTF8.self)
        let body = line[start..<(line.count - 1)]
        guard let record = try? JSONDecoder().decode(AuditRecord.self, from: Data(body)) else { return nil }
        return (record, hash, hex(SHA256.hash(data: body)) == hash)
    }

    static func hex(_ digest: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
