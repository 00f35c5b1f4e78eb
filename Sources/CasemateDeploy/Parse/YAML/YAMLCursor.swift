/// Finds the byte at a line and column of libyaml's: both from 1, columns counted in Unicode scalars.
///
/// It only goes forward, so that visiting a file's tokens in their order costs one pass over it.
struct YAMLCursor {
    private let bytes: [UInt8]
    private(set) var offset = 0
    private var line = 1
    private var column = 1

    init(_ text: String) { bytes = Array(text.utf8) }

    /// The byte there, and `offset` leads to it. nil where the line is shorter, the text has ended, or the place lies behind.
    mutating func byte(line wantedLine: Int, column wantedColumn: Int) -> UInt8? {
        bytes.withUnsafeBufferPointer { bytes in
            while offset < bytes.count, (line, column) < (wantedLine, wantedColumn) { step(bytes) }
        }
        guard offset < bytes.count, (line, column) == (wantedLine, wantedColumn) else { return nil }
        return bytes[offset]
    }

    private mutating func step(_ bytes: UnsafeBufferPointer<UInt8>) {
        let lineBreak = YAMLLineBreak.length(in: bytes, at: offset)
        guard lineBreak == 0 else {
            offset += lineBreak
            line += 1
            column = 1
            return
        }
        repeat { offset += 1 } while offset < bytes.count && bytes[offset] & 0xC0 == 0x80
        column += 1
    }
}
