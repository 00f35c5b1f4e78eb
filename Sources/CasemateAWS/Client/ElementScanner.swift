/// Finds elements in the XML that S3 answers, going forward only. No parser of XML: no entities, attributes are skipped, and what is not
/// found is nil.
struct ElementScanner {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Goes behind the next `<name>` or `<name …>`.
    mutating func enter(_ name: String) -> Bool {
        let opening = Array("<\(name)".utf8)
        var from = at
        while let start = find(opening, from: from) {
            let behind = start + opening.count
            guard behind < bytes.count else { return false }
            if bytes[behind] == UInt8(ascii: ">") {
                at = behind + 1
                return true
            }
            // Else it is the beginning of a longer name.
            if bytes[behind] == UInt8(ascii: " "), let end = find([UInt8(ascii: ">")], from: behind) {
                at = end + 1
                return true
            }
            from = behind
        }
        return false
    }

    /// What stands in the next element of that name, and goes behind it. Nil when it is not plain text of 4096 bytes at most.
    mutating func text(of name: String) -> String? {
        let before = at
        guard enter(name), let end = find(Array("</\(name)>".utf8), from: at) else {
            at = before
            return nil
        }
        defer { at = end + name.utf8.count + 3 }
        let text = bytes[at..<end]
        guard text.count <= 4096, !text.contains(where: { $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: "&") }) else { return nil }
        return String(validating: text, as: UTF8.self)
    }

    /// A scanner of what stands in the next element of that name, and goes behind it.
    mutating func inside(_ name: String) -> ElementScanner? {
        let before = at
        guard enter(name), let end = find(Array("</\(name)>".utf8), from: at) else {
            at = before
            return nil
        }
        defer { at = end + name.utf8.count + 3 }
        return ElementScanner(UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
    }

    private func find(_ needle: [UInt8], from start: Int) -> Int? {
        guard bytes.count >= needle.count else { return nil }
        let last = bytes.count - needle.count
        var at = start
        while at <= last {
            if bytes[at] == needle[0], bytes[at..<(at + needle.count)].elementsEqual(needle) { return at }
            at += 1
        }
        return nil
    }
}
