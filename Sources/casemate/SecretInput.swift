import CasemateModel
import Foundation
import Glibc

/// A secret's value, from whoever types it or from standard input.
enum SecretInput {
    /// - Parameter confirms: somebody who types it types it twice: it can't be read back.
    static func read(_ name: VariableName, confirms: Bool) throws -> [UInt8] {
        var value: [UInt8]
        if isatty(0) == 1 {
            value = try NoEcho.prompt("value of \(name) (not shown): ")
            if confirms, !value.isEmpty, try NoEcho.prompt("the same once more: ") != value {
                throw CommandFailure("the two differ; nothing was changed", code: 2)
            }
        } else {
            value = [UInt8](FileHandle.standardInput.readDataToEndOfFile())
            if value.last == 10, value.dropLast().firstIndex(of: 10) == nil { value.removeLast() }
        }
        guard !value.isEmpty else { throw CommandFailure("the value is empty; nothing was changed", code: 2) }
        guard value.count <= 65_536 else { throw CommandFailure("a secret is at most 65536 bytes", code: 2) }
        return value
    }
}

/// A line typed without showing it.
enum NoEcho {
    static func prompt(_ text: String) throws -> [UInt8] {
        var before = termios()
        tcgetattr(0, &before)
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        FileHandle.standardError.write(Data(text.utf8))
        tcsetattr(0, TCSAFLUSH, &silent)
        defer {
            tcsetattr(0, TCSAFLUSH, &before)
            FileHandle.standardError.write(Data("\n".utf8))
        }
        guard let line = readLine(strippingNewline: true) else { throw CommandFailure("no value was typed; nothing was changed", code: 2) }
        return Array(line.utf8)
    }
}
