public import ArgumentParser
import LogStorage
public import ProvenanceLog

let productVersion = "1.0.0"

/// `ckprov-log`: parsing and printing only; what it does is in ProvenanceLog.
@main
struct Command: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ckprov-log",
    abstract: "Records provenance sessions of Concept Kernels into append-only logs, and reads them back.",
    discussion: """
      Sessions are kept in DIR/storage/sessions, a log each; DIR is --storage-dir, else the environment's CKPROV_STORAGE_DIR, else the current directory. \
      SESSION is a session id, the beginning of one that no other has, or @ for the one that was started last.

      Completions for a shell: ckprov-log --generate-completion-script bash, or zsh, or fish.

      Exit codes: 0 done; 64 usage; 65 bad input data, damaged log, ambiguous prefix; 66 no such session or file; 69 format version not supported; 73 the \
      id exists already; 74 I/O, no space; 75 locked by another process; 77 no permission; 130, 143 after a signal.
      """,
    version: "ckprov-log \(productVersion), log format: reads 1, writes 1",
    subcommands: [
      RecordCommand.self, ProjectCommand.self, CatCommand.self, ShowCommand.self, DiffCommand.self, ReportCommand.self,
      ExportCommand.self, ListCommand.self, StatsCommand.self, VerifyCommand.self, DumpCommand.self, RecoverCommand.self,
      CompactCommand.self, RetainCommand.self, ImportCommand.self, CloseCommand.self, RemoveCommand.self, PathCommand.self,
      URNCommand.self, DemoCommand.self, BenchCommand.self, ManCommand.self,
    ])

  static func main() async {
    prepareStandardStreams()
    removeTemporaryFilesOnSignals()
    do {
      let arguments = try arguments()
      var command = try parseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
    } catch let error where exitCode(for: error) == .validationFailure {
      note(usageMessage(for: error))
      exit(withError: ExitCode.validationFailure)
    } catch let error where exitCode(for: error) == .success {
      exit(withError: printing(fullMessage(for: error)))
    } catch {
      exit(withError: error)
    }
  }
}

/// Help, say, or completions: as any output, it may have no room.
private func printing(_ text: String) -> ExitCode {
  var out = Output()
  do throws(LogError) {
    if !text.isEmpty { try out.line(text) }
    try out.flush()
  } catch {
    return fail(error)
  }
  return .success
}

/// What was wrong with the arguments, which may hold anything, in one line, and where to read more.
private func usageMessage(for error: any Error) -> String {
  let message = Command.message(for: error).split(separator: "\n").map { $0.drop { $0 == " " } }.filter { !$0.isEmpty }.joined(separator: " ")
  let (names, command, rest) = namedCommand((try? programArguments()) ?? [])
  let advice = rest.first.flatMap { adviceForSubcommand($0, of: command) }.map { " \($0)" } ?? ""
  return escapedForTerminal(
    "\(message)\(message.last.map { ".?!".contains($0) } ?? true ? "" : ".")\(advice) '\(names.joined(separator: " ")) --help' says more.")
}

/// The innermost command that is named, or that 'help' is asked about, and what stands behind it.
private func namedCommand(_ arguments: [String]) -> (names: [String], command: any ParsableCommand.Type, rest: ArraySlice<String>) {
  var (names, command) = ([Command._commandName], Command.self as any ParsableCommand.Type)
  var rest = arguments.first == "help" ? arguments.dropFirst() : arguments[...]
  while let name = rest.first, let next = command.configuration.subcommands.first(where: { $0._commandName == name }) {
    names.append(name)
    command = next
    rest.removeFirst()
  }
  return (names, command, rest)
}

/// Where an argument is no subcommand: which may be meant.
private func adviceForSubcommand(_ text: String, of command: any ParsableCommand.Type) -> String? {
  guard !text.hasPrefix("-"), text.count > 2 else { return nil }
  let near = command.configuration.subcommands.map { (distance: editDistance($0._commandName, text), name: $0._commandName) }
    .min { $0.distance < $1.distance }
  return near.flatMap { $0.distance <= min(2, text.count / 2) ? "Did you mean '\($0.name)'?" : nil }
}

/// - Throws: `ValidationError` for what would silently become something else: text that is not UTF-8 (another label, another directory), and an option with an
///   empty value, for which the parser would take the argument behind it.
private func arguments() throws -> [String] {
  let arguments: [String]
  do throws(LogError) { arguments = try programArguments() } catch { throw ValidationError(error.message) }
  guard isUTF8(environmentVariable: "CKPROV_STORAGE_DIR") else { throw ValidationError("CKPROV_STORAGE_DIR is not UTF-8.") }
  // The parser's own 'help' takes any.
  if arguments.first == "help", let name = arguments.dropFirst().first, !name.hasPrefix("-"),
    !Command.configuration.subcommands.contains(where: { $0._commandName == name })
  {
    throw ValidationError("'\(name)' is no subcommand.")
  }
  for argument in arguments.prefix(while: { $0 != "--" }) where argument.hasPrefix("--") && argument.hasSuffix("=") {
    throw ValidationError("'\(argument)' has no value; for an empty one write \(argument.dropLast()) ''.")
  }
  return arguments
}

