import CasemateLinux
import CasemateWire
import Glibc

/// An installed runtime and its OCI template, into which only the warden's own ids, paths and numbers are put.
struct Profile {
    let rootfs: String
    private let template: String

    /// - Throws: when the runtime is not installed or has no template for this purpose.
    init(name: String, purpose: SandboxPurposeName, settings: WardenSettings) throws(SystemError) {
        guard Self.isName(name) else { throw SystemError("reading profile", errno: EINVAL) }
        let link = "\(settings.runtimes)/\(name)"
        var target = [CChar](repeating: 0, count: 256)
        let length = readlink(link, &target, 255)
        guard length > 0 else { throw .last("looking for runtime \(name)") }
        let folder = String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard !folder.contains("/"), folder.hasPrefix(name + "-") else { throw SystemError("reading runtime \(name)", errno: EINVAL) }
        rootfs = "\(settings.runtimes)/\(folder)"
        template = try Files.text("\(settings.parts)/profiles/\(name).\(purpose.rawValue).json")
    }

    /// Letters, digits, dots and dashes: `python3.11`.
    static func isName(_ text: String) -> Bool {
        (1...32).contains(text.utf8.count) && text.utf8.first.map { (97...122).contains($0) } == true
            && text.utf8.allSatisfy {
                (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
            }
            && !text.contains("..")
    }

    /// The template with `@NAME@` replaced.
    /// - Throws: when a value could end a JSON string, or a mark is left over.
    func configuration(_ values: [(name: String, value: String)]) throws(SystemError) -> String {
        var out = ""
        var rest = template[...]
        while let start = rest.firstIndex(of: "@") {
            out += rest[..<start]
            let after = rest[rest.index(after: start)...]
            guard let end = after.firstIndex(of: "@"), let found = values.first(where: { $0.name == after[..<end] }) else {
                throw SystemError("filling in a profile", errno: EINVAL)
            }
            guard found.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) else {
                throw SystemError("filling in a profile: \(found.name)", errno: EINVAL)
            }
            out += found.value
            rest = after[after.index(after: end)...]
        }
        return out + rest
    }
}

/// Which template of a profile: the end of its file's name.
enum SandboxPurposeName: String {
    case run, build, scan, fetch, check

    init(_ purpose: SandboxPurpose) {
        switch purpose {
        case .run: self = .run
        case .build: self = .build
        case .scan: self = .scan
        case .fetch: self = .fetch
        case .check: self = .check
        }
    }
}
