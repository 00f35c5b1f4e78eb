import CasemateModel
import CasemateWire

extension SandboxLimits {
    /// A spec's limits in the warden's terms.
    public init(_ limits: FunctionSpec.Limits) {
        self.init(
            memoryInBytes: limits.memoryInBytes, cpuInMillicores: limits.cpuInMillicores, pids: limits.pids, tmpInBytes: limits.tmpInBytes)
    }
}
