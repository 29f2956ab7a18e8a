internal import Glibc
internal import SystemPackage

/// Tells what changes in directories: for who follows logs. Costs nothing while nothing does.
package struct DirectoryChanges: ~Copyable {
  /// What has changed: a name in a directory that is watched, empty for the directory itself.
  package struct Change: Hashable, Sendable {
    /// As `watch` returned it.
    package let watch: Int32
    package let name: String
  }

  /// `nil` where the system has no more to give: then the directories are to be looked at five times a second.
  private let descriptor: FileDescriptor?

  package init() {
    let made = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
    descriptor = made < 0 ? nil : FileDescriptor(rawValue: made)
  }

  /// Of one directory, for `wait()`.
  package init(in directory: String) {
    let made = DirectoryChanges()
    if made.watch(directory) == nil { self.init(descriptor: nil) } else { self = made }
  }

  private init(descriptor: FileDescriptor?) {
    self.descriptor = descriptor
  }

  deinit {
    try? descriptor?.close()
  }

  /// - Returns: `nil` if the directory is not there, or the system watches no more.
  package func watch(_ directory: String) -> Int32? {
    guard let descriptor else { return nil }
    let events = UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
    let watch = inotify_add_watch(descriptor.rawValue, directory, events)
    return watch < 0 ? nil : watch
  }

  package func unwatch(_ watch: Int32) {
    if let descriptor { inotify_rm_watch(descriptor.rawValue, watch) }
  }

  /// Returns when something has changed since it was called last, or since it was made; at the latest after a second, since not all file systems tell what other
  /// machines change.
  /// - Returns: false if nobody reads standard output any more.
  package func wait() -> Bool {
    let isRead = poll(milliseconds: 1000, alsoOutput: true)
    _ = changes()
    return isRead
  }

  /// The same for all directories that are watched.
  /// - Parameters:
  ///   - milliseconds: the longest that it waits; `nil` for ever.
  ///   - watchingOutput: returns, too, when nobody reads standard output any more.
  /// - Returns: what has changed, `nil` if that is not known, so that all is to be looked at; and whether standard output is read.
  package func wait(milliseconds: Int32?, watchingOutput: Bool = false) -> (changed: Set<Change>?, outputIsRead: Bool) {
    let isRead = poll(milliseconds: milliseconds ?? -1, alsoOutput: watchingOutput)
    return (descriptor == nil ? nil : changes(), isRead)
  }

  private func poll(milliseconds: Int32, alsoOutput: Bool) -> Bool {
    // poll passes over a negative descriptor, and tells of a reader that has gone away unasked.
    var polled = [
      pollfd(fd: descriptor?.rawValue ?? -1, events: Int16(POLLIN), revents: 0),
      pollfd(fd: alsoOutput ? STDOUT_FILENO : -1, events: 0, revents: 0),
    ]
    Glibc.poll(&polled, 2, descriptor == nil ? 200 : milliseconds)
    return polled[1].revents == 0
  }

  private func changes() -> Set<Change>? {
    guard let descriptor else { return nil }
    var changes: Set<Change>? = []
    withUnsafeTemporaryAllocation(byteCount: 1 << 14, alignment: 8) { room in
      while let count = try? descriptor.read(into: room), count > 0 {
        var offset = 0
        // An event: watch, mask, cookie, length of the name, and the name with zeros behind it.
        while offset + 16 <= count {
          let watch = room.load(fromByteOffset: offset, as: Int32.self)
          let mask = room.load(fromByteOffset: offset + 4, as: UInt32.self)
          let size = Int(room.load(fromByteOffset: offset + 12, as: UInt32.self))
          if mask & UInt32(IN_Q_OVERFLOW) != 0 { changes = nil }
          let name = room[(offset + 16)..<min(count, offset + 16 + size)].prefix { $0 != 0 }
          changes?.insert(Change(watch: watch, name: String(decoding: name, as: UTF8.self)))
          offset += 16 + size
        }
      }
    }
    return changes
  }
}
