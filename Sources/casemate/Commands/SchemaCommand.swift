import ArgumentParser
import CasemateLinux
import CasemateSchema
import Foundation

/// JSON Schemas, as functions' inputs are held against them.
struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "Hold JSON documents against a JSON Schema (2020-12); asks no server.", subcommands: [Check.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tell whether documents are what a schema says.",
            discussion: """
                casemate schema check schema.json input.json
                A keyword that could not be heeded in full is refused with its place. Exits 0 where all documents are valid, 1 where one is not, 2
                where the schema can't be used.
                """)
        @Argument(help: "The schema's file.") var schema: String
        @Argument(help: "Files of documents.") var inputs: [String]
        @OptionGroup var output: OutputOptions

        /// Of one document, in bytes.
        private static let most = 64 << 20

        private struct Verdict: Encodable {
            var input: String
            var valid: Bool
            var pointer: String?
            var keyword: String?
            var problem: String?
        }

        func run() throws {
            let compiled: InputSchema
            do throws(SchemaFault) { compiled = try InputSchema(try Self.read(schema)) } catch {
                throw CommandFailure("\(schema): \(error)", code: 2)
            }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            var areValid = true
            for input in inputs {
                let verdict = Self.verdict(on: input, compiled)
                areValid = areValid && verdict.valid
                if output.json {
                    Terminal.write([UInt8](try encoder.encode(verdict)) + [10])
                } else if let problem = verdict.problem {
                    let place = verdict.pointer.map { $0.isEmpty ? "" : " \($0):" } ?? ""
                    Terminal.line("\(input):\(Terminal.visible(place)) \(Terminal.visible(problem))")
                } else {
                    Terminal.line("\(input): valid")
                }
            }
            if !areValid { throw CommandFailure("", code: 1) }
        }

        private static func read(_ path: String) throws(SchemaFault) -> [UInt8] {
            guard let bytes = try? Files.read(path, limit: most + 1) else {
                CommandFailure("\(path) can't be read", code: 2).exit()
            }
            return bytes
        }

        private static func verdict(on path: String, _ schema: InputSchema) -> Verdict {
            guard let bytes = try? Files.read(path, limit: most + 1) else {
                CommandFailure("\(path) can't be read", code: 2).exit()
            }
            do throws(JSONFault) {
                guard let violation = schema.check(try JSONValue(bytes, atMost: most)) else {
                    return Verdict(input: path, valid: true)
                }
                return Verdict(
                    input: path, valid: false, pointer: violation.pointer, keyword: violation.keyword, problem: violation.message)
            } catch {
                return Verdict(input: path, valid: false, pointer: "", keyword: "", problem: "\(error)")
            }
        }
    }
}
