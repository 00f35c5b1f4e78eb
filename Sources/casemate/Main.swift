import ArgumentParser
import AsyncHTTPClient
import Hummingbird
import HummingbirdTLS
import GRDB
import X509
import Yams
import CArchive
@main struct Main: AsyncParsableCommand { mutating func run() async throws { } }
