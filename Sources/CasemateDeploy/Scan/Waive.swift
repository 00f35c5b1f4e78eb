import CasemateModel

/// Applies waivers: what somebody lets pass is told, with whose decision it is, and stops nothing until that ends.
public enum Waive {
    public static func findings(_ findings: [Diagnostic], by waivers: [Waiver], at now: Timestamp) -> [Diagnostic] {
        let inForce = waivers.filter { $0.isInForce(at: now) }
        return findings.map { diagnostic in
            // As it was found: what was let pass then need not be now.
            var diagnostic = diagnostic
            if diagnostic.finding?.waiver != nil {
                diagnostic.severity = diagnostic.finding?.level.blocks == true ? .error : .warning
                diagnostic.finding?.waiver = nil
            }
            // The one that lasts longest, where there are several.
            guard let detail = diagnostic.finding,
                let waiver = inForce.filter({ $0.finding == detail.id }).max(by: { $0.expires < $1.expires })
            else { return diagnostic }
            var waived = diagnostic
            waived.severity = .warning
            waived.finding?.waiver = FindingDetail.Waived(reason: waiver.reason, expires: waiver.expires.rfc3339, by: waiver.createdBy)
            return waived
        }
    }
}
