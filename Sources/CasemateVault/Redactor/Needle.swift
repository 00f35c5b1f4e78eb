/// One value to look for, and the mark that takes its place.
///
/// Printing, dumping or interpolating a needle shows its mark, never its value.
package struct Needle: Sendable {
    let mark: [UInt8]
    let value: [UInt8]
    let isWeak: Bool

    /// - Parameters:
    ///   - mark: Written where `value` stood. Not itself secret.
    ///   - value: The bytes to hide, at most 64 KiB. An empty value is ignored.
    ///   - isWeak: Whether the value is such that texts have it by chance (`SecretStrength`): it is then looked for as a whole word only, as
    ///     any value under eight bytes is.
    package init(mark: [UInt8], value: [UInt8], isWeak: Bool = false) {
        self.mark = mark
        self.value = value
        self.isWeak = isWeak
    }

    /// A secret of the revision; becomes `[secret:NAME]`.
    package static func secret(name: String, value: [UInt8], isWeak: Bool = false) -> Needle {
        Needle(mark: Array("[secret:\(name)]".utf8), value: value, isWeak: isWeak)
    }

    /// A token that belongs to one call; becomes `[token]`.
    package static func token(_ value: [UInt8]) -> Needle {
        Needle(mark: Array("[token]".utf8), value: value)
    }
}

extension Needle: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "Needle(\(String(decoding: mark, as: UTF8.self)))" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}
