import CasemateModel

/// `limits` and `scale`. A refused value leaves the default.
extension ManifestReader {
    mutating func limits(_ field: Field) -> FunctionSpec.Limits {
        typealias Limits = FunctionSpec.Limits
        var limits = Limits()
        let known = ["memory", "cpu", "timeout", "concurrency", "tmp", "pids"]
        guard let fields = fields(of: field.node, at: Place(field), known: known) else { return limits }
        if let memory = fields["memory"].flatMap({ size($0, in: Limits.memoryRange, example: "256MiB") }) { limits.memoryInBytes = memory }
        if let tmp = fields["tmp"].flatMap({ size($0, in: Limits.tmpRange, example: "64MiB") }) { limits.tmpInBytes = tmp }
        if let timeout = fields["timeout"].flatMap({ duration($0, in: Limits.timeoutRange, example: "60s") }) {
            limits.timeoutInMilliseconds = timeout
        }
        if let cpu = fields["cpu"].flatMap({ cores($0, in: Limits.cpuRange) }) { limits.cpuInMillicores = cpu }
        if let pids = fields["pids"].flatMap({
            count($0, in: Int(Limits.pidsRange.lowerBound)...Int(Limits.pidsRange.upperBound), example: "64")
        }) {
            limits.pids = UInt32(pids)
        }
        if let concurrency = fields["concurrency"], count(concurrency, in: 1...1000, example: "1") ?? 1 > 1 {
            faults.error(concurrency.line, "limits.concurrency above 1 is not available yet", fix: "remove it")
        }
        return limits
    }

    mutating func scale(_ field: Field) -> FunctionSpec.Scale {
        typealias Scale = FunctionSpec.Scale
        var scale = Scale()
        guard let fields = fields(of: field.node, at: Place(field), known: ["min", "max", "idle"]) else { return scale }
        if let max = fields["max"].flatMap({ count($0, in: Scale.maxRange, example: "10") }) { scale.max = max }
        if let idle = fields["idle"].flatMap({ duration($0, in: Scale.idleRange, example: "10m") }) { scale.idleInMilliseconds = idle }
        if let min = fields["min"], count(min, in: 0...Scale.maxRange.upperBound, example: "0") ?? 0 > 0 {
            faults.error(min.line, "scale.min above 0 is not available yet", fix: "remove it")
        }
        return scale
    }

    // MARK: Quantities

    private mutating func size(_ field: Field, in range: ClosedRange<UInt64>, example: String) -> UInt64? {
        quantity(
            field, "a size in KiB, MiB or GiB", in: range, parse: Quantity.sizeInBytes, show: Quantity.text(ofBytes:),
            suggest: { "\"\(Quantity.likelySize($0) ?? example)\"" })
    }

    private mutating func duration(_ field: Field, in range: ClosedRange<Int>, example: String) -> Int? {
        quantity(
            field, "a duration in ms, s, m or h", in: range, parse: Quantity.durationInMilliseconds,
            show: Quantity.text(ofMilliseconds:), suggest: { "\"\(Quantity.likelyDuration($0) ?? example)\"" })
    }

    private mutating func cores(_ field: Field, in range: ClosedRange<UInt32>) -> UInt32? {
        quantity(
            field, "a number of cores", in: range, parse: Quantity.millicores, show: Quantity.text(ofMillicores:), suggest: { _ in "0.5" })
    }

    private mutating func count(_ field: Field, in range: ClosedRange<Int>, example: String) -> Int? {
        quantity(
            field, "a whole number", in: range, parse: { Quantity.naturalNumber($0).map { Int(clamping: $0) } }, show: { "\($0)" },
            suggest: { _ in example })
    }
}
