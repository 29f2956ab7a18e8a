import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What helps who types: help, the manual page, completions, advice.
@Suite(.timeLimit(.minutes(10)))
struct HelpTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private func subcommands() async throws -> [String] {
    let page = try await runProgram(try commandPath(), ["man"]).text
    // `.SS "ckprov\-log cat [options]"`
    let names = page.split(separator: "\n").filter { $0.hasPrefix(".SS ") }.map { String($0.split(whereSeparator: { " \"".contains($0) })[2]) }
    #expect(names.count >= 20)
    return names
  }

  @Test func everySubcommandHasAnExample() async throws {
    for name in try await subcommands() {
      let help = try await runProgram(try commandPath(), [name, "--help"])
      #expect(help.status == 0 && help.text.contains("USAGE: ckprov-log \(name)"), "\(name)")
      let example = help.text.split(separator: "\n").contains { $0.contains("ckprov-log \(name)") && !$0.hasPrefix("USAGE") }
      #expect(example || help.text.contains("Example"), "\(name)")
    }
  }

  @Test(arguments: ["validate", "parse", "build", "types"])
  func everySubcommandOfURNHasAnExample(_ name: String) async throws {
    #expect(try await runProgram(try commandPath(), ["urn", name, "--help"]).text.contains("Example: ckprov-log urn \(name)"))
  }

  @Test func versionNamesTheFormat() async throws {
    let version = try await runProgram(try commandPath(), ["--version"])
    #expect(version.status == 0 && version.text == "ckprov-log 1.0.0, log format: reads 1, writes 1\n")
  }

  /// They were said to be printed.
  @Test(arguments: ["--help", "help cat", "cat --help", "--version", "--generate-completion-script bash", "man"])
  func whatCannotBePrintedIsAnError(_ arguments: String) async throws {
    let printed = try await bench.shell("$C \(arguments)")
    #expect(printed.status == 0 && printed.errors == "" && printed.text.count > 40 && printed.text.hasSuffix("\n"))
    let full = try await bench.shell("$C \(arguments) > /dev/full")
    #expect(full.status == 74 && full.errors.hasPrefix("ckprov-log: standard output: cannot write to standard output: No space"), "\(full.errors)")
  }

  @Test func mistypedSubcommands() async throws {
    for (text, advice) in [("shwo", "show"), ("projetc", "project"), ("catt", "cat"), ("lst", "list")] {
      let result = try await runProgram(try commandPath(), [text])
      #expect(result.status == 64 && result.errors.contains(" Did you mean '\(advice)'? '"), "\(result.errors)")
    }
    let help = try await runProgram(try commandPath(), ["help", "lst"])
    #expect(help.status == 64 && help.errors == "ckprov-log: 'lst' is no subcommand. Did you mean 'list'? 'ckprov-log --help' says more.\n")
    let inner = try await runProgram(try commandPath(), ["urn", "valdate", "x"])
    #expect(inner.status == 64 && inner.errors.contains(" Did you mean 'validate'? '"), "\(inner.errors)")
    for text in ["something", "--lst", "ps"] {
      let result = try await runProgram(try commandPath(), [text])
      #expect(result.status == 64 && !result.errors.contains("Did you mean"), "\(result.errors)")
    }
  }

  /// A mistyped option, not what stands behind it; a value that is wrong, not that there is none.
  @Test func wrongOptionsAndValues() async throws {
    for (arguments, message) in [
      ("cat @ --lins 3", "Unknown option '--lins'. Did you mean '--lines'? 'ckprov-log cat --help' says more."),
      ("cat @ 3", "'3' is no match; give FIELD=VALUE, such as outcome=failed or intent.target=prod. 'ckprov-log cat --help' says more."),
      ("cat -n -1 @", "--lines must not be negative."), ("cat @ --lines -1", "--lines must not be negative."),
      ("retain --hours -1", "--hours must be a number that is not negative."), ("retain --keep -1", "--keep must not be negative."),
      ("retain --max-bytes -1", "The value '-1' is invalid for '--max-bytes <size>'"), ("compact --level -1", "--level must be from 1 to 12."),
    ] {
      let result = try await bench.run(arguments.split(separator: " ").map(String.init), input: [])
      #expect(result.status == 64 && result.text == "" && result.errors.hasPrefix("ckprov-log: \(message)"), "\(result.errors)")
    }
  }

  @Test func manualPageHasAllOptions() async throws {
    let page = try await runProgram(try commandPath(), ["man"]).text
    #expect(page.hasPrefix(".TH CKPROV-LOG 1 ") && page.contains("\n.SH ENVIRONMENT\n"))
    #expect(page.contains("\n.SS \"ckprov\\-log urn validate <urn>\"\n"))
    for name in try await subcommands() {
      let help = try await runProgram(try commandPath(), [name, "--help"]).text
      for word in help.split(whereSeparator: { " ,\n".contains($0) }) where word.hasPrefix("--") && word.count > 2 {
        guard word.dropFirst(2).allSatisfy({ $0.isLetter || $0 == "-" }), !["--help", "--version"].contains(word) else { continue }
        #expect(page.contains(word.replacing("-", with: "\\-")), "\(name) \(word)")
      }
    }
    guard try await runProgram("sh", ["-c", "command -v groff"]).status == 0 else { return }
    let file = try bench.file("page", page)
    let shown = try await runProgram("groff", ["-man", "-ww", "-Tutf8", file])
    #expect(shown.status == 0 && shown.errors == "" && shown.text.contains("ckprov"), "\(shown.errors)")
  }

  /// Where the shell is installed.
  @Test(arguments: [
    ("bash", "source $0; complete -p ckprov-log"), ("zsh", "autoload -Uz compinit; compinit -u -D; source $0; whence -w _ckprov-log"),
    ("fish", "source $argv[1]; complete -C 'ckprov-log sho'"),
  ])
  func completionsLoad(_ shell: String, _ script: String) async throws {
    guard try await runProgram("sh", ["-c", "command -v \(shell)"]).status == 0 else { return }
    let generated = try await runProgram(try commandPath(), ["--generate-completion-script", shell])
    #expect(generated.status == 0)
    let file = try bench.file("completion", generated.text)
    let result = try await runProgram(shell, ["-c", script, file])
    #expect(result.status == 0 && result.errors == "" && result.text.contains(shell == "fish" ? "show" : "ckprov"), "\(result.text)\(result.errors)")
  }

  /// The parser would take the argument behind it for its value.
  @Test func anOptionWithAnEmptyValueIsRefused() async throws {
    for arguments in [newSession("a") + ["--kernel-action=", "--no-close"], ["list", "--label=", "--json"]] {
      let result = try await bench.run(arguments, input: [])
      #expect(result.status == 64 && result.errors.contains("=' has no value; for an empty one write --") && result.text == "", "\(result.errors)")
    }
    #expect(try await bench.run(["list", "--label", ""], input: []).status == 0)
    #expect(try !bench.exists(bench.logPath("a")))
  }

  /// Where /proc is not readable Swift does not know a program's arguments.
  @Test func withoutProc() async throws {
    let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\""
    guard try await runProgram("unshare", ["-m", "true"]).status == 0 else {
      print("SKIPPED: no mount namespaces here, so a system without /proc is not tested")
      return
    }
    let result = try await runProgram("unshare", ["-m", "sh", "-c", script, try commandPath(), "cat", "nosuch", "--storage-dir", bench.storage.path])
    #expect(result.status == 66 && result.errors.contains("nosuch"), "\(result.status) \(result.text) \(result.errors)")
  }

  /// Shells expand what they are offered.
  @Test func completionOffersNoNameThatIsNoSession() async throws {
    try #require(await bench.record("abc", [action("1")]).status == 0)
    for name in ["$(touch pwned)", "`touch pwned`", "a b"] { try DiskFileSystem().write(Array("{}".utf8), to: "\(bench.sessions)/\(name).json") }
    let generated = try await runProgram(try commandPath(), ["--generate-completion-script", "bash"])
    let file = try bench.file("completion", generated.text)
    for option in ["--storage-dir \(bench.storage.path)", "--storage-dir=\(bench.storage.path)"] {
      let script = """
        source \(file); cd /; unset CKPROV_STORAGE_DIR; PATH=$(dirname "$C"):$PATH
        COMP_WORDS=(ckprov-log show \(option) ''); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
        _ckprov-log ckprov-log '' "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[@]}"
        """
      let result = try await bench.shell(script)
      #expect(result.text.contains("abc") && !result.text.contains("touch"), "\(option): \(result.text) \(result.errors)")
    }
  }

  @Test func completionKnowsTheSessions() async throws {
    for id in ["abc", "xyz"] { try #require(await bench.record(id, [action("1")]).status == 0) }
    let generated = try await runProgram(try commandPath(), ["--generate-completion-script", "bash"])
    let file = try bench.file("completion", generated.text)
    let script = """
      source \(file); cd \(bench.storage.path); PATH=$(dirname "$C"):$PATH
      COMP_WORDS=(ckprov-log show ''); COMP_CWORD=2; COMP_LINE='ckprov-log show '; COMP_POINT=16; _ckprov-log ckprov-log '' show
      echo "${COMPREPLY[@]}"
      """
    let result = try await bench.shell(script)
    #expect(result.text.contains("abc") && result.text.contains("xyz"), "\(result.text) \(result.errors)")
  }
}
