internal import CLinux
internal import Glibc
package import ProvenanceModel
internal import SystemPackage

/// The file system of the machine.
package struct DiskFileSystem: FileSystem {
  package init() {}

  package func open(_ path: String, for access: FileAccess) throws(LogError) -> any File {
    let mode: FileDescriptor.AccessMode = access == .reading ? .readOnly : .readWrite
    // Not blocking: the name may be a pipe.
    let file = try DiskFile(path, mode, [.noFollow, .closeOnExec, .nonBlocking])
    guard try file.status().kind == .file else { throw LogError(.io, "this is no regular file; move it away", path: path) }
    return file
  }

  package func create(_ path: String) throws(LogError) -> any File {
    try DiskFile(path, .readWrite, [.create, .exclusiveCreate, .noFollow, .closeOnExec])
  }

  package func makeDirectory(_ path: String) throws(LogError) -> Bool {
    if mkdir(path, 0o777) == 0 { return true }
    guard errno == EEXIST else { throw failure("cannot make this directory", path) }
    return false
  }

  package func checkIsWritable(_ directory: String) throws(LogError) {
    guard faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 else { throw failure("cannot change what is in this directory", directory) }
  }

  package func names(in directory: String) throws(LogError) -> [String] {
    guard let stream = opendir(directory) else { throw failure("cannot list this directory", directory) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        // One that is not UTF-8 is none of ours; who looks for it under this name finds nothing.
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw failure("cannot list this directory", directory) }
    return names
  }

  package func status(of path: String) throws(LogError) -> FileStatus? {
    var result = stat()
    if lstat(path, &result) == 0 { return FileStatus(result) }
    guard errno == ENOENT || errno == ENOTDIR else { throw failure("cannot look at this", path) }
    return nil
  }

  package func rename(_ path: String, to target: String) throws(LogError) {
    guard Glibc.rename(path, target) == 0 else { throw failure("cannot rename this to '\(target)'", path) }
  }

  package func renameToNew(_ path: String, to target: String) throws(LogError) -> Bool {
    if ckprov_rename_noreplace(path, target) == 0 { return true }
    guard errno == EEXIST else { throw failure("cannot rename this to '\(target)'\(Self.remedy)", path) }
    return false
  }

  package func exchange(_ path: String, with other: String) throws(LogError) {
    guard ckprov_rename_exchange(path, other) == 0 else { throw failure("cannot exchange this with '\(other)'\(Self.remedy)", path) }
  }

  /// Of what `renameat2` does beyond `rename`: of an error that it gives.
  private static var remedy: String { errno == EINVAL ? ", which this file system does not know; keep the storage directory on another one" : "" }

  package func remove(_ path: String) throws(LogError) {
    guard unlink(path) == 0 else { throw failure("cannot remove this", path) }
  }

  package func removeDirectory(_ path: String) throws(LogError) {
    guard rmdir(path) == 0 else { throw failure("cannot remove this directory", path) }
  }

  package func syncDirectory(_ directory: String) throws(LogError) {
    let file = try DiskFile(directory, .readOnly, [.directory, .closeOnExec])
    try file.syncDirectory()
  }

  package func setModificationTime(of path: String, to nanoseconds: Int64) throws(LogError) {
    let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    let time = timespec(tv_sec: rest < 0 ? Int(seconds) - 1 : Int(seconds), tv_nsec: rest < 0 ? Int(rest) + 1_000_000_000 : Int(rest))
    guard utimensat(AT_FDCWD, path, [time, time], AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("cannot set the time of this", path) }
  }
}

/// SEEK_DATA, which Glibc's module leaves out.
private let seekData: Int32 = 3

private final class DiskFile: File {
  let path: String
  private let descriptor: FileDescriptor
  /// Whether the file system counts the names of a file, and this one, which may be written to, had one when it was opened.
  private let hasName: Bool

  init(_ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions) throws(LogError) {
    self.path = path
    do {
      let permissions: FilePermissions? = options.contains(.create) ? [.ownerReadWrite, .groupReadWrite, .otherReadWrite] : nil
      descriptor = try FileDescriptor.open(FilePath(path), mode, options: options, permissions: permissions)
    } catch {
      throw failure("cannot open this", path, error)
    }
    hasName = mode == .readWrite && nameCount(descriptor) ?? 0 > 0
  }

  deinit {
    // Nothing is lost by an error here: what had to be durable was synced.
    try? descriptor.close()
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int {
    var count = 0
    do {
      while count < buffer.count {
        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
        let read = try descriptor.read(fromAbsoluteOffset: Int64(offset) + Int64(count), into: rest)
        if read == 0 { break }
        count += read
      }
    } catch {
      throw failure("cannot read this", path, error, offset: offset + UInt64(count))
    }
    return count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> (written: Int, error: LogError?) {
    var count = 0
    do {
      while count < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[count...])
        let written = try descriptor.write(toAbsoluteOffset: Int64(offset) + Int64(count), rest)
        guard written > 0 else { throw Errno.ioError }
        count += written
      }
      return (count, nil)
    } catch {
      return (count, failure("cannot write to this", path, error, offset: offset + UInt64(count)))
    }
  }

