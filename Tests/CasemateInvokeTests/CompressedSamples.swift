import Foundation

/// Bodies that Python's zlib made; those with a secret hold "hunter2-hunter2".
enum CompressedSamples {
    struct Sample: Sendable {
        var encoding: String
        var base64: String
        var bytes: [UInt8] { [UInt8](Data(base64Encoded: base64) ?? Data()) }
    }

    static let withSecret = [
        Sample(encoding: "gzip", base64: "H4sIAAAAAAACA6tWSklSslLKKM0rSS0y0oXSSjpKuflFqUCJimEClGoBxxVV9uoAAAA="),
        Sample(encoding: "x-gzip", base64: "H4sIAAAAAAACA6tWSklSslLKKM0rSS0y0oXSSjpKuflFqUCJimEClGoBxxVV9uoAAAA="),
        Sample(encoding: "deflate", base64: "eJyrVkpJUrJSyijNK0ktMtKF0ko6Srn5RalAiYphApRqAVIIaJ8="),
        Sample(encoding: "deflate", base64: "q1ZKSVKyUsoozStJLTLShdJKOkq5+UWpQImKYQKUagE="),
        // A second member after one that is clean.
        Sample(
            encoding: "gzip",
            base64:
                "H4sIAAAAAAACA6tWSklSslLKyy/JyMxLV8hILUpV0lHKzQdSVkoVwwQo1QIA7F5InucAAAAfiwgAAAAAAAIDq1ZKSVKyUsoozStJLTLShdJKOkq5+UWpQImKYQKUagHHFVX26gAAAA=="
        ),
    ]

    static let clean = Sample(encoding: "gzip", base64: "H4sIAAAAAAACA6tWSklSslLKyy/JyMxLV8hILUpV0lHKzQdSVkoVwwQo1QIA7F5InucAAAA=")
}
