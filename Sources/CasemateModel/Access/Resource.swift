/// What a right is held on. A right on the whole holds for its parts.
public enum Resource: Hashable, Sendable {
    case platform
    case namespace(NamespaceId)
    case function(FunctionId, in: NamespaceId)
}
