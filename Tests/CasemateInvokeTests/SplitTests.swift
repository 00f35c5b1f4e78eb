import CasemateInvoke
import Synchronization
import Testing

@Suite("A part of the calls")
struct SplitTests {
    @Test("any hundred calls in a row have exactly the part", arguments: [1, 3, 10, 33, 50, 99])
    func part(percent: Int) {
        let split = Split(percent: percent, returnAbove: nil) { _, _ in }
        let taken = (0..<1000).map { _ in split.takesNext() }
        for start in 0...900 { #expect(taken[start..<start + 100].filter { $0 }.count == percent) }
    }

    @Test("they all go back once, when more than so many have failed of at least twenty")
    func returns() {
        let told = Mutex<[[Int]]>([])
        let split = Split(percent: 50, returnAbove: 10) { calls, failed in told.withLock { $0.append([calls, failed]) } }
        for _ in 0..<19 { split.ended(failed: true) }
        #expect(told.withLock { $0.isEmpty } && (0..<4).contains { _ in split.takesNext() })
        split.ended(failed: false)
        #expect(told.withLock { $0 } == [[20, 19]])
        #expect(!(0..<100).contains { _ in split.takesNext() })
        for _ in 0..<100 { split.ended(failed: true) }
        #expect(told.withLock { $0.count } == 1)
    }

    @Test("as many as may fail change nothing")
    func exactly() {
        let split = Split(percent: 50, returnAbove: 10) { _, _ in Issue.record("too early") }
        for index in 0..<1000 { split.ended(failed: index % 10 == 9) }
    }

    @Test("without a limit nothing goes back")
    func never() {
        let split = Split(percent: 50, returnAbove: nil) { _, _ in Issue.record("there is no limit") }
        for _ in 0..<1000 { split.ended(failed: true) }
        #expect((0..<2).contains { _ in split.takesNext() })
    }
}
