import ArgumentParser
import CasemateModel

/// The command line: thin commands over the API, and the commands that run on the server's host.
@main
struct Casemate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "casemate",
        abstract: "Run serverless functions on your own machines, with security advice enforced.",
        discussion: """
            A first function, from nothing (as root):
              casemate up                                  start a server on this machine
              casemate namespace create plant              make a namespace
              casemate init my-function                    a function to begin with
              casemate deploy my-function --namespace plant
              casemate secret set plant/my-function API_KEY
              casemate invoke plant/my-function --data '{"x": 1}'
              casemate logs plant/my-function

            The server is the one in CASEMATE_URL and CASEMATE_KEY, else where you signed in (casemate login), else in the file CASEMATE_CONFIG,
            else in ~/.config/casemate/config.yaml.
            Exit codes: 0 done; 1 it failed (a function's error, a refused deployment); 2 refused before it ran; 64 wrong usage.
            """,
        version: CasemateVersion.text,
        subcommands: [
            Init.self, Up.self, Deploy.self, CICommand.self, Invoke.self, CallCommand.self, ScheduleCommand.self, Logs.self,
            SecretCommand.self, TokenCommand.self,
            NamespaceCommand.self,
            FunctionCommand.self, EgressCommand.self, PolicyCommand.self,
            ApprovalsCommand.self, ApproveCommand.self, RejectCommand.self, PromoteCommand.self, ProvenanceCommand.self,
            SigningKeyCommand.self,
            FindingsCommand.self, WaiveCommand.self, WaiverCommand.self, SBOMCommand.self, AdvisoriesCommand.self, PostureCommand.self,
            ScanCommand.self, SchemaCommand.self, DepsCommand.self,
            AuditCommand.self, AlertCommand.self, VaultCommand.self, BackupCommand.self, RestoreCommand.self,
            Login.self, Logout.self, SessionCommand.self, ConsentCommand.self, WhoAmI.self, GrantCommand.self, RevokeCommand.self,
            WhoCan.self, ServiceAccountCommand.self, IssuerCommand.self,
            Status.self, Doctor.self, RuntimeCommand.self, ConfigCommand.self, Serve.self,
        ])

    static func main() async {
        // Before any thread, any input and any library's start-up code of ours: the server is executed as root and must not stay it.
        Privileges.dropIfAsked()
        do {
            var command = try parseAsRoot(nil)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            failure.exit()
        } catch {
            exit(withError: error)
        }
    }
}
