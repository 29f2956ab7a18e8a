package import ProvenanceModel

/// The seam between the log and the kernel: everything that a log does to a disk goes through here, so that a simulated disk can take its place.
///
/// Paths are UTF-8 text. Symbolic links are followed above a storage directory's `sessions`, and nowhere below (`open`, `status`). Errors name path,
/// reason and errno. Safe to call from any thread.
package protocol FileSystem: Sendable {
  /// Opens an existing regular file; a symbolic link is refused.
  func open(_ path: String, for access: FileAccess) throws(LogError) -> any File
  /// Makes a file that must not exist, for reading and writing.
  func create(_ path: String) throws(LogError) -> any File
  /// - Returns: false if the name exists already.
  func makeDirectory(_ path: String) throws(LogError) -> Bool
  /// Whether the system lets the caller add and remove names in a directory: asked, not tried, so that nothing changes.
  /// - Throws: `LogError` `noPermission` if not.
  func checkIsWritable(_ directory: String) throws(LogError)
  /// Names in a directory, unsorted, without `.` and `..`.
  func names(in directory: String) throws(LogError) -> [String]
  /// `nil` if there is no such name; a symbolic link is described, not followed.
  func status(of path: String) throws(LogError) -> FileStatus?
  /// Atomic; an existing target is replaced.
  func rename(_ path: String, to target: String) throws(LogError)
  /// Atomic. - Returns: false if the target exists.
  func renameToNew(_ path: String, to target: String) throws(LogError) -> Bool
  /// Atomic: each of two existing names gets what the other had.
  func exchange(_ path: String, with other: String) throws(LogError)
  func remove(_ path: String) throws(LogError)
  func removeDirectory(_ path: String) throws(LogError)
  /// Makes the names created, renamed and removed in `directory` durable.
  func syncDirectory(_ directory: String) throws(LogError)
  /// `nanoseconds` since 1970.
  func setModificationTime(of path: String, to nanoseconds: Int64) throws(LogError)
}

package enum FileAccess: Sendable {
  case reading
  case readingAndWriting
}

/// An open file; it is closed with its last reference. Safe to call from any thread.
package protocol File: AnyObject, Sendable {
  var path: String { get }
  /// Fills as much of `buffer` as the file has from `offset` on. - Returns: bytes read, less than asked for only at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int
  /// - Returns: how many bytes were written, and the error that kept it from writing the rest.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> (written: Int, error: LogError?)
  /// `fdatasync`: every byte whose `write` returned before this call is on stable storage when it returns, in a file that can be found by its name.
  /// - Throws: `LogError` `notFound` if the file was removed.
  func sync() throws(LogError)
  func truncate(to size: UInt64) throws(LogError)
  func status() throws(LogError) -> FileStatus
  /// The first offset at or behind `offset` that may hold something else than a hole, which reads as zeros; `nil` if there is none.
  func nextData(from offset: UInt64) throws(LogError) -> UInt64?
  /// Takes an exclusive lock of one byte, without waiting; it ends with the file. - Returns: false if another holder has it.
  func lock(byte: Int64) throws(LogError) -> Bool
  func unlock(byte: Int64)
  func isLockedByAnother(byte: Int64) throws(LogError) -> Bool
}

/// Equal for two names of the same file.
package struct FileIdentity: Sendable, Hashable {
  var device: UInt64
  var inode: UInt64

  package init(device: UInt64 = 0, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}

package struct FileStatus: Sendable, Equatable {
  package enum Kind: Sendable { case file, directory, other }

  package var kind: Kind
  /// Bytes.
  package var size: UInt64
  /// Nanoseconds since 1970.
  package var modified: Int64
  package var identity: FileIdentity

  package init(kind: Kind, size: UInt64, modified: Int64, identity: FileIdentity) {
    self.kind = kind
    self.size = size
    self.modified = modified
    self.identity = identity
  }
}

extension File {
  /// Writes all of `bytes`.
  package func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(LogError) {
    if let error = write(bytes, at: offset).error { throw error }
  }
}

/// `directory/name`.
package func path(_ directory: String, _ name: String) -> String {
  directory.hasSuffix("/") ? directory + name : directory + "/" + name
}
