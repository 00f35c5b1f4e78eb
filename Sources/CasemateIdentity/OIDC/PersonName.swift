import Foundation

/// What people and groups may be called, in tokens and in grants.
public enum PersonName {
    /// 1 to 255 bytes that are composed as far as can be (NFC), so that names which look the same are the same, and without characters that
    /// end a line, move a cursor or turn the direction of a text.
    public static func isPlain(_ text: String) -> Bool {
        guard (1...255).contains(text.utf8.count), text.precomposedStringWithCanonicalMapping.utf8.elementsEqual(text.utf8) else {
            return false
        }
        return text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
            default: true
            }
        }
    }

    public static let rule = "a name has 1 to 255 bytes, is composed (NFC), and has no control characters"
}
