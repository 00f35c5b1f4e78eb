import CasemateLinux
import CasemateModel
import Crypto

extension ArtifactStore {
    /// An upload under way; what is not finished leaves nothing.
    public final class Upload {
        private let store: ArtifactStore
        private let subject: String?
        private let archive: UnfinishedArchive
        private var hash = SHA256()
        private var sizeInBytes = 0

        init(_ store: ArtifactStore, by subject: String?) throws {
            self.store = store
            self.subject = subject
            archive = try store.folder.new(.upload)
        }

        public func write(_ bytes: [UInt8]) throws {
            hash.update(data: bytes)
            sizeInBytes += bytes.count
            try Files.writeAll(archive.file.raw, bytes, naming: "an upload")
        }

        /// Makes it durable.
        /// - Parameter record: is given the digest; where it throws, nothing is stored.
        /// - Returns: the digest, by which the archive is there from now on.
        /// - Throws: `.unavailable` where the bucket does not take it; then nothing is stored.
        public func finish(_ record: (String) async throws -> Void = { _ in }) async throws -> String {
            let digest = AuditChain.hex(hash.finalize())
            try archive.sync()
            try await store.mayStore()
            try await record(digest)
            try await store.keep(archive, as: digest, sizeInBytes: sizeInBytes)
            if let subject { store.uploads.note(digest, by: subject) }
            return digest
        }

        /// For what is looked at once: it gets no name, and is gone with its last descriptor.
        public func taken() throws -> (digest: String, archive: Descriptor) {
            (AuditChain.hex(hash.finalize()), try UnfinishedArchive.readable(archive.file))
        }
    }

    /// - Parameter subject: who may deploy it by its digest; nil for nobody.
    public func upload(by subject: String?) throws -> Upload { try Upload(self, by: subject) }

    /// Whether `subject` uploaded the archive since the server started. A digest is no secret: whoever may not read another's source must
    /// not get it by deploying its digest.
    public func isUploaded(_ digest: String, by subject: String) -> Bool { uploads.contains(digest, by: subject) }
}
