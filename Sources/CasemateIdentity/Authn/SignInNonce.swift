import CasemateModel
import Crypto

/// What ties an ID token to the server that it was asked for: one that is shown to a server can't be carried to another by that.
public enum SignInNonce {
    /// - Parameters:
    ///   - server: the API's URL, as whoever signs in wrote it; a slash at its end says nothing.
    ///   - seed: random, and told to that server alone.
    public static func make(server: String, seed: String) -> String {
        let name = server.hasSuffix("/") ? String(server.dropLast()) : server
        return Base64URL.encode(Array(SHA256.hash(data: Array("casemate/sign-in/1\n\(name)\n\(seed)".utf8))))
    }
}
