internal import CLinux
package import ProvenanceModel

/// A file that appears whole or not at all: written under a temporary name beside its place, synced, renamed. A signal that
/// ends the program removes it in a command that has called `removeTemporaryFilesOnSignals`.
package struct OutputFile: ~Copyable {
  private let fileSystem: any FileSystem
  private let target: String
  private let temporary: String
  private let file: any File
  private let noted: Int32
  private var size: UInt64 = 0
  private var isFinished = false

  private init(_ fileSystem: any FileSystem, _ target: String, _ temporary: String, _ file: any File, _ noted: Int32) {
    self.fileSystem = fileSystem
    self.target = target
    self.temporary = temporary
    self.file = file
    self.noted = noted
  }

  /// The temporary name is `.NAME.XXXXXXXX.tmp`, so that no tool takes it for a session.
  package static func create(_ target: String, in fileSystem: any FileSystem) throws(LogError) -> OutputFile {
    let name = target.split(separator: "/").last.map(String.init) ?? target
    while true {
      let temporary = path(parentDirectory(target), ".\(name).\(String(UInt32.random(in: .min ... .max), radix: 16)).tmp")
      if try fileSystem.status(of: temporary) != nil { continue }
      let noted = ckprov_note_temporary_file(temporary)
      do throws(LogError) { return OutputFile(fileSystem, target, temporary, try fileSystem.create(temporary), noted) } catch {
        ckprov_forget_temporary_file(noted)
        throw error.adding(error.code == .notFound ? "; the file's directory is not there: make it, or name another" : "").at(target)
      }
    }
  }

  package mutating func write(_ bytes: UnsafeRawBufferPointer) throws(LogError) {
    try file.writeAll(bytes, at: size)
    size += UInt64(bytes.count)
  }

  /// Puts the file in its place, atomically, over what stood there.
  /// - Parameter modified: its modification time, in nanoseconds since 1970; `nil` for now.
  package mutating func finish(modified: Int64? = nil) throws(LogError) {
    try file.sync()
    if let modified { try fileSystem.setModificationTime(of: temporary, to: modified) }
    try fileSystem.rename(temporary, to: target)
    isFinished = true
  }

  deinit {
    if !isFinished { try? fileSystem.remove(temporary) }
    ckprov_forget_temporary_file(noted)
  }
}
