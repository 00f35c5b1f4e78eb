/// What one pass over the bytes shows before libyaml sees them.
enum YAMLBytes {
    /// Far more than a file has by chance: `{a: b}: c` is no use to anyone here, but a text may hold `}:`.
    static let maximumOfComplexKeys = 500

    static func check(_ text: String) throws(YAMLFault) {
        let scan = text.utf8.withContiguousStorageIfAvailable { Scan($0) }
        guard let fault = scan?.fault else { return }
        throw fault
    }

    private struct Scan {
        var fault: YAMLFault?
        private var line = 1
        private var atLineStart = true
        private var complexKeys = 0

        init(_ bytes: UnsafeBufferPointer<UInt8>) {
            var index = 0
            while index < bytes.count, fault == nil {
                index += take(bytes, index)
            }
        }

        /// Looks at one character (or line break) and returns its length.
        private mutating func take(_ bytes: UnsafeBufferPointer<UInt8>, _ index: Int) -> Int {
            let length = YAMLLineBreak.length(in: bytes, at: index)
            guard length == 0 else {
                line += 1
                atLineStart = true
                return length
            }
            let byte = bytes[index]
            if atLineStart, byte == UInt8(ascii: "%") {
                // libyaml compares each %TAG with all before it.
                fault = YAMLFault(line: line, what: "a line can't start with % (a YAML directive)", fix: "remove it")
            } else if Self.isForbidden(bytes, index) {
                fault = YAMLFault(line: line, what: "there is a control character", fix: "remove it, or write it as \\u in double quotes")
            } else if Self.startsComplexKey(bytes, index) {
                // Yams hashes each key with all that is in it, so nested ones cost the square of their depth.
                complexKeys += 1
                if complexKeys > YAMLBytes.maximumOfComplexKeys {
                    fault = YAMLFault(line: line, what: "there are too many keys that are no plain words", fix: "write each as name: value")
                }
            }
            atLineStart = false
            return 1
        }

        /// What libyaml's reader refuses, which reports no line: all control characters but tab and line breaks, and U+FFFE and U+FFFF.
        private static func isForbidden(_ bytes: UnsafeBufferPointer<UInt8>, _ index: Int) -> Bool {
            let byte = bytes[index]
            switch byte {
            case 0x09: return false
            case 0..<0x20, 0x7F: return true
            case 0xC2: return index + 1 < bytes.count && (0x80...0x9F).contains(bytes[index + 1])
            case 0xEF: return index + 2 < bytes.count && bytes[index + 1] == 0xBF && bytes[index + 2] >= 0xBE
            default: return false
            }
        }

        /// A `?` where a token may start, or a `}` or `]` with a colon behind it.
        private static func startsComplexKey(_ bytes: UnsafeBufferPointer<UInt8>, _ index: Int) -> Bool {
            switch bytes[index] {
            case UInt8(ascii: "?"):
                guard index > 0 else { return true }
                // The last three end NEL, LS and PS, which libyaml takes for line breaks.
                return [0x09, 0x0A, 0x0D, 0x20, 0x5B, 0x7B, 0x2C, 0x3F, 0x3A, 0x2D, 0x85, 0xA8, 0xA9].contains(bytes[index - 1])
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                var next = index + 1
                while next < bytes.count, bytes[next] == 0x20 || bytes[next] == 0x09 { next += 1 }
                return next < bytes.count && bytes[next] == UInt8(ascii: ":")
            default: return false
            }
        }
    }
}

/// What libyaml counts as the end of a line: CR LF, CR, LF, NEL (U+0085), LS (U+2028) and PS (U+2029).
enum YAMLLineBreak {
    /// In bytes; 0 where no line ends.
    static func length(in bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> Int {
        switch bytes[index] {
        case 0x0A: return 1
        case 0x0D: return index + 1 < bytes.count && bytes[index + 1] == 0x0A ? 2 : 1
        case 0xC2: return index + 1 < bytes.count && bytes[index + 1] == 0x85 ? 2 : 0
        case 0xE2: return index + 2 < bytes.count && bytes[index + 1] == 0x80 && (0xA8...0xA9).contains(bytes[index + 2]) ? 3 : 0
        default: return 0
        }
    }
}
