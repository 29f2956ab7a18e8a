internal import CLinux
internal import Glibc
package import LogFormat
package import ProvenanceModel
internal import SystemPackage

// The streams and signals of a command.

/// The command's arguments behind its name.
/// - Throws: `LogError` `invalidInput` for one that is not UTF-8: it would silently become another one.
package func programArguments() throws(LogError) -> [String] {
  var arguments: [String] = []
  for number in 1..<max(1, Int(ckprov_argument_count())) {
    guard let bytes = ckprov_argument(Int32(number)) else { break }
    guard let argument = String(validatingCString: bytes) else {
      throw LogError(.invalidInput, "Argument \(number), '\(String(cString: bytes))', is not UTF-8.")
    }
    arguments.append(argument)
  }
  return arguments
}

/// Prints a line to standard error, in one write so that lines of several threads do not mix; a failure is passed over.
package func writeStandardError(_ line: String) {
  var text = line + "\n"
  text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
}

/// Shows a line on standard error in the place of the one that was shown before; `nil` only takes that away. For a terminal.
package func showOnStandardError(_ line: String?) {
  // Return to the start of the line, clear it.
  var text = "\r\u{1B}[K" + (line ?? "")
  text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
}

package func standardErrorIsTerminal() -> Bool { isatty(STDERR_FILENO) == 1 }

/// How a write to standard output has ended.
package enum OutputEnding: Sendable {
  case written
  /// Its reader has gone away.
  case closed
  /// It was closed from the start.
  case missing
  /// Not all was written: its reader does not read, and a signal asked to stop.
  case stopped(StopSignal)
}

/// Writes `bytes` to standard output, and waits where there is no room for them.
/// - Parameter signals: what ends the waiting.
package func writeStandardOutput(_ bytes: UnsafeRawBufferPointer, unless signals: StopSignals? = nil) throws(LogError) -> OutputEnding {
  let output = FileDescriptor.standardOutput
  // A pipe that has room at all has room for so much: the write does not wait, deaf to a signal that came just before it.
  let countMax = signals == nil ? Int.max : Int(PIPE_BUF)
  var count = 0
  while count < bytes.count {
    let (isReady, isSignalled) = try wait(for: output, POLLOUT, "standard output", signals)
    if !isReady, isSignalled, let signal = signals?.next() { return .stopped(signal) }
    guard isReady else { continue }
    do {
      count += try output.write(UnsafeRawBufferPointer(rebasing: bytes[count...].prefix(countMax)))
    } catch Errno.wouldBlock {
      continue
    } catch Errno.brokenPipe {
      return .closed
    } catch Errno.badFileDescriptor {
      return .missing
    } catch {
      throw failure("cannot write to standard output", "standard output", error)
    }
  }
  return .written
}

/// A signal that asks to stop.
package enum StopSignal: Int32, Sendable {
  case interrupt = 2
  case terminate = 15
}

/// SIGINT and SIGTERM, caught; one that was ignored when the program started stays ignored.
package struct StopSignals: Sendable {
  fileprivate let pipe: FileDescriptor

  /// Not more than once in a process.
  package static func catching() throws(LogError) -> StopSignals {
    let ends: (readEnd: FileDescriptor, writeEnd: FileDescriptor)
    do { ends = try FileDescriptor.pipe() } catch { throw failure("cannot make a pipe for signals", "signals", error) }
    signalPipe = ends.writeEnd.rawValue
    for number in [SIGINT, SIGTERM] where !isIgnored(number) {
      signal(number) { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = Glibc.write(signalPipe, &byte, 1)
      }
    }
    return StopSignals(pipe: ends.readEnd)
  }

  /// The one that came, once `wait` has heard it.
  fileprivate func next() -> StopSignal? {
    var number: UInt8 = 0
    let count = withUnsafeMutableBytes(of: &number) { try? pipe.read(into: $0) }
    return count == 1 ? StopSignal(rawValue: Int32(number)) : nil
  }
}

/// Set once, before the handler that reads it is installed. A signal handler may take no lock, so nothing safer can hold it.
nonisolated(unsafe) private var signalPipe: Int32 = -1

/// Handlers are C functions, which Swift compares in no other way than by their addresses.
private func isIgnored(_ number: Int32) -> Bool {
  var action = sigaction()
  guard sigaction(number, nil, &action) == 0, let handler = action.__sigaction_handler.sa_handler else { return false }
  return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
}

/// Waits until there is something to read or room to write, or a signal has come; not longer than `milliseconds`, if it is not negative.
private func wait(
  for descriptor: FileDescriptor?, _ events: Int32, _ name: String, _ signals: StopSignals?, milliseconds: Int32 = -1
) throws(LogError) -> (isReady: Bool, isSignalled: Bool) {
  // poll passes over a negative descriptor.
  var polled = [(descriptor, events), (signals?.pipe, POLLIN)].map { pollfd(fd: $0?.rawValue ?? -1, events: Int16($1), revents: 0) }
  while poll(&polled, 2, milliseconds) < 0 {
    guard errno == EINTR else { throw failure("cannot wait for this", name, Errno(rawValue: errno)) }
  }
  return (polled[0].revents != 0, polled[1].revents != 0)
}

/// Input that is read as it comes, until a signal asks to stop.
package struct InputStream: ~Copyable {
  private let descriptor: FileDescriptor
  private let name: String
  private let signals: StopSignals

  package enum Event: Sendable {
    case bytes
    case end
    case stop(StopSignal)
  }

  /// - Parameter path: `nil` for standard input.
  /// - Throws: `LogError` `notFound`, `noPermission`, `io`.
  package init(_ path: String?, unless signals: StopSignals) throws(LogError) {
    descriptor = if let path { try Self.open(path) } else { .standardInput }
    name = path ?? "standard input"
    self.signals = signals
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
    while true {
      let (isReady, isSignalled) = try wait(for: descriptor, POLLIN, name, signals)
      if isSignalled, let signal = signals.next() { return .stop(signal) }
      guard isReady else { continue }
      do {
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer.freeRoom(atLeast: 1 << 20).prefix(1 << 20))
        let count = try descriptor.read(into: room)
        buffer.commit(count)
        // Who stops it and ends its input at once means the signal; it may have come after the wait.
        guard count == 0 else { return .bytes }
        if try wait(for: nil, 0, name, signals, milliseconds: 0).isSignalled, let signal = signals.next() { return .stop(signal) }
        return .end
      } catch Errno.wouldBlock {
        // Standard input may be one that its other holders do not want to block.
        continue
      } catch {
        throw failure("cannot read this", name, error)
      }
    }
  }
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

/// For the start of a command: a signal that ends it takes its unfinished output files with it.
package func removeTemporaryFilesOnSignals() { ckprov_remove_temporary_files_on_signals() }

/// Bytes that are not UTF-8 are replaced.
package func environmentVariable(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }
}

package func isUTF8(environmentVariable name: String) -> Bool {
  getenv(name).map { String(validatingCString: $0) != nil } ?? true
}

/// Since some moment; it never goes back.
package func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Sleeps on this thread.
package func sleepThread(_ duration: Duration) {
  let (seconds, attoseconds) = duration.components
  guard duration > .zero else { return }
  var rest = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
  var left = timespec()
  while nanosleep(&rest, &left) != 0, errno == EINTR { rest = left }
}
