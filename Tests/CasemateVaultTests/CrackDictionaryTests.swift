import Foundation
import Testing

@testable import CasemateVault

@Suite("The dictionary of words")
struct CrackDictionaryTests {
    @Test("what cracklib knows is a word, short ones too; what it does not is none")
    func lookup() {
        let found = CrackDictionary.withDictionary { dictionary in
            ["secret", "key", "a", "zygote", "kqzvw", "", "\u{FF}", String(repeating: "secret", count: 9)].map {
                dictionary.contains(Array($0.utf8)[...])
            }
        }
        #expect(found == [true, true, true, true, false, false, false, false])
    }

    @Test("without a dictionary, or with half of one, nothing is said and nothing breaks")
    func missing() throws {
        #expect(CrackDictionary.withDictionary(at: "/nonexistent/dictionary") { _ in true } == nil)
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "words").path
        for kind in ["pwd", "pwi"] { try Data("no dictionary".utf8).write(to: URL(filePath: "\(path).\(kind)")) }
        #expect(CrackDictionary.withDictionary(at: path) { _ in true } == nil)
        #expect(CrackDictionary.withDictionary { $0.contains(Array("secret".utf8)[...]) } == true)
    }
}
