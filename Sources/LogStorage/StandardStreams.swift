internal import Glibc

/// Prints a line to standard error, in one write so that lines of several threads do not mix; a failure is passed over.
package func writeStandardError(_ line: String) {
  var text = line + "\n"
  text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
}

/// Sleeps on this thread.
package func sleepThread(_ duration: Duration) {
  let (seconds, attoseconds) = duration.components
  guard duration > .zero else { return }
  var rest = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
  var left = timespec()
  while nanosleep(&rest, &left) != 0, errno == EINTR { rest = left }
}
