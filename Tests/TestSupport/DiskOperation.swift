package import ProvenanceLog

/// What a log asks of the disk.
package enum DiskOperation: Sendable, Equatable {
  case create(String)
  case makeDirectory(String)
  case write(String, size: Int)
  case sync(String)
  case truncate(String, size: UInt64)
  case rename(String, to: String)
  case remove(String)
  case removeDirectory(String)
  case syncDirectory(String)
  case setModificationTime(String)
  /// A file is opened, read, looked at or locked, a directory is listed; only a `SimulatedDisk` tells.
  case read(String)

  package var isSync: Bool { if case .sync = self { true } else { false } }
  package var isWrite: Bool { if case .write = self { true } else { false } }
  package var isSyncDirectory: Bool { if case .syncDirectory = self { true } else { false } }
  package var isRead: Bool { if case .read = self { true } else { false } }
}

/// How an operation fails; of a write, `written` bytes reach the file before.
package struct DiskFault: Sendable {
  package var error: LogError
  package var written = 0

  package init(_ code: LogError.Code, written: Int = 0, errno: Int32? = nil) {
    error = LogError(code, "made to fail", errno: errno)
    self.written = written
  }
}

/// Asked before each operation, on its thread, with no lock held: it may wait.
package typealias DiskRule = @Sendable (DiskOperation) -> DiskFault?
