import CPSL
import CasemateModel
import Foundation

/// One entry of an egress list, as a person writes it: `api.example.com:443`, `*.blob.example.net:443`.
///
/// Names are compared as DNS does: in lower case, without a dot at the end, in A-labels (RFC 5891 §4.4). Whoever reads the list sees those,
/// so that a letter of another script can't pass for the one it looks like.
public enum EgressEntry {
    /// What is wrong with an entry, and what to write instead.
    public struct Fault: Error, Equatable, Sendable {
        public let what: String
        public let fix: String
    }

    public static func parse(_ text: String) throws(Fault) -> AllowedHost {
        let example = "write it as \"api.example.com:443\""
        func fault(_ what: String, _ fix: String = example) -> Fault { Fault(what: "\(Wording.quoted(text)) \(what)", fix: fix) }
        guard text.utf8.count <= 1024, let colon = text.lastIndex(of: ":") else { throw fault("is not HOST:PORT") }
        let port = text[text.index(after: colon)...]
        var host = text[..<colon]
        if let range = AddressRange(host) {
            guard let allowed = AllowedHost(text) else {
                throw range.isNetwork
                    ? fault("names addresses that can't be listed", addressFix)
                    : fault("has bits beyond its prefix", "write the range's first address")
            }
            return allowed
        }
        if isAddress(host) || host.contains("/") || host.contains(":") {
            throw fault("names an address", addressFix)
        }
        let isWild = host.hasPrefix("*.")
        if isWild { host = host.dropFirst(2) }
        guard !host.contains("*"), !host.isEmpty else {
            throw fault("has a * that is not the whole first label", "write it as \"*.blob.example.net:443\", or list each name")
        }
        guard let name = ascii(String(host.hasSuffix(".") ? host.dropLast() : host)) else { throw fault("is not HOST:PORT") }
        if isAddress(name[...]) { throw fault("names an address", addressFix) }
        if !host.utf8.allSatisfy({ $0 < 128 }), !name.contains("xn--") {
            throw fault("has letters that only look like those of \(name)", "write it as \"\(isWild ? "*." : "")\(name):\(port)\"")
        }
        guard let allowed = AllowedHost("\(isWild ? "*." : "")\(name):\(port)") else { throw fault("is not HOST:PORT") }
        if allowed.name == reserved || allowed.name.hasSuffix("." + reserved) {
            throw fault("is a name of the platform's own", "remove it; the platform opens it where it is needed")
        }
        if isWild, isPublicSuffix(allowed.name) {
            throw fault("would open names that anybody can register", "list each name below \(allowed.name) that the function needs")
        }
        return allowed
    }

    private static let addressFix =
        "list the name that stands for it; addresses are written as 192.0.2.7:443 or 192.0.2.0/24:443, IPv4 only"

    /// What whoever reads a list with addresses in it should know.
    public static func warning(_ host: AllowedHost) -> String? {
        host.range.map { _ in "\(host) is an address: nothing checks by name what answers there" }
    }
    private static let reserved = "casemate.internal"

    /// In A-labels; nil for what is no name in any script.
    private static func ascii(_ name: String) -> String? {
        if name.utf8.allSatisfy({ $0 < 128 }) { return name }
        // Nothing that would mean something else in a URL; its parser applies IDNA (UTS #46).
        let isPlain = name.unicodeScalars.allSatisfy {
            $0.value >= 128 || AllowedHost(name: "\($0)y", port: 1) != nil || $0 == "." || $0 == "-"
        }
        return isPlain ? URLComponents(string: "https://\(name)/")?.encodedHost : nil
    }

    /// Whether a resolver of addresses would take it for one, in any of its spellings.
    private static func isAddress(_ text: Substring) -> Bool {
        if IPAddress(String(text)) != nil || text.hasPrefix("[") { return true }
        guard let last = text.split(separator: ".", omittingEmptySubsequences: true).last else { return false }
        let digits = last.lowercased().hasPrefix("0x") ? last.dropFirst(2).filter { !$0.isHexDigit } : last.filter { !$0.isNumber }
        return digits.isEmpty
    }

    /// By the Public Suffix List, with the providers below whose names anybody can have one.
    private static func isPublicSuffix(_ name: String) -> Bool {
        // The newest list of the host's, else the one that came with the library.
        guard name.contains("."), let list = psl_latest(nil) else { return true }
        defer { psl_free(list) }
        return psl_is_public_suffix(list, name) != 0
    }
}
