import CasemateModel

/// A line as it lies in a segment: length, sequence number, time, stream, call, message. No text can look like another record.
struct LogRecord {
    static let headLength = 4 + 8 + 8 + 1 + 16

    var sequence: UInt64
    var line: LogLine

    func append(to out: inout [UInt8]) {
        func put(_ value: UInt64, _ count: Int) {
            for shift in stride(from: (count - 1) * 8, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
        }
        put(UInt64(Self.headLength + line.message.count), 4)
        put(sequence, 8)
        put(UInt64(bitPattern: line.time.milliseconds), 8)
        out.append(line.stream.rawValue)
        out.append(contentsOf: line.call?.bytes ?? [UInt8](repeating: 0, count: 16))
        out.append(contentsOf: line.message)
    }

    /// The record at `offset`, and where the next one starts; nil at a torn end.
    static func parse(_ bytes: [UInt8], at offset: Int) -> (LogRecord, next: Int)? {
        guard bytes.count - offset >= headLength else { return nil }
        func number(_ start: Int, _ count: Int) -> UInt64 { bytes[start..<(start + count)].reduce(0) { $0 << 8 | UInt64($1) } }
        let length = Int(number(offset, 4))
        guard length >= headLength, bytes.count - offset >= length, let stream = LogLine.Stream(rawValue: bytes[offset + 20]) else {
            return nil
        }
        let call = Array(bytes[(offset + 21)..<(offset + 37)])
        let line = LogLine(
            time: Timestamp(milliseconds: Int64(bitPattern: number(offset + 12, 8))), stream: stream,
            call: call.allSatisfy { $0 == 0 } ? nil : CallId(bytes: call), message: Array(bytes[(offset + headLength)..<(offset + length)]))
        return (LogRecord(sequence: number(offset + 4, 8), line: line), offset + length)
    }
}
