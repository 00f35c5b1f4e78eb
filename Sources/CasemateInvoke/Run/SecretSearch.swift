import CasemateIdentity
import CasemateModel
import CasemateVault

/// What is looked for on behalf of one function with one set of values. Made once for each set: that takes about a millisecond for 10 KB of
/// values, so that more than a little is not made on the event loop.
struct SecretSearch: Sendable {
    /// In the credentials of the platform's that the function is given.
    let seals: CredentialSeals
    /// In all that the function says.
    let redactor: Redactor
    /// In its answers, where that is less: a function may be let answer with its own secrets.
    let answers: Redactor?
    /// What its way out puts in, in what comes back.
    let injected: Redactor
    /// In what goes out and is told of it, where names are in lower case.
    let outgoing: Redactor

    init(_ values: FunctionSecrets, of spec: FunctionSpec) {
        let all = values.all
        seals = CredentialSeals(audiences: spec.audiences ?? [], hasSessions: spec.capabilities != nil)
        let tokens = seals.utf8.map { Needle.token($0) }
        redactor = Redactor(all.map(Needle.init) + tokens)
        let places = Set((spec.injected ?? []).map(\.name))
        injected = Redactor(values.current.filter { places.contains($0.name) }.map(Needle.init))
        answers = spec.secretsInResponse == .allow ? Redactor(all.filter { places.contains($0.name) }.map(Needle.init) + tokens) : nil
        outgoing = redactor.adding(all.compactMap(Self.inLowerCase))
    }

    private static func inLowerCase(_ secret: OpenedSecret) -> Needle? {
        let lower = secret.value.withBytes { value in
            let lower = value.map { (65...90).contains($0) ? $0 | 0x20 : $0 }
            return lower.elementsEqual(value) ? nil : lower
        }
        return lower.map { Needle(OpenedSecret(name: secret.name, version: secret.version, isWeak: secret.isWeak, value: Secret($0))) }
    }
}