struct StorageOptions: ParsableArguments {
  @Option(
    name: .customLong("storage-dir"),
    help: ArgumentHelp("The Concept Kernel's root directory; default: CKPROV_STORAGE_DIR, or the current directory.", valueName: "dir"),
    completion: .directory)
  var directory: String?

  var storageDir: String { directory ?? environmentVariable("CKPROV_STORAGE_DIR") ?? "." }

  var store: SessionStore { SessionStore(storageDirectory: storageDir) }

  /// Says so where there is no directory in which sessions could be: the name may be mistyped.
  /// - Parameter waiting: for it.
  func noteIfMissing(waiting: Bool = false) {
    let directory = store.directory
    guard (try? directory.isMissing()) == true else { return }
    note("\(escapedForTerminal(directory.path)): there is no such directory, and so no session\(waiting ? "; waiting for the first one" : "")")
  }
}

struct SessionArgument: ParsableArguments {
  @Argument(
    help: "A session id, the beginning of one that no other has, or @ for the newest.", completion: sessionNames, transform: nameOfSession)
  var session: String
}

/// For shells: the sessions of the directory that is named on the line.
let sessionNames = CompletionKind.custom { words, _, _ in namesOfSessions(words) }

/// The same, and the fields by which most actions are looked for.
let sessionNamesOrMatches = CompletionKind.custom { words, _, _ in
  // Others put a space behind them.
  let fields = CompletionShell.requesting == .fish ? ["action_type=", "outcome=", "kernel=", "note=", "via_edge=", "intent.", "evidence."] : []
  return namesOfSessions(words) + fields
}

private func namesOfSessions(_ words: [String]) -> [String] {
  let option = "--storage-dir"
  let joined = words.last { $0.hasPrefix(option + "=") }.map { String($0.dropFirst(option.count + 1)) }
  let named = words.firstIndex(of: option).flatMap { $0 + 1 < words.count ? words[$0 + 1] : nil }
  let store = SessionStore(storageDirectory: joined ?? named ?? environmentVariable("CKPROV_STORAGE_DIR") ?? ".")
  // A shell expands what it is given, and the name of a file may be anything.
  return ((try? store.locations().map(\.name)) ?? []).filter { (try? SessionID($0)) != nil }
}

@Sendable func nameOfSession(_ text: String) throws -> String {
  SessionStore.canBeNamed(text) ? text : try idOrNewest(text)
}

@Sendable func idOrNewest(_ text: String) throws -> String { text == "@" ? text : try sessionID(text).description }

@Sendable func sessionID(_ text: String) throws -> SessionID {
  do throws(LogError) { return try SessionID(text) } catch { throw ValidationError(error.message) }
}

@Sendable func timestamp(_ text: String) throws -> Timestamp {
  guard let timestamp = Timestamp(text) else { throw ValidationError("give it as YYYY-MM-DDTHH:MM:SS.ffffffZ, years 1000 to 9999") }
  return timestamp
}

extension ProvChain.Durability: ExpressibleByArgument {}

/// Runs a command's body; a `LogError` becomes one line on standard error and its exit code.
func reporting(_ body: () throws(LogError) -> Void) throws {
  do throws(LogError) { try body() } catch { throw fail(error) }
}

func fail(_ error: LogError) -> ExitCode {
  note(error.description)
  return error.code.exitCode
}

/// One line on standard error.
func note(_ message: String) {
  writeStandardError("ckprov-log: \(message)")
}

extension LogError.Code {
  /// The codes of sysexits.h.
  var exitCode: ExitCode {
    switch self {
    case .invalidInput, .tooLarge, .corrupt, .ambiguous: ExitCode(65)
    case .notFound: ExitCode(66)
    case .unsupportedVersion: ExitCode(69)
    case .alreadyExists: ExitCode(73)
    case .noSpace, .io, .poisoned: ExitCode(74)
    case .locked: ExitCode(75)
    case .noPermission: ExitCode(77)
    }
  }
}

/// A torn tail is no damage, but it is said.
func noteDoubt(_ id: SessionID, bytes: UInt64) {
  guard bytes > 0 else { return }
  note("session \(id): \(bytes) bytes behind the last whole record are in doubt and are left out; 'record --resume \(id)' goes on")
}
