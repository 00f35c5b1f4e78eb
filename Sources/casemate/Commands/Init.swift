import ArgumentParser
import CasemateLinux
import CasemateModel
import Foundation

struct Init: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a function to begin with, which the strictest gate lets pass.",
        discussion: """
            Writes casemate.yaml, source/handler.py and a test of it into PATH, a folder that is made if need be. What is there already is left \
            as it is, and then nothing is written.
            """)
    enum Signature: String, ExpressibleByArgument, CaseIterable { case cognite, scaleway }

    @Argument(help: "A folder.") var path = "."
    @Option(help: "The function's name; default: the folder's.") var name: FunctionLabel?
    @Option(help: "How the handler is called: cognite, handle(data, secrets); scaleway, handle(event, context).")
    var signature = Signature.cognite
    @OptionGroup var output: OutputOptions

    func run() throws {
        let root = URL(fileURLWithPath: path).standardizedFileURL
        guard let label = name ?? FunctionLabel(root.lastPathComponent) else {
            throw CommandFailure("\(root.lastPathComponent) is no function's name, which \(FunctionLabel.rule); use --name", code: 2)
        }
        let starter = Starter(label: label, signature: signature.rawValue)
        if let file = starter.files.map(\.path).first(where: { Files.exists(root.path + "/" + $0) }) {
            throw CommandFailure("\(path)/\(file) is there already; nothing was written", code: 2)
        }
        do {
            try FileManager.default.createDirectory(at: root.appendingPathComponent("source"), withIntermediateDirectories: true)
            for file in starter.files {
                try Data(file.text.utf8).write(to: root.appendingPathComponent(file.path), options: .withoutOverwriting)
            }
        } catch { throw CommandFailure("\(path) can't be written: \(error.localizedDescription)") }
        if output.json { return try output.done("", ["function": label.text, "path": root.path]) }
        Terminal.line("\(Terminal.coloured("made", .green)) \(label) in \(path): \(starter.files.map(\.path).joined(separator: ", "))")
        Terminal.line("  next: casemate scan \(path)")
        Terminal.line("        casemate deploy \(path) --namespace NAME")
        Terminal.line("        casemate invoke NAME/\(label) --data '{\"name\": \"Ada\"}'")
    }
}

/// The files of a function to begin with: input is checked, nothing is reached, nothing is a secret, and packages would have to be locked.
private struct Starter {
    let label: FunctionLabel
    /// `cognite` or `scaleway`.
    let signature: String

    var files: [(path: String, text: String)] {
        [("casemate.yaml", manifest), ("source/handler.py", handler), ("test_handler.py", test)]
    }

    private var manifest: String {
        """
        # casemate deploy . --namespace NAME
        functions:
          \(label):
            source: ./source
            runtime: python3.11
            handler: handler.handle
            signature: \(signature)
            # Packages: name them in source/requirements.txt, then: casemate deps lock source
            dependencies: {policy: strict}
            # Who may use how much of it. Without an entry under egress there is no network, and without one under secrets no secret.
            limits: {memory: 128MiB, timeout: 10s}
            rate: {caller: 10/s}

        """
    }

    private var greeting: String {
        """
        LONGEST = 100
        WRONG = f"name: a text of 1 to {LONGEST} characters"


        def greeting(name: object) -> str:
            if not isinstance(name, str) or not 0 < len(name) <= LONGEST:
                raise ValueError(WRONG)
            return f"Hello, {name}!"
        """
    }

    private var handler: String {
        switch signature {
        case "scaleway":
            """
            \"\"\"Greets whom it is told of.\"\"\"

            from __future__ import annotations

            import json
            from typing import Any

            \(greeting)


            def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
                try:
                    data = json.loads(event.get("body") or "{}")
                    answer = {"greeting": greeting(data.get("name"))}
                except (ValueError, AttributeError):
                    return {"statusCode": 400, "body": json.dumps({"error": WRONG})}
                return {"statusCode": 200, "body": json.dumps(answer)}

            """
        default:
            """
            \"\"\"Greets whom it is told of.\"\"\"

            from __future__ import annotations

            from typing import Any

            \(greeting)


            def handle(data: dict[str, Any]) -> dict[str, str]:
                return {"greeting": greeting(data.get("name"))}

            """
        }
    }

    private var test: String {
        """
        \"\"\"python3 -m unittest\"\"\"

        import pathlib
        import sys
        import unittest

        sys.path.insert(0, str(pathlib.Path(__file__).parent / "source"))

        import handler


        class Greeting(unittest.TestCase):
            def test_greets(self) -> None:
                self.assertEqual(handler.greeting("Ada"), "Hello, Ada!")

            def test_refuses_what_is_no_name(self) -> None:
                for name in (None, "", 7, "x" * 101):
                    with self.assertRaises(ValueError):
                        handler.greeting(name)

        """
    }
}
