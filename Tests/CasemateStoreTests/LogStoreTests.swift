import CasemateModel
import Foundation
import Testing

@testable import CasemateStore

@Suite("Logs of functions")
struct LogStoreTests {
    private let function = FunctionId()

    private func line(_ text: String, call: CallId? = nil, stream: LogLine.Stream = .output) -> LogLine {
        LogLine(time: Timestamp(milliseconds: 1_700_000_000_123), stream: stream, call: call, message: Array(text.utf8))
    }

    private func texts(_ lines: [LogLine]) -> [String] { lines.map { String(decoding: $0.message, as: UTF8.self) } }

    @Test("lines come back as they were, in order")
    func order() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            let lines = [
                line("first", call: CallId()), line("", stream: .error), LogLine.platform("third", at: Timestamp(milliseconds: 5)),
                LogLine(time: Timestamp(milliseconds: 0), stream: .output, call: nil, message: [0, 255, 13, 0]),
            ]
            store.append(Array(lines[..<2]), to: function)
            store.append(Array(lines[2...]), to: function)
            let read = await store.read(function, after: 0)
            #expect(read.lines == lines)
            #expect(read.cursor == 4)
        }
    }

    @Test("a function sees its own lines alone")
    func functions() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            let other = FunctionId()
            store.append([line("mine")], to: function)
            store.append([line("theirs")], to: other)
            #expect(texts(await store.read(function, after: 0).lines) == ["mine"])
            #expect(texts(await store.read(other, after: 0).lines) == ["theirs"])
            #expect(await store.read(FunctionId(), after: 0).lines.isEmpty)
        }
    }

    @Test("pages by the cursor give every line once")
    func paging() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            store.append((0..<25).map { line("\($0)") }, to: function)
            var seen: [String] = []
            var cursor: UInt64 = 0
            var pages = 0
            while pages < 10 {
                let page = await store.read(function, after: cursor, limit: 10)
                if page.lines.isEmpty { break }
                seen += texts(page.lines)
                cursor = page.cursor
                pages += 1
            }
            #expect(pages == 3)
            #expect(seen == (0..<25).map { "\($0)" })
            #expect(await store.read(function, after: cursor).cursor == cursor)
            store.append([line("late")], to: function)
            #expect(texts(await store.read(function, after: cursor).lines) == ["late"])
        }
    }

    @Test("the tail is the newest lines, oldest first, and its cursor goes on after them")
    func tail() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            store.append((0..<10).map { line("\($0)") }, to: function)
            let tail = await store.tail(function, count: 3)
            #expect(texts(tail.lines) == ["7", "8", "9"])
            store.append([line("10")], to: function)
            #expect(texts(await store.read(function, after: tail.cursor).lines) == ["10"])
            #expect(texts(await store.tail(function, count: 100).lines).count == 11)
            #expect(await store.tail(function, count: 0).lines.isEmpty)
        }
    }

    @Test("lines of one call, by page and by tail")
    func byCall() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            let calls = [CallId(), CallId()]
            store.append((0..<20).map { line("\($0)", call: $0 == 7 ? nil : calls[$0 % 2]) }, to: function)
            #expect(texts(await store.read(function, after: 0, call: calls[0]).lines) == (0..<20).filter { $0 % 2 == 0 }.map { "\($0)" })
            #expect(texts(await store.tail(function, count: 2, call: calls[1]).lines) == ["17", "19"])
            let page = await store.read(function, after: 0, call: calls[1], limit: 3)
            #expect(texts(page.lines) == ["1", "3", "5"])
            #expect(texts(await store.read(function, after: page.cursor, call: calls[1], limit: 3).lines) == ["9", "11", "13"])
            #expect(await store.read(function, after: 0, call: CallId()).lines.isEmpty)
        }
    }

    @Test("a message that looks like a record is only a message")
    func lookalike() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            var forged: [UInt8] = []
            LogRecord(sequence: 1, line: line("forged")).append(to: &forged)
            let lines = [
                LogLine(time: Timestamp(milliseconds: 1), stream: .output, call: nil, message: forged),
                LogLine(time: Timestamp(milliseconds: 1), stream: .output, call: nil, message: forged + forged),
                line("after"),
            ]
            store.append(lines, to: function)
            #expect(await store.read(function, after: 0).lines == lines)
        }
    }

    @Test("a reopened store goes on with the same lines and the next numbers")
    func reopen() async throws {
        try await withFolder { folder async throws in
            do {
                let store = try LogStore(folder: folder)
                store.append([line("a"), line("b")], to: function)
                _ = await store.read(function, after: 0)
            }
            let store = try LogStore(folder: folder)
            store.append([line("c")], to: function)
            #expect(texts(await store.read(function, after: 0).lines) == ["a", "b", "c"])
            #expect(texts(await store.read(function, after: 2).lines) == ["c"])
        }
    }

    @Test("a store whose note of the next number was lost goes on after the last line")
    func lostNumber() async throws {
        try await withFolder { folder async throws in
            do {
                let store = try LogStore(folder: folder)
                store.append([line("a"), line("b")], to: function)
                _ = await store.read(function, after: 0)
            }
            try FileManager.default.removeItem(atPath: "\(folder)/\(function)/next")
            let store = try LogStore(folder: folder)
            store.append([line("c")], to: function)
            #expect(texts(await store.read(function, after: 2).lines) == ["c"])
        }
    }

    @Test("after a torn write the whole lines are there, and new ones follow them", arguments: [1, 5, 36, 40])
    func torn(bytes: Int) async throws {
        try await withFolder { folder async throws in
            do {
                let store = try LogStore(folder: folder)
                store.append([line("a"), line("b"), line("torn")], to: function)
                _ = await store.read(function, after: 0)
            }
            let segment = try #require(try names(in: "\(folder)/\(function)").first { $0.hasSuffix(".log") })
            let path = "\(folder)/\(function)/\(segment)"
            #expect(truncate(path, off_t(try contents(path).count - bytes)) == 0)
            let store = try LogStore(folder: folder)
            #expect(texts(await store.read(function, after: 0).lines) == ["a", "b"])
            store.append([line("d"), line("e")], to: function)
            #expect(texts(await store.read(function, after: 0).lines) == ["a", "b", "d", "e"])
            #expect(texts(await store.tail(function, count: 1).lines) == ["e"])
        }
    }

    @Test("after a write that stopped half way, as on a full disk, lines of the same running store follow")
    func tornWhileRunning() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            store.append([line("a"), line("torn")], to: function)
            _ = await store.read(function, after: 0)
            let segment = try #require(try names(in: "\(folder)/\(function)").first { $0.hasSuffix(".log") })
            let path = "\(folder)/\(function)/\(segment)"
            #expect(truncate(path, off_t(try contents(path).count - 5)) == 0)
            store.append([line("b"), line("c")], to: function)
            #expect(texts(await store.read(function, after: 0).lines) == ["a", "b", "c"])
        }
    }

    @Test("deleting a function's lines leaves no file of them")
    func delete() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder)
            let other = FunctionId()
            store.append([line("a")], to: function)
            store.append([line("b")], to: other)
            await store.delete(function)
            #expect(try names(in: folder) == [other.text])
            #expect(await store.read(function, after: 0).lines.isEmpty)
        }
    }

    @Test("what the disk can't keep up with is dropped, and the next lines say how many")
    func backlog() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder, limits: .init(backlogBytes: 500))
            store.append([line("kept")], to: function)
            _ = await store.read(function, after: 0)
            store.append([line("x"), line(String(repeating: "y", count: 1000))], to: function)
            store.append([line("then")], to: function)
            let read = texts(await store.read(function, after: 0).lines)
            #expect(read.count == 3)
            #expect(read.first == "kept" && read.last == "then")
            #expect(read.dropFirst().first?.hasPrefix("2 lines dropped") == true)
        }
    }
}
