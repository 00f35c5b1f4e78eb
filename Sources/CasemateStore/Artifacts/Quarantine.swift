import CasemateLinux
import Glibc
import Synchronization

/// Archives that were not what their names say, for whoever looks into it: `DIGEST-N`, the oldest with the smallest N. Twenty at most.
final class Quarantine: Sendable {
    static let most = 20

    private let folder: String
    /// One at a time, so that each gets a number of its own.
    private let turn = Mutex(0)

    init(folder: String) { self.folder = folder }

    /// Moves a file here. What can't be moved is removed: nobody may take it for what it is not.
    /// - Parameter isKept: whether it is worth keeping.
    func take(_ path: String, of digest: String, isKept: Bool) {
        turn.withLock { last in
            guard isKept, (try? Files.makeDirectories(folder, mode: 0o700)) != nil else { return Files.removeTree(path) }
            var kept = entries
            last = max(last, kept.last?.number ?? 0) + 1
            let name = "\(digest)-\(last)"
            guard rename(path, "\(folder)/\(name)") == 0 else { return Files.removeTree(path) }
            chmod("\(folder)/\(name)", 0o600)
            kept.append((last, name))
            for entry in kept.dropLast(Self.most) { Files.removeTree("\(folder)/\(entry.name)") }
        }
    }

    func has(_ digest: String) -> Bool { entries.contains { $0.name.hasPrefix(digest + "-") } }

    private var entries: [(number: Int, name: String)] {
        Files.names(in: folder).compactMap { name in
            guard let dash = name.lastIndex(of: "-"), let number = Int(name[name.index(after: dash)...]), number < Int.max / 2 else {
                return nil
            }
            return (number, name)
        }
        .sorted { $0.number < $1.number }
    }
}
