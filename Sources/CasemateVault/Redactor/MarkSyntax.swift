/// Recognises marks that an earlier pass left: `[secret:NAME]`, NAME being 1 to 128 of `A-Za-z0-9_.-`, and `[token]`.
enum MarkSyntax {
    enum Reading {
        case none
        /// A mark that ends before this index.
        case complete(end: Int)
        /// What may become a mark when the text goes on.
        case incomplete
    }

    static let longestMark = 8 + longestName + 1
    private static let longestName = 128

    static func mark(in text: UnsafeRawBufferPointer, at start: Int) -> Reading {
        switch literal("[secret:", in: text, at: start) {
        case .incomplete: return .incomplete
        case .none: return literal("[token]", in: text, at: start)
        case .complete(let nameStart):
            var index = nameStart
            while index < text.count {
                let byte = text[index]
                if byte == UInt8(ascii: "]") { return index > nameStart ? .complete(end: index + 1) : .none }
                guard KeySyntax.isNameByte(byte), index < nameStart + longestName else {
                    return .none
                }
                index += 1
            }
            return .incomplete
        }
    }

    /// Where the mark begins that `position` would cut in two, if not before `lowest`; `position` itself if there is none or if it may yet
    /// become one.
    static func uncut(_ position: Int, in text: UnsafeRawBufferPointer, from lowest: Int = 0) -> Int {
        for start in stride(from: position - 1, through: max(lowest, position - longestMark), by: -1) where text[start] == UInt8(ascii: "[")
        {
            if case .complete(let end) = mark(in: text, at: start), end > position { return start }
            return position
        }
        return position
    }

    /// Where a mark begins that the text's end cuts in two, or the text's end.
    static func incomplete(in text: UnsafeRawBufferPointer) -> Int {
        for start in stride(from: text.count - 1, through: max(0, text.count - longestMark), by: -1) where text[start] == UInt8(ascii: "[")
        {
            if case .incomplete = mark(in: text, at: start) { return start }
            return text.count
        }
        return text.count
    }

    private static func literal(_ literal: StaticString, in text: UnsafeRawBufferPointer, at start: Int) -> Reading {
        literal.withUTF8Buffer { bytes in
            let common = min(bytes.count, text.count - start)
            guard zip(bytes, text[start..<start + common]).allSatisfy({ $0 == $1 }) else { return .none }
            return common == bytes.count ? .complete(end: start + common) : .incomplete
        }
    }
}
