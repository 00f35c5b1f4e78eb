import CasemateModel
import Foundation
import Testing

@testable import CasemateStore

@Suite("Segments of logs")
struct LogSegmentTests {
    private let function = FunctionId()

    /// `count` lines of 1 MiB, numbered in their first bytes.
    private func large(_ numbers: Range<Int>) -> [LogLine] {
        numbers.map { number in
            let text = Array("\(number) ".utf8)
            return LogLine(
                time: Timestamp(milliseconds: 1), stream: .output, call: nil,
                message: text + [UInt8](repeating: 120, count: (1 << 20) - text.count))
        }
    }

    private func numbers(_ lines: [LogLine]) -> [Int] {
        lines.compactMap { Int(String(decoding: $0.message.prefix { $0 != 32 }, as: UTF8.self)) }
    }

    private func segments(_ folder: String) throws -> [String] { try names(in: "\(folder)/\(function)").filter { $0.hasSuffix(".log") } }

    @Test("a full segment is followed by another, and reading goes over the border")
    func rollover() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder, limits: .init(bytesPerFunction: 64 << 20))
            store.append(large(0..<3), to: function)
            store.append(large(3..<12), to: function)
            #expect(numbers(await store.read(function, after: 0).lines) == Array(0..<12))
            #expect(try segments(folder).count > 1)
            #expect(numbers(await store.read(function, after: 6, limit: 3).lines) == [6, 7, 8])
            #expect(numbers(await store.tail(function, count: 8).lines) == Array(4..<12))
        }
    }

    @Test("the oldest segments go when a function has more than its share")
    func retention() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder, limits: .init(bytesPerFunction: 8 << 20))
            for start in stride(from: 0, to: 30, by: 5) { store.append(large(start..<(start + 5)), to: function) }
            let read = await store.read(function, after: 0)
            let kept = numbers(read.lines)
            #expect(kept.last == 29)
            #expect(kept == Array(30 - kept.count..<30))
            #expect((4...13).contains(kept.count))
            #expect(try segments(folder).count <= 2)
            #expect(read.cursor == 30)
            #expect(numbers(await store.read(function, after: 28).lines) == [28, 29])
        }
    }

    @Test("segments past their time go, and numbers go on from where they were")
    func expiry() async throws {
        try await withFolder { folder async throws in
            let store = try LogStore(folder: folder, limits: .init(keptFor: .seconds(3600)))
            store.append(large(0..<2), to: function)
            _ = await store.read(function, after: 0)
            store.expire()
            #expect(numbers(await store.read(function, after: 0).lines) == [0, 1])
            let path = "\(folder)/\(function)/\(try segments(folder)[0])"
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -7200)], ofItemAtPath: path)
            store.expire()
            #expect(await store.read(function, after: 0).lines.isEmpty)
            store.append(large(2..<3), to: function)
            // A reader that had seen both sees the third, and nothing twice.
            #expect(numbers(await store.read(function, after: 2).lines) == [2])
        }
    }
}
