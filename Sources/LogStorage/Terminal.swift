internal import CLinux
internal import Glibc

// The terminal that a person reads from.

package func standardOutputIsTerminal() -> Bool { isatty(STDOUT_FILENO) == 1 }

/// Columns of the terminal: COLUMNS if that is a number, else what it says itself; `nil` if standard output is none.
package func standardOutputColumns() -> Int? {
  if let columns = environmentVariable("COLUMNS").flatMap({ Int($0) }), 20...10_000 ~= columns { return columns }
  return terminalColumns(STDOUT_FILENO)
}

/// Columns of the terminal that standard error is, as it says itself.
package func standardErrorColumns() -> Int? { terminalColumns(STDERR_FILENO) }

private func terminalColumns(_ descriptor: Int32) -> Int? {
  var size = winsize()
  guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
  return Int(size.ws_col)
}

/// How many columns a terminal gives to a text, as the C library's table of characters has it.
package func columns(of text: String) -> Int {
  if text.utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) { return text.utf8.count }
  return text.reduce(0) { $0 + columns(of: $1) }
}

package func columns(of character: Character) -> Int {
  _ = localeIsSet
  let scalars = character.unicodeScalars
  // Joined ones and those that ask to be shown as a picture are one picture.
  if scalars.count > 1, scalars.contains(where: { $0 == "\u{FE0F}" || $0 == "\u{200D}" }) { return 2 }
  return scalars.reduce(0) { $0 + max(0, Int(ckprov_columns($1.value))) }
}

private let localeIsSet = ckprov_name_characters() != 0

/// A program through which a person reads what is printed, page by page. From its start to its end standard output leads to it.
package struct Pager: ~Copyable {
  private let stream: UnsafeMutablePointer<FILE>

  /// - Parameter command: for the shell. - Returns: `nil` if it cannot be started: the shell finds no such program.
  package init?(_ command: String) {
    // Anything else than a name and arguments is the shell's own business.
    let isPlain = command.allSatisfy { $0.isLetter || $0.isNumber || " -_./+=".contains($0) }
    if isPlain, let program = command.split(separator: " ").first, !program.contains("=") {
      guard let question = popen("command -v \(program) >/dev/null 2>&1", "r"), pclose(question) == 0 else { return nil }
    }
    // As git has it: colours as they are, and no page where all fits on the screen.
    setenv("LESS", "FRX", 0)
    setenv("LV", "-c", 0)
    guard let stream = popen(command, "w") else { return nil }
    // The pager decides what an interruption means.
    signal(SIGINT, SIG_IGN)
    guard dup2(fileno(stream), STDOUT_FILENO) >= 0 else {
      pclose(stream)
      return nil
    }
    self.stream = stream
  }

  /// Waits until the person has read.
  deinit {
    close(STDOUT_FILENO)
    pclose(stream)
  }
}
