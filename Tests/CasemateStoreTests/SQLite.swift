import Foundation
import Testing

/// Runs SQL on a file by the SQLite library itself, as a later release or an operator would.
func sqlite(_ path: String, _ statement: String) throws {
    typealias Open = @convention(c) (UnsafePointer<CChar>?, UnsafeMutablePointer<OpaquePointer?>?) -> Int32
    typealias Execute = @convention(c) (OpaquePointer?, UnsafePointer<CChar>?, OpaquePointer?, OpaquePointer?, OpaquePointer?) -> Int32
    typealias Close = @convention(c) (OpaquePointer?) -> Int32
    let library = try #require(dlopen(nil, RTLD_NOW))
    let open = unsafeBitCast(try #require(dlsym(library, "sqlite3_open")), to: Open.self)
    let execute = unsafeBitCast(try #require(dlsym(library, "sqlite3_exec")), to: Execute.self)
    let close = unsafeBitCast(try #require(dlsym(library, "sqlite3_close")), to: Close.self)
    var database: OpaquePointer?
    try #require(open(path, &database) == 0)
    defer { _ = close(database) }
    try #require(execute(database, statement, nil, nil, nil) == 0)
}