  func sync() throws(LogError) {
    while fdatasync(descriptor.rawValue) != 0 {
      guard errno == EINTR else { throw failure("cannot sync this to stable storage", path) }
    }
    // What was put on stable storage in a file that has no name any more is kept for nobody.
    guard !hasName || nameCount(descriptor) != 0 else {
      throw LogError(.notFound, "another program has removed this while it was written", path: path)
    }
  }

  func syncDirectory() throws(LogError) {
    while fsync(descriptor.rawValue) != 0 {
      guard errno == EINTR else { throw failure("cannot sync this directory to stable storage", path) }
    }
  }

  func truncate(to size: UInt64) throws(LogError) {
    while ftruncate(descriptor.rawValue, Int(size)) != 0 {
      guard errno == EINTR else { throw failure("cannot cut this to \(size) bytes", path) }
    }
  }

  func status() throws(LogError) -> FileStatus {
    var result = stat()
    guard fstat(descriptor.rawValue, &result) == 0 else { throw failure("cannot look at this", path) }
    return FileStatus(result)
  }

  func nextData(from offset: UInt64) throws(LogError) -> UInt64? {
    let found = lseek(descriptor.rawValue, Int(clamping: offset), seekData)
    if found >= 0 { return UInt64(found) }
    guard errno != ENXIO else { return nil }
    // Not every file system knows its holes.
    guard errno == EINVAL || errno == ENOTSUP else { throw failure("cannot look for data in this", path, offset: offset) }
    return offset
  }

  func lock(byte: Int64) throws(LogError) -> Bool {
    if ckprov_ofd_lock(descriptor.rawValue, byte, 1) == 0 { return true }
    guard errno == EAGAIN || errno == EACCES else { throw failure("cannot lock this", path) }
    return false
  }

  func unlock(byte: Int64) {
    _ = ckprov_ofd_lock(descriptor.rawValue, byte, 0)
  }

  func isLockedByAnother(byte: Int64) throws(LogError) -> Bool {
    let answer = ckprov_ofd_is_locked(descriptor.rawValue, byte)
    guard answer >= 0 else { throw failure("cannot ask who has locked this", path) }
    return answer == 1
  }
}

/// How many names a file has; `nil` if that can't be asked.
private func nameCount(_ descriptor: FileDescriptor) -> Int? {
  var result = stat()
  return fstat(descriptor.rawValue, &result) == 0 ? Int(result.st_nlink) : nil
}

extension FileStatus {
  fileprivate init(_ result: stat) {
    let kind: Kind =
      switch result.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .directory
      default: .other
      }
    self.init(
      kind: kind, size: UInt64(max(0, result.st_size)), modified: nanoseconds(result.st_mtim),
      identity: FileIdentity(device: UInt64(result.st_dev), inode: UInt64(result.st_ino)))
  }
}

/// Since 1970; beyond the years 1678 to 2262 the nearest that 64 bits hold.
private func nanoseconds(_ time: timespec) -> Int64 {
  let (product, overflow) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
  if overflow { return time.tv_sec < 0 ? .min : .max }
  let (sum, overflow2) = product.addingReportingOverflow(Int64(time.tv_nsec))
  return overflow2 ? .max : sum
}

/// The error of the system call that just failed.
private func failure(_ what: String, _ path: String, offset: UInt64? = nil) -> LogError {
  failure(what, path, Errno(rawValue: errno), offset: offset)
}

func failure(_ what: String, _ path: String, _ error: any Error, offset: UInt64? = nil) -> LogError {
  guard let number = error as? Errno else { return LogError(.io, "\(what): \(error)", path: path, offset: offset) }
  let code: LogError.Code
  let advice: String
  switch number {
  case .noSpace, .diskQuotaExceeded: (code, advice) = (.noSpace, "; make room")
  case .fileTooLarge: (code, advice) = (.noSpace, "; raise the limit of a file's size (ulimit -f)")
  case .permissionDenied, .notPermitted: (code, advice) = (.noPermission, "; run it as a user who may, or have the owner allow it")
  case .readOnlyFileSystem: (code, advice) = (.noPermission, "; mount it for writing, or name another directory")
  case .notDirectory: (code, advice) = (.io, "; a part of the path is no directory: move it away, or name another path")
  case .ioError: (code, advice) = (.io, "; the disk, or what it stands on, has failed: the kernel's log (dmesg) says more")
  case .noSuchFileOrDirectory: (code, advice) = (.notFound, "")
  case .isDirectory: (code, advice) = (.io, "; move it away")
  case .tooManySymbolicLinkLevels: (code, advice) = (.io, ": symbolic links are not followed here")
  case .tooManyOpenFiles, .tooManyOpenFilesInSystem: (code, advice) = (.io, "; raise the limit of open files (ulimit -n)")
  default: (code, advice) = (.io, "")
  }
  return LogError(code, "\(what): \(number)\(advice)", path: path, offset: offset, errno: number.rawValue)
}

/// The system's clock.
package func currentTime() -> Timestamp {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000) ?? Timestamp(microseconds: 0)!
}
