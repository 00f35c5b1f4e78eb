import NIOCore
import NIOHTTP1

/// What a function answered, not yet fit for anyone's eyes.
package struct Reply {
    package var status: Int
    package var headers: [(name: String, value: String)]
    package var body: ByteBuffer
}
