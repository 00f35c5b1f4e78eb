import CasemateIdentity
import CasemateModel
import CasemateStore
import HTTPTypes

extension APIServices {
    var namespaceRoutes: [APIRoute] {
        [
            APIRoute(.get, "/v1/namespaces", needs: .credential) { request in
                try request.allowQuery([])
                let rights = request.principal.rights
                let known = try await records.read { try $0.namespaces() }.filter { !rights.within(.namespace($0.id)).isEmpty }
                return .json(NamespaceList(namespaces: known.map(NamespaceView.init)))
            },
            APIRoute(.post, "/v1/namespaces", needs: .right(.platformAdmin)) { request in
                let body: NewNamespace = try await request.json()
                let namespace = Namespace(id: NamespaceId(), name: body.name, created: .now)
                try await records.write { transaction in
                    try transaction.insert(namespace)
                    transaction.record(.namespaceCreated, namespace.auditScope)
                }
                return .json(NamespaceView(namespace), status: .created)
            },
            APIRoute(.delete, "/v1/namespaces/{namespace}", needs: .right(.platformAdmin)) { request in
                let name = try request.namespace()
                let namespace = try await namespace(name)
                try await changeAccess { transaction in
                    try transaction.delete(namespace)
                    transaction.record(.namespaceDeleted, namespace.auditScope)
                }
                return .noContent
            },
        ]
    }
}

struct NewNamespace: StrictDecodable {
    static let fields: Set<String> = ["name"]
    var name: NamespaceName
}

struct NamespaceView: Encodable, Sendable {
    var id: String
    var name: String
    var created: String

    init(_ namespace: Namespace) {
        id = namespace.id.text
        name = namespace.name.text
        created = namespace.created.rfc3339
    }
}

struct NamespaceList: Encodable, Sendable { var namespaces: [NamespaceView] }
