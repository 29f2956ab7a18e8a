internal import Glibc
internal import SystemPackage

/// Waits until something changes in a directory: for who follows a log. Costs nothing meanwhile.
package struct DirectoryChanges: ~Copyable {
  /// `nil` where the system has no more to give: then the directory is looked at five times a second.
  private let descriptor: FileDescriptor?

  package init(in directory: String) {
    let made = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
    let events = UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)
    if made >= 0, inotify_add_watch(made, directory, events) < 0 {
      close(made)
      descriptor = nil
    } else {
      descriptor = made < 0 ? nil : FileDescriptor(rawValue: made)
    }
  }

  deinit {
    try? descriptor?.close()
  }

  /// Returns when something has changed since it was called last, or since it was made; at the latest after a second, since not all file systems tell what other
  /// machines change.
  /// - Returns: false if nobody reads standard output any more.
  package func wait() -> Bool {
    // poll passes over a negative descriptor, and tells of a reader that has gone away unasked.
    var polled = [
      pollfd(fd: descriptor?.rawValue ?? -1, events: Int16(POLLIN), revents: 0), pollfd(fd: STDOUT_FILENO, events: 0, revents: 0),
    ]
    poll(&polled, 2, descriptor == nil ? 200 : 1000)
    if polled[0].revents != 0, let descriptor {
      withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { room in
        while let count = try? descriptor.read(into: room), count > 0 {}
      }
    }
    return polled[1].revents == 0
  }
}
