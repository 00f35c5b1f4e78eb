/// A shared credentials file: profiles in brackets, `name = value` lines beneath (AWS SDKs and Tools reference, "Shared config and
/// credentials files").
///
/// Stricter than AWS's own tools in what concerns the profile asked for: a profile or one of our fields that is there twice is an error,
/// for tools differ in which one counts.
enum CredentialsFile {
    /// In bytes.
    static let longest = 65_536

    /// - Throws: with a line's number and never its text.
    static func credentials(in text: [UInt8], profile: String) throws(CredentialError) -> AWSCredentials {
        guard text.count <= longest else { throw .tooLarge }
        // Slices of `text`, so that whoever owns it can overwrite it and there is no other copy.
        var found: [AWSCredentials.Field: ArraySlice<UInt8>] = [:]
        var isOurs = false
        var wasSeen = false
        // A field without a value may have more of its own beneath it, indented.
        var mayNest = false
        // An editor's byte-order mark is not the first line's.
        let start = text.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        for (index, whole) in text[start...].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let line = trimmed(whole)
            let number = index + 1
            guard let first = line.first, !isComment(first) else { continue }
            if first == UInt8(ascii: "[") {
                isOurs = try name(of: line, number) == Array(profile.utf8)
                if isOurs, wasSeen { throw .malformed(line: number, "the profile is there twice") }
                wasSeen = wasSeen || isOurs
                mayNest = false
                continue
            }
            guard isOurs else { continue }
            if isBlank(whole[whole.startIndex]) {
                guard mayNest else { throw .malformed(line: number, "it is indented: begin it at the margin") }
                continue
            }
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")), equals > line.startIndex else {
                throw .malformed(line: number, "write NAME = VALUE")
            }
            let value = valueOf(line[(equals + 1)...])
            mayNest = value.isEmpty
            let spelling = String(decoding: trimmed(line[..<equals]), as: UTF8.self).lowercased()
            guard let field = AWSCredentials.Field(rawValue: spelling) else { continue }
            guard found[field] == nil else { throw .malformed(line: number, "\(field.rawValue) is there twice") }
            guard !value.isEmpty else { throw .malformed(line: number, "\(field.rawValue) is empty") }
            found[field] = value
        }
        guard wasSeen else { throw .noProfile(profile) }
        guard let accessKey = found[.accessKey] else { throw .missing(.accessKey, profile: profile) }
        guard let secretKey = found[.secretKey] else { throw .missing(.secretKey, profile: profile) }
        return try AWSCredentials(accessKey: accessKey, secretKey: secretKey, sessionToken: found[.sessionToken])
    }

    /// Of a line that begins with a bracket; a comment may follow.
    private static func name(of line: ArraySlice<UInt8>, _ number: Int) throws(CredentialError) -> [UInt8] {
        guard let end = line.firstIndex(of: UInt8(ascii: "]")) else { throw .malformed(line: number, "a bracket is not closed") }
        let rest = trimmed(line[(end + 1)...])
        guard rest.first.map(isComment) ?? true else { throw .malformed(line: number, "something follows the bracket") }
        return Array(trimmed(line[(line.startIndex + 1)..<end]))
    }

    /// Without a comment behind it: that begins with a mark after a blank, since neither is in a key.
    private static func valueOf(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let end = text.indices.first { at in
            isComment(text[at]) && at > text.startIndex && isBlank(text[at - 1])
        }
        return trimmed(text[..<(end ?? text.endIndex)])
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isSpace = { (byte: UInt8) in isBlank(byte) || byte == UInt8(ascii: "\r") }
        guard let first = text.firstIndex(where: { !isSpace($0) }), let last = text.lastIndex(where: { !isSpace($0) }) else { return [] }
        return text[first...last]
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    private static func isComment(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "#") || byte == UInt8(ascii: ";") }
}
