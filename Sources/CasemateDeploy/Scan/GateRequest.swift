import CasemateModel
import CasemateWire
import Foundation

/// What the gate's tools are asked, as they read it: JSON with an `operation`.
struct GateRequest {
    let bytes: [UInt8]

    private init(_ body: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        bytes = [UInt8](try encoder.encode(body))
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// To search the bundle that is shown.
    static func scan(_ subject: ScanSubject, _ policy: GatePolicy) throws -> GateRequest {
        struct Body: Encodable {
            let operation = "scan"
            let root = "/fn"
            let function, handler: String
            let direct: [RequestedPackage]
            let firstUploads: [String: String]
            let fromSource: [String]
            let settings: Settings
        }
        struct Settings: Encodable {
            let nosec: Bool
            let newestDays, maxDependencies: Int
        }
        let bundle = subject.bundle
        return try GateRequest(
            Body(
                function: bundle.planned.name.description, handler: subject.spec.handler, direct: bundle.direct,
                firstUploads: bundle.firstUploads, fromSource: bundle.fromSource,
                settings: Settings(
                    nosec: policy.honoursPragmas, newestDays: policy.newestDays, maxDependencies: policy.maxDependencies)))
    }

    /// To hold packages against advisories, which are put in as they are stored.
    static func match(_ components: [Component], _ advisories: [[UInt8]], _ policy: GatePolicy) throws -> GateRequest {
        struct Body: Encodable {
            let operation = "match"
            let components: [Component]
            let settings: Settings
        }
        return GateRequest(
            bytes: adding(advisories, to: try GateRequest(Body(components: components, settings: Settings(policy))).bytes))
    }

    /// Likewise for many bundles at once, each under a key.
    static func match(_ functions: [String: [Component]], _ advisories: [[UInt8]], _ policy: GatePolicy) throws -> GateRequest {
        struct Body: Encodable {
            let operation = "match"
            let functions: [String: [Component]]
            let settings: Settings
        }
        return GateRequest(bytes: adding(advisories, to: try GateRequest(Body(functions: functions, settings: Settings(policy))).bytes))
    }

    private struct Settings: Encodable {
        let unscored: String
        init(_ policy: GatePolicy) { unscored = policy.unscored.rawValue }
    }

    private static func adding(_ advisories: [[UInt8]], to body: [UInt8]) -> [UInt8] {
        Array(body.dropLast()) + Array(",\"advisories\":[".utf8) + Array(advisories.joined(separator: [UInt8(ascii: ",")]))
            + Array("]}".utf8)
    }

    /// To have its packages listed as a CycloneDX document.
    static func sbom(_ bundle: Bundle, _ components: [Component]) throws -> GateRequest {
        struct Body: Encodable {
            let operation = "sbom"
            /// Its number comes only with its signature; what it is made of is its name here.
            let function, revision, bundle: String
            let components: [Component]
            let lock: String?
        }
        return try GateRequest(
            Body(
                function: bundle.planned.name.description, revision: String(bundle.digest.hex.prefix(12)),
                bundle: "sha256:\(bundle.digest.hex)", components: components,
                lock: bundle.lock))
    }

    /// To read an archive of advisories.
    static func importing() throws -> GateRequest {
        struct Body: Encodable { let operation = "import" }
        return try GateRequest(Body())
    }
}
