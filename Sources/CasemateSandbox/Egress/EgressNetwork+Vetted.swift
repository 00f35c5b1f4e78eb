import CasemateModel

/// For what the server itself sends to a place that somebody named.
extension EgressNetwork {
    /// An address of the name that is fit to be connected to: public, and not the server's own.
    /// - Returns: nil where it has none, or one of them is not fit.
    public func publicAddress(of name: String) async -> String? {
        if let address = IPAddress(name) { return addresses.refusal(of: address, listed: []) == nil ? "\(address)" : nil }
        return await withCheckedContinuation { continuation in
            resolver.resolve(name) { [addresses] result in
                guard case .success(let found) = result, found.allSatisfy({ addresses.refusal(of: $0, listed: []) == nil }) else {
                    return continuation.resume(returning: nil)
                }
                continuation.resume(returning: found.first.map { "\($0)" })
            }
        }
    }
}
