import CasemateInvoke
import CasemateModel
import CasemateSandbox
import CasemateStore
import Foundation
import Glibc

/// The server's metrics in Prometheus' text format 0.0.4.
///
/// No label holds a name, an address, a secret or any other text of a user's: each comes from a fixed set.
struct MetricsText {
    let metrics: CallMetrics
    let gauges: CallGauges
    let counters: CallCounters
    let functions: Int
    let egress: EgressTotals.Values
    let isWardenConnected: Bool
    let audit: (written: Int, isWritable: Bool)
    let isVaultOpen: Bool
    let gate: GateGauges
    /// Archives that were set aside, by where they lay.
    let quarantined: [ArtifactNotice.Place: Int]
    let queue: QueueMetrics
    /// Asynchronous calls that have not ended.
    let open: (queued: Int, running: Int)
    /// That nobody had made once more.
    let deadLetters: Int

    var rendered: String {
        var out = Page()
        out.counter("casemate_calls_total", "Calls that ended, by what became of them.", metrics.calls, label: "outcome")
        out.counter("casemate_refusals_total", "Requests refused before a call ran, by problem.", metrics.refusals, label: "problem")
        out.counter(
            "casemate_limit_breaches_total", "How often a function or a caller ran into which limit.",
            Dictionary(uniqueKeysWithValues: CallMetrics.Limit.allCases.map { ($0.rawValue, metrics.limits[$0] ?? 0) }), label: "limit")
        out.counter(
            "casemate_blocked_system_calls_total", "System calls that sandboxes tried and may not make.", metrics.blockedCalls,
            label: "call")
        out.counter(
            "casemate_egress_refused_total", "Ways out that were refused, by reason.",
            Dictionary(uniqueKeysWithValues: EgressRefusal.allCases.map { ($0.rawValue, egress.refused[$0] ?? 0) }), label: "reason")
        out.counter("casemate_egress_connections_total", "Connections made to the world.", egress.connections)
        out.counter(
            "casemate_egress_bytes_total", "Bytes over connections to the world.", ["out": egress.bytesOut, "in": egress.bytesIn],
            label: "direction")
        out.gauge("casemate_egress_open", "Connections out of sandboxes that are open now.", egress.open)
        out.counter("casemate_redactions_total", "Values taken out of logs and responses.", counters.redactions.value)
        out.counter("casemate_cold_starts_total", "Instances started.", counters.coldStarts.value)
        out.histogram("casemate_call_duration_seconds", "From a request's head to its answer.", metrics.duration)
        out.histogram("casemate_call_queue_seconds", "How long calls waited for an instance.", metrics.queue)
        out.histogram("casemate_cold_start_seconds", "From asking for a sandbox to a loaded handler.", metrics.coldStart)
        out.histograms("casemate_cold_start_phase_seconds", "The same by phase.", metrics.coldStartPhases, label: "phase")
        out.histogram("casemate_thaw_seconds", "How long a frozen instance took to go on.", metrics.thaw)
        out.gauge("casemate_calls_running", "Calls that run now.", gauges.running)
        out.gauge("casemate_calls_waiting", "Calls that wait for an instance now.", gauges.waiting)
        out.gauge("casemate_instances", "Instances that are up, frozen ones among them.", gauges.instances)
        out.gauge("casemate_instances_starting", "Instances on their way.", gauges.starting)
        out.gauge("casemate_instances_frozen", "Instances that are frozen.", gauges.frozen)
        out.gauge("casemate_instances_frozen_bytes", "Memory that frozen instances hold.", gauges.frozenBytes)
        let pools: [(String, String, KeyPath<CallGauges.Pool, Int>)] = [
            ("casemate_pool_ready", "Sandboxes that wait warm, by runtime.", \.ready),
            ("casemate_pool_starting", "Sandboxes on their way to the pool.", \.starting),
            ("casemate_pool_waiting", "Cold starts that wait for a sandbox.", \.waiting),
            ("casemate_pool_target", "How many the pool tries to keep.", \.target),
        ]
        for (name, help, value) in pools {
            out.gauges(name, help, gauges.pools.map { ($0.profile, $0[keyPath: value]) }, label: "runtime")
        }
        out.gauge("casemate_advisories", "Advisories that packages are held against.", gate.advisories)
        out.gauge("casemate_advisories_newest_seconds", "When the newest of them was changed, as a Unix time.", gate.newest)
        out.gauge("casemate_functions_vulnerable", "Live functions with a grave advisory that nobody waived.", gate.vulnerable)
        out.gauge("casemate_functions_disabled", "Functions none of whose calls run.", gate.disabled)
        out.gauge("casemate_functions", "Functions there are.", functions)
        out.gauge("casemate_warden_connected", "1 while the warden answers.", isWardenConnected ? 1 : 0)
        out.counter("casemate_audit_records_total", "Records written to the audit log since the start.", audit.written)
        out.gauge("casemate_audit_writable", "1 while the audit log can be written.", audit.isWritable ? 1 : 0)
        out.counter(
            "casemate_artifacts_quarantined_total", "Archives that were not what their digest says, by where they lay.",
            Dictionary(uniqueKeysWithValues: ArtifactNotice.Place.allCases.map { ($0.rawValue, quarantined[$0] ?? 0) }), label: "place")
        out.gauge("casemate_queue_waiting", "Asynchronous calls that wait.", open.queued)
        out.gauge("casemate_queue_running", "Asynchronous calls that run.", open.running)
        out.gauge("casemate_queue_dead_letters", "Asynchronous calls that were tried in vain, and not redriven.", deadLetters)
        out.counter(
            "casemate_queue_ended_total", "Asynchronous calls that ended, by state.",
            Dictionary(uniqueKeysWithValues: CallState.final.map { ($0.rawValue, queue.ended[$0.rawValue] ?? 0) }), label: "state")
        out.counter("casemate_queue_retries_total", "Attempts that were followed by another.", queue.retried)
        out.counter("casemate_queue_fenced_total", "Results that came too late to count.", queue.fenced)
        out.histogram("casemate_queue_wait_seconds", "From when an asynchronous call could run until it did.", queue.waited)
        out.gauge("casemate_vault_open", "1 while the vault is not sealed and its key can be had, as far as is known.", isVaultOpen ? 1 : 0)
        out.gauge("process_resident_memory_bytes", "Resident memory of the server's process.", Self.residentBytes)
        out.gauge("process_open_fds", "Open descriptors of the server's process.", Self.openDescriptors)
        return out.text
    }

