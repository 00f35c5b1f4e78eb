import CasemateIdentity
import CasemateModel

/// A connection from one function's sandbox to the platform: who asks is known by the sandbox, before any credential is looked at.
package struct PlatformLink: Sendable {
    /// What functions reach the platform by. No function has such a name: theirs have one label more.
    package static let host = "casemate.internal"

    package let function: FunctionId
    package let name: FunctionName
    package let sandbox: UInt32
    /// Of the tokens by which it proves who it is, by their audience.
    package let seals: [String: CredentialSeal]
}
