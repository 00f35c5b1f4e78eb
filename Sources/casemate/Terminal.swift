import Foundation
import Glibc

/// Output for people. Colours only on a terminal; what comes from a function can't move the cursor.
enum Terminal {
    static let isInteractive = isatty(1) == 1 && getenv("NO_COLOR") == nil

    static func line(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

    static func write(_ bytes: [UInt8]) { FileHandle.standardOutput.write(Data(bytes)) }

    static func error(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    /// A step under way, on standard error so that standard output stays for results.
    static func step(_ text: String) { error(isatty(2) == 1 && getenv("NO_COLOR") == nil ? "\u{1b}[2m\(text)\u{1b}[0m" : text) }

    enum Colour: String { case red = "31", green = "32", yellow = "33", dim = "2" }

    static func coloured(_ text: String, _ colour: Colour) -> String { isInteractive ? "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m" : text }

    /// Control characters as `\xNN`: a log line can't clear the screen or forge another.
    static func visible(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 32 && scalar != "\t" || (127..<160).contains(scalar.value)
            // Bidirectional overrides, and the separators that some terminals take for line ends.
            let isBidirectional = (0x2028...0x202e).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
            if isControl || isBidirectional {
                out += scalar.value < 256 ? "\\x" + String(format: "%02x", scalar.value) : "\\u{" + String(scalar.value, radix: 16) + "}"
            } else {
                out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    /// Columns as wide as their widest cell.
    static func table(_ header: [String], _ rows: [[String]]) {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        for (index, row) in all.enumerated() {
            let text = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }.joined(separator: "  ")
            let trimmed = text.replacingOccurrences(of: " +$", with: "", options: .regularExpression)
            line(index == 0 ? coloured(trimmed, .dim) : trimmed)
        }
    }
}
