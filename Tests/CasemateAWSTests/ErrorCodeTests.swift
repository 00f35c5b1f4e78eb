import Testing

@testable import CasemateAWS

@Suite("Codes of errors")
struct ErrorCodeTests {
    @Test(
        "the code is found wherever AWS puts it, and nothing else is taken",
        arguments: [
            (#"{"__type":"AccessDeniedException","message":"x"}"#, nil, "AccessDeniedException"),
            (#"{"__type":"com.amazonaws.kms#NotFoundException"}"#, nil, "NotFoundException"),
            (#"{"code":"Throttling"}"#, nil, "Throttling"),
            (#"{"__type":"Wrong"}"#, "InvalidCiphertextException:http://internal.amazon.com/coral/", "InvalidCiphertextException"),
            ("<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>k</Message></Error>", nil, "NoSuchKey"),
            ("<Error xmlns=\"x\"><Message>k</Message><Code>AccessDenied</Code></Error>", nil, "AccessDenied"),
            ("<html><Code>Evil</Code></html>", nil, "HTTP400"), ("<Error><Code>NoSuch", nil, "HTTP400"),
            ("<Error><Code>a secret of mine</Code></Error>", nil, "HTTP400"), ("<Errors><Code>No</Code></Errors>", nil, "HTTP400"),
            (#"{"__type":"a secret of mine"}"#, nil, "HTTP400"), (#"{"__type":42}"#, nil, "HTTP400"), (#"{"message":"x"}"#, nil, "HTTP400"),
            (#"{"__type":""}"#, "", "HTTP400"), ("", nil, "HTTP400"), ("{", nil, "HTTP400"), ("\u{0}\u{1}", nil, "HTTP400"),
            (#"{"__type":"\#(String(repeating: "A", count: 101))"}"#, nil, "HTTP400"),
        ] as [(String, String?, String)])
    func codes(_ body: String, _ header: String?, _ code: String) {
        var headers: [Answer.Header: String] = [:]
        headers[.errorType] = header
        #expect(ErrorCode.of(Answer(status: 400, headers: headers, body: SensitiveBytes(body.utf8))) == code)
    }
}
