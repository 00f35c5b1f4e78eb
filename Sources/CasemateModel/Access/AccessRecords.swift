/// All that says who presents a credential and what its holder may do, as it was at one moment.
public struct AccessRecords: Sendable {
    public var credentials: [StoredCredential]
    public var accounts: [ServiceAccount]
    public var grants: [Grant]

    public init(credentials: [StoredCredential], accounts: [ServiceAccount] = [], grants: [Grant] = []) {
        self.credentials = credentials
        self.accounts = accounts
        self.grants = grants
    }
}
