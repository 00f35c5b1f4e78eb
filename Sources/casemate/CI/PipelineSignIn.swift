import AsyncHTTPClient
import CasemateModel
import Foundation
import NIOHTTP1

/// Signs a pipeline in by the token that its system gives it: nothing is stored there.
struct PipelineSignIn {
    /// The service account's client id.
    let account: String
    /// Whom the token is for, as the issuer was added here.
    let audience: String
    /// A file with the token; nil where the system is asked.
    let tokenFile: String?
    let environment: [String: String]

    private struct Granted: Decodable { var access_token: String }
    /// GitHub's answer.
    private struct Issued: Decodable { var value: String }

    /// - Returns: an access token of the service account.
    /// - Throws: `CommandFailure`, exit code 2, with what to set.
    func accessToken(_ client: APIClient) async throws -> String {
        guard AccountId(account) != nil else {
            throw CommandFailure("a service account's client id is a UUID; see: casemate service-account list", code: 2)
        }
        let bytes = try await client.form(
            client.configuration.url + "/oauth/token",
            [
                "grant_type": "client_credentials", "client_id": account,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": try await token(client),
            ])
        return try JSONDecoder().decode(Granted.self, from: Data(bytes)).access_token
    }

    /// From the file, from GitLab's variable, or from GitHub's endpoint.
    private func token(_ client: APIClient) async throws -> String {
        if let tokenFile {
            guard let data = FileManager.default.contents(atPath: tokenFile), let text = String(data: data, encoding: .utf8) else {
                throw CommandFailure("\(tokenFile) can't be read", code: 2)
            }
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        if let token = environment["CASEMATE_ID_TOKEN"], !token.isEmpty { return token }
        guard let url = environment["ACTIONS_ID_TOKEN_REQUEST_URL"], let secret = environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] else {
            throw CommandFailure(
                """
                no token of this pipeline is known:
                  GitHub  give the job  permissions: {id-token: write}
                  GitLab  give the job  id_tokens: {CASEMATE_ID_TOKEN: {aud: \(audience)}}
                  others  --token-file FILE, or CASEMATE_URL and CASEMATE_KEY
                """, code: 2)
        }
        let wanted = audience.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? audience
        let answer = try await client.foreign(
            .GET, url + (url.contains("?") ? "&" : "?") + "audience=" + wanted, headers: ["Authorization": "Bearer \(secret)"])
        guard answer.status == 200, let issued = try? JSONDecoder().decode(Issued.self, from: Data(answer.body)) else {
            throw CommandFailure("the pipeline's system gave no token (status \(answer.status))", code: 2)
        }
        return issued.value
    }
}