    private static var residentBytes: Int {
        let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
    }

    private static var openDescriptors: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.count ?? 0 }
}

/// Lines of a metrics page.
private struct Page {
    var text = ""

    private mutating func head(_ name: String, _ help: String, _ type: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    mutating func counter(_ name: String, _ help: String, _ value: Int) {
        head(name, help, "counter")
        text += "\(name) \(value)\n"
    }

    mutating func counter(_ name: String, _ help: String, _ values: [String: Int], label: String) {
        head(name, help, "counter")
        for (key, value) in values.sorted(by: { $0.key < $1.key }) { text += "\(name){\(label)=\"\(key)\"} \(value)\n" }
    }

    mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        head(name, help, "gauge")
        text += "\(name) \(value)\n"
    }

    mutating func gauges(_ name: String, _ help: String, _ values: [(String, Int)], label: String) {
        head(name, help, "gauge")
        for (key, value) in values { text += "\(name){\(label)=\"\(key)\"} \(value)\n" }
    }

    mutating func histogram(_ name: String, _ help: String, _ value: Histogram) {
        head(name, help, "histogram")
        lines(name, value, label: "")
    }

    mutating func histograms(_ name: String, _ help: String, _ values: [String: Histogram], label: String) {
        head(name, help, "histogram")
        for (key, value) in values.sorted(by: { $0.key < $1.key }) { lines(name, value, label: "\(label)=\"\(key)\"") }
    }

    private mutating func lines(_ name: String, _ value: Histogram, label: String) {
        var total = 0
        let prefix = label.isEmpty ? "" : label + ","
        for (index, count) in value.counts.enumerated() {
            total += count
            let bound = index < Histogram.bounds.count ? "\(Histogram.bounds[index])" : "+Inf"
            text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(total)\n"
        }
        let braces = label.isEmpty ? "" : "{\(label)}"
        text += "\(name)_sum\(braces) \(value.sum)\n\(name)_count\(braces) \(total)\n"
    }
}
