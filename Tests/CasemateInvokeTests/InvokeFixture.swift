import CasemateIdentity
import CasemateModel
import CasemateVault
import NIOCore
import NIOHTTP1

@testable import CasemateInvoke

/// Functions and callers for the stages of a call.
enum InvokeFixture {
    static let namespace = NamespaceId()
    static let otherNamespace = NamespaceId()
    static let digest = String(repeating: "ab", count: 32)
    static let call = CallId()
    /// None is trusted.
    static let issuers = IssuerRegistry(fetch: { _ in [] }, failed: { _, _ in })
    /// None was given.
    static let consents = Consents()
    /// None runs.
    static let sessions = CallSessions(rightsNow: { _ in .none }, resource: { _ in nil })

    static func deployed(
        _ name: String, in namespace: NamespaceId = namespace, access: FunctionSpec.Access = .private, secrets: [String] = [],
        stored: [String] = [], digest: String = digest, callers: [String] = [], capabilities: [String] = [],
        policy: NamespacePolicy = NamespacePolicy()
    ) -> Deployed {
        let id = FunctionId()
        var spec = FunctionSpec(
            runtime: "python3.11", handler: "app.py.handle", access: access, secrets: secrets.compactMap { VariableName($0) })
        spec.callers = callers.isEmpty ? nil : callers.compactMap { FunctionName($0) }
        spec.capabilities = capabilities.isEmpty ? nil : capabilities.compactMap { Capability($0) }
        let revision = Revision(
            id: RevisionId(), functionId: id, number: 1, bundleDigest: digest, sourceDigest: "", specBytes: [], lock: nil, findings: [],
            signature: [], created: Timestamp(milliseconds: 1), createdBy: "")
        return Deployed(
            id: id, namespaceId: namespace, name: FunctionName(name)!, revision: revision, spec: spec,
            wrappedDataKey: WrappedKey(keyId: "file:1", bytes: []),
            secrets: stored.compactMap { VariableName($0) }.map {
                SealedSecret(functionId: id, name: $0, version: 1, sealed: [], updated: Timestamp(milliseconds: 1))
            }, policy: policy, signerKey: "key")
    }

    /// A function of which only secrets exist.
    static func undeployed(_ name: String) -> Deployed {
        Deployed(
            id: FunctionId(), namespaceId: namespace, name: FunctionName(name)!, revision: nil, spec: nil,
            wrappedDataKey: WrappedKey(keyId: "file:1", bytes: []), secrets: [])
    }

    static func incoming(
        _ target: String, _ credential: PresentedCredential = .none, depth: Int = 0, query: String = "",
        headers: HTTPHeaders = HTTPHeaders()
    )
        -> IncomingCall
    {
        IncomingCall(
            id: call, method: .POST, target: target[...], path: "/", query: query[...], headers: headers, credential: credential,
            received: .now(), depth: depth)
    }

    /// One valid credential per holder.
    static func index(_ holders: [(String, StoredCredential.Holder)], accounts: [ServiceAccount] = [], grants: [Grant] = [])
        -> CredentialIndex
    {
        let index = CredentialIndex()
        let credentials = holders.map { text, holder in
            StoredCredential(
                holder: holder, hash: Credential(text)!.hash.bytes, prefix: "", description: "", created: Timestamp(milliseconds: 0),
                expires: Timestamp.now.advanced(byMilliseconds: 3_600_000))
        }
        index.load(AccessRecords(credentials: credentials, accounts: accounts, grants: grants))
        return index
    }

    static func redactor(_ secrets: [String: String] = ["DB_URL": "hunter2-hunter2"], token: String? = nil) -> Redactor {
        Redactor(
            secrets.map { Needle.secret(name: $0.key, value: Array($0.value.utf8)) }
                + (token.map { [Needle.token(Array($0.utf8))] } ?? []))
    }

    static func reply(_ body: [UInt8], status: Int = 200, headers: [(String, String)] = []) -> Reply {
        Reply(status: status, headers: headers.map { (name: $0.0, value: $0.1) }, body: ByteBuffer(bytes: body))
    }

    static func reply(_ body: String, status: Int = 200, headers: [(String, String)] = []) -> Reply {
        reply(Array(body.utf8), status: status, headers: headers)
    }
}

extension PresentedCredential {
    static func text(_ text: String, inBearer: Bool = false) -> PresentedCredential { .one(Credential(text)!, inBearer: inBearer) }
}
