import ArgumentParser
import CasemateModel
import NIOHTTP1

extension FunctionCommand {
    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Have no call of a function run, until it is enabled again.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.POST, function.apiPath + "/disable")
                try output.done("no call of \(function) runs any more; casemate function enable \(function)", ["disabled": "\(function)"])
            }
        }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have calls of a function run again.",
            discussion: "What the policy disabled for an advisory takes the right gate:waive to enable.")
        @Argument(help: "NAMESPACE/FUNCTION") var function: FunctionName
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with { client in
                _ = try await client.send(.POST, function.apiPath + "/enable")
                try output.done("calls of \(function) run", ["enabled": "\(function)"])
            }
        }
    }
}
