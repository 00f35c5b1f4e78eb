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
        if let field = fields["concurrency"], let concurrency = count(field, in: Limits.concurrencyRange, example: "1"), concurrency > 1 {
            limits.concurrency = concurrency
            // Each call runs in a thread, and threads count as processes.
            if concurrency + 8 > Int(limits.pids) {
                faults.error(
                    field.line, "limits.concurrency \(concurrency) needs as many threads, and limits.pids is \(limits.pids)",
                    fix: "write pids: \(concurrency + 16) beside it")
            }
        }
        return limits
    }

    mutating func scale(_ field: Field) -> FunctionSpec.Scale {
        typealias Scale = FunctionSpec.Scale
        var scale = Scale()
        guard let fields = fields(of: field.node, at: Place(field), known: ["min", "max", "idle"]) else { return scale }
        if let max = fields["max"].flatMap({ count($0, in: Scale.maxRange, example: "10") }) { scale.max = max }
        if let idle = fields["idle"].flatMap({ duration($0, in: Scale.idleRange, example: "10m") }) { scale.idleInMilliseconds = idle }
        if let field = fields["min"], let min = count(field, in: 0...Scale.maxRange.upperBound, example: "0"), min > 0 {
            scale.min = min
            if min > scale.max { faults.error(field.line, "scale.min \(min) is above scale.max \(scale.max)", fix: "raise scale.max") }
        }
        return scale
    }

    /// `isolate: call`: a process per call, and so one call at a time in an instance.
    mutating func isolation(_ field: Field, _ limits: FunctionSpec.Limits) -> FunctionSpec.Isolation? {
        guard choice(field, of: ["instance", "call"]) == "call" else { return nil }
        if (limits.concurrency ?? 1) > 1 {
            faults.error(
                field.line, "isolate: call runs one call at a time in an instance", fix: "remove limits.concurrency; raise scale.max")
        }
        return .call
    }

    // MARK: Quantities

    private mutating func size(_ field: Field, in range: ClosedRange<UInt64>, example: String) -> UInt64? {
        quantity(
            field, "a size in KiB, MiB or GiB", in: range, parse: Quantity.sizeInBytes, show: Quantity.text(ofBytes:),
            suggest: { "\"\(Quantity.likelySize($0) ?? example)\"" })
    }

    mutating func duration(_ field: Field, in range: ClosedRange<Int>, example: String) -> Int? {
        quantity(
            field, "a duration in ms, s, m or h", in: range, parse: Quantity.durationInMilliseconds,
            show: Quantity.text(ofMilliseconds:), suggest: { "\"\(Quantity.likelyDuration($0) ?? example)\"" })
    }

    private mutating func cores(_ field: Field, in range: ClosedRange<UInt32>) -> UInt32? {
        quantity(
            field, "a number of cores", in: range, parse: Quantity.millicores, show: Quantity.text(ofMillicores:), suggest: { _ in "0.5" })
    }

    mutating func count(_ field: Field, in range: ClosedRange<Int>, example: String) -> Int? {
        quantity(
            field, "a whole number", in: range, parse: { Quantity.naturalNumber($0).map { Int(clamping: $0) } }, show: { "\($0)" },
            suggest: { _ in example })
    }
}
