internal import Glibc
package import LogFormat
package import ProvenanceModel
internal import SystemPackage

// The streams and signals of a command.

/// Prints a line to standard error, in one write so that lines of several threads do not mix; a failure is passed over.
package func writeStandardError(_ line: String) {
  var text = line + "\n"
  text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
}

/// Writes all of `bytes` to standard output.
/// - Returns: false if its reader has gone away, or if it was closed from the start.
package func writeStandardOutput(_ bytes: UnsafeRawBufferPointer) throws(LogError) -> Bool {
  do {
    try FileDescriptor.standardOutput.writeAll(bytes)
    return true
  } catch {
    if let number = error as? Errno, number == .brokenPipe || number == .badFileDescriptor { return false }
    throw failure("cannot write to standard output", "standard output", error)
  }
}

/// A signal that asks to stop.
package enum StopSignal: Int32, Sendable {
  case interrupt = 2
  case terminate = 15
}

/// Input that is read as it comes, and that SIGINT and SIGTERM interrupt.
package struct InputStream: ~Copyable {
  private let descriptor: FileDescriptor
  private let name: String
  private let signals: FileDescriptor?

  package enum Event: Sendable {
    case bytes
    case end
    case stop(StopSignal)
  }

  /// - Parameter path: `nil` for standard input.
  /// - Throws: `LogError` `notFound`, `noPermission`, `io`.
  package init(_ path: String?, catchingSignals: Bool) throws(LogError) {
    descriptor = if let path { try Self.open(path) } else { .standardInput }
    name = path ?? "standard input"
    signals = catchingSignals ? catchStopSignals() : nil
  }

  private static func open(_ path: String) throws(LogError) -> FileDescriptor {
    do {
      // Not blocking: a named pipe may have no writer yet, and a signal must be heard all the same.
      let descriptor = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec, .nonBlocking])
      var status = stat()
      guard fstat(descriptor.rawValue, &status) != 0 || status.st_mode & S_IFMT != S_IFDIR else { throw Errno.isDirectory }
      return descriptor
    } catch {
      throw failure("cannot open this", path, error)
    }
  }

  /// Waits for input, and appends what there is of it, up to 1 MiB.
  package mutating func read(into buffer: inout ByteBuffer) throws(LogError) -> Event {
    var polled = [pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)]
    if let signals { polled.append(pollfd(fd: signals.rawValue, events: Int16(POLLIN), revents: 0)) }
    while true {
      guard poll(&polled, nfds_t(polled.count), -1) >= 0 || errno == EINTR else {
        throw failure("cannot wait for this", name, Errno(rawValue: errno))
      }
      if polled.count == 2, polled[1].revents != 0, let signal = caughtSignal() { return .stop(signal) }
      guard polled[0].revents != 0 else { continue }
      do {
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer.freeRoom(atLeast: 1 << 20).prefix(1 << 20))
        let count = try descriptor.read(into: room)
        buffer.commit(count)
        return count == 0 ? .end : .bytes
      } catch Errno.wouldBlock {
        // Standard input may be one that its other holders do not want to block.
        continue
      } catch {
        throw failure("cannot read this", name, error)
      }
    }
  }

  private func caughtSignal() -> StopSignal? {
    guard let signals else { return nil }
    var number: UInt8 = 0
    let count = withUnsafeMutableBytes(of: &number) { try? signals.read(into: $0) }
    return count == 1 ? StopSignal(rawValue: Int32(number)) : nil
  }
}

/// Set once, before the handler that reads it is installed. A signal handler may take no lock, so nothing safer can hold it.
nonisolated(unsafe) private var signalPipe: Int32 = -1

/// - Returns: a pipe from which a byte can be read for each SIGINT and SIGTERM.
private func catchStopSignals() -> FileDescriptor? {
  guard let ends = try? FileDescriptor.pipe() else { return nil }
  signalPipe = ends.writeEnd.rawValue
  for number in [SIGINT, SIGTERM] {
    signal(number) { number in
      var byte = UInt8(truncatingIfNeeded: number)
      _ = Glibc.write(signalPipe, &byte, 1)
    }
  }
  return ends.readEnd
}

/// For the start of a command: a closed pipe and a file size limit become errors of the call, not the end of the process; and a standard stream that was
/// closed stays so, instead of giving its number to the next file that is opened, into which messages would then be written.
package func prepareStandardStreams() {
  signal(SIGPIPE, SIG_IGN)
  signal(SIGXFSZ, SIG_IGN)
  for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(number, F_GETFD) == -1 {
    // The lowest free number is this one. Opened the wrong way round, so that using it is an error.
    _ = Glibc.open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
  }
}

package func environmentVariable(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }
}

/// Sleeps on this thread.
package func sleepThread(_ duration: Duration) {
  let (seconds, attoseconds) = duration.components
  guard duration > .zero else { return }
  var rest = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
  var left = timespec()
  while nanosleep(&rest, &left) != 0, errno == EINTR { rest = left }
}
