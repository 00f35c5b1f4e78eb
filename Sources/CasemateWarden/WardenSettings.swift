/// Where the warden finds its parts. All of it comes from root at start, none from a server.
public struct WardenSettings: Sendable {
    /// Names this warden's cgroups and its folder below /run/casemate.
    public var instance: String
    /// Bundles lie below it. Root's, 0700.
    public var store: String
    /// Runtimes' root file systems, made by `casemate runtime install`.
    public var runtimes: String
    /// The shims and the profiles' templates: the folder `runtimes` of the installation or the checkout.
    public var parts: String
    /// The build sandbox's tools, read-only.
    public var tools: String
    /// The only user, besides root, who may connect.
    public var peerUID: UInt32

    public init(instance: String, store: String, runtimes: String, parts: String, tools: String, peerUID: UInt32) {
        self.instance = instance
        self.store = store
        self.runtimes = runtimes
        self.parts = parts
        self.tools = tools
        self.peerUID = peerUID
    }

    public static let runRoot = "/run/casemate"
    public var run: String { "\(Self.runRoot)/\(instance)" }
    public var socket: String { run + "/warden.sock" }
    /// Above the groups of all instances.
    public static let cgroups = "/casemate"
    var cgroup: String { "\(Self.cgroups)/\(instance)" }
    var bundles: String { store + "/bundles" }

    /// Letters, digits and dashes only: the instance becomes part of paths.
    public static func isInstance(_ text: String) -> Bool {
        (1...40).contains(text.utf8.count)
            && text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") }
            && !text.hasPrefix("-") && text != "uids"
    }
}
