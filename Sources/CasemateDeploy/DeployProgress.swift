import CasemateModel

/// How far a deployment is, for whoever waits for it.
public enum DeployProgress: Sendable {
    public typealias Teller = @Sendable (DeployProgress) -> Void

    /// `build`, `scan`, … of a function begins.
    case stage(String, of: FunctionName)
    /// One of the gate's checks is done.
    case check(CheckProgress)
}
