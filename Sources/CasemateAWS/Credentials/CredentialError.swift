/// Why there are no credentials. Never holds a value, nor a line of the file.
public enum CredentialError: Error, Equatable, CustomStringConvertible {
    case invalid(AWSCredentials.Field)
    /// Nil for the environment.
    case missing(AWSCredentials.Field, profile: String?)
    case noProfile(String)
    case malformed(line: Int, String)
    case tooLarge
    case readableByOthers(String)
    /// With what the system said.
    case unreadable(String, String)

    public var description: String {
        switch self {
        case .invalid(let field): "\(field.rawValue) is none: it has visible ASCII characters only, and not too many"
        case .missing(let field, nil): "\(field.rawValue.uppercased()) is not set"
        case .missing(let field, let profile?): "the profile \(Self.shown(profile)) has no \(field.rawValue)"
        case .noProfile(let profile): "there is no profile \(Self.shown(profile)): write [\(Self.shown(profile))] above its keys"
        case .malformed(let line, let why): "line \(line) of the credentials file: \(why)"
        case .tooLarge: "the credentials file is larger than 64 KiB"
        case .readableByOthers(let path): "\(path) can be read by everyone; make it an ordinary file of mode 0600 or 0640"
        case .unreadable(let path, let why): "\(path): \(why)"
        }
    }

    private static func shown(_ profile: String) -> String { profile.isMade(of: "-_.", atMost: 64) ? profile : "of that name" }
}
