/// All that says who presents a credential and what its holder may do, as it was at one moment.
public struct AccessRecords: Sendable {
    public var credentials: [StoredCredential]
    public var accounts: [ServiceAccount]
    public var grants: [Grant]
    public var issuers: [Issuer]

    public init(
        credentials: [StoredCredential], accounts: [ServiceAccount] = [], grants: [Grant] = [], issuers: [Issuer] = []
    ) {
        self.credentials = credentials
        self.issuers = issuers
        self.accounts = accounts
        self.grants = grants
    }
}
