/// A text pushed in pieces is redacted as it is in one, and nothing of a strong value is left of it. Input: the needles, each its length with
/// two bits for what kind it is, and its bytes; a zero; the lengths of the pieces; a zero; the text, in which 0xF0 to 0xFF stand for values,
/// some of them encoded.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRedactions(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var rest = bytes(data, count)[...]
    var needles: [Needle] = []
    while let first = rest.popFirst(), first != 0, needles.count < 8 {
        // Lengths to 63, and some that make several pieces.
        let length = first & 0x80 != 0 ? 5 * Int(first & 63) : Int(first & 63)
        let value = Array(rest.prefix(length))
        rest = rest.dropFirst(value.count)
        // Marks of bytes that no value has, so that what is left can be told from them.
        needles.append(Needle(mark: Array("<#\(needles.count)#>".utf8), value: value, isWeak: first & 0x40 != 0))
    }
    var lengths: [Int] = []
    while let length = rest.popFirst(), length != 0 { lengths.append(Int(length)) }
    let text = rest.flatMap { byte in byte < 0xF0 || needles.isEmpty ? [byte] : spelt(needles[Int(byte & 7) % needles.count].value, byte) }

    let redactor = Redactor(needles)
    let once = redactor.redact(text)
    for tellsNothing in [false, true] {
        var stream = redactor.makeStream(tellsNothing: tellsNothing)
        var out: [UInt8] = []
        var start = 0
        var piece = 0
        while start < text.count {
            let end = lengths.isEmpty ? text.count : min(text.count, start + lengths[piece % lengths.count])
            stream.push(Array(text[start..<end]), into: &out)
            (start, piece) = (end, piece + 1)
        }
        stream.finish(into: &out)
        precondition(out == once?.bytes ?? text && stream.hits == once?.hits ?? 0, "a stream redacts otherwise")
    }
    precondition(redactor.contains(text) == (once != nil))
    // A mark ends what a value could go on with: in each stretch between marks there is none.
    guard let once else { return 0 }
    for needle in needles where !needle.isWeak && !needle.value.contains(where: { "<#>01234567\r\n".utf8.contains($0) }) {
        guard (8...Spellings.pieceLimit).contains(needle.value.count) else { continue }
        precondition(!has(once.bytes, needle.value), "a value is left")
    }
    return 0
}

private func spelt(_ value: [UInt8], _ kind: UInt8) -> [UInt8] {
    kind & 8 == 0 ? value : HexDigits.lower.spell(value)
}

private func has(_ text: [UInt8], _ part: [UInt8]) -> Bool {
    text.indices.dropLast(part.count - 1).contains { text[$0...].starts(with: part) }
}
