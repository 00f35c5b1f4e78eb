import Testing

@testable import CasemateStore

@Suite("What a cache lets go")
struct CacheOrderTests {
    private func order(_ limit: Int, _ sizes: [(String, Int)]) -> CacheOrder {
        CacheOrder(limitInBytes: limit, found: sizes.map { (digest: $0.0, sizeInBytes: $0.1) })
    }

    @Test("nothing goes within the limit, and what was used longest ago beyond it")
    func oldest() {
        var order = order(300, [("a", 100), ("b", 100), ("c", 100)])
        #expect(order.makeRoom(keeping: nil) { _ in true } == [])
        order.use("a")
        order.add("d", sizeInBytes: 150)
        #expect(order.makeRoom(keeping: "d") { _ in true } == ["b", "c"])
        #expect(order.sizeInBytes == 250)
    }

    @Test("the newest stays, however large")
    func newest() {
        var order = order(300, [("a", 100)])
        order.add("b", sizeInBytes: 1000)
        #expect(order.makeRoom(keeping: "b") { _ in true } == ["a"])
        #expect(order.sizeInBytes == 1000)
        order.add("c", sizeInBytes: 1)
        #expect(order.makeRoom(keeping: "c") { _ in true } == ["b"])
    }

    @Test("what is nowhere else stays, too")
    func only() {
        var order = order(100, [("a", 100), ("b", 100), ("c", 100)])
        #expect(order.makeRoom(keeping: "c") { $0 != "a" } == ["b"])
        #expect(order.sizeInBytes == 200)
    }

    @Test("one that comes again counts once; one that is not known is not used")
    func again() {
        var order = order(100, [("a", 60)])
        order.add("a", sizeInBytes: 70)
        #expect(order.sizeInBytes == 70)
        order.use("x")
        order.remove("a")
        order.remove("a")
        #expect(order.sizeInBytes == 0)
    }
}
