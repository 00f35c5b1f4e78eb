/// Where an object goes while it comes, so that it need not fit into memory. Called from a thread of the transport's, which may block.
public protocol ObjectSink: Sendable {
    /// An attempt begins: what came before it is void.
    /// - Returns: whether it can be taken.
    func begin() -> Bool

    /// - Returns: whether it was taken. Else the transfer ends there.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool
}
