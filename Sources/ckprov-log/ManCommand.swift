import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ManCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "man", abstract: "Prints the manual page, made of what --help says.",
    discussion: """
      Examples:
        ckprov-log man | man -l -
        ckprov-log man > /usr/local/share/man/man1/ckprov-log.1
      """)

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      let help = try Array(Command._dumpHelp().utf8).withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
      try ManualPage(help["command"]).print(to: &out)
      try out.flush()
    }
  }
}

/// Written in the macros of man(7).
private struct ManualPage {
  private let command: JSONValue

  init(_ command: JSONValue) {
    self.command = command
  }

  func print(to out: inout Output) throws(LogError) {
    let name = command["commandName"].text
    try out.line(".TH \(name.uppercased()) 1 \"\" \"\(name) \(productVersion)\" \"User Commands\"")
    try out.line(".SH NAME\n\(escaped(name)) \\- \(escaped(command["abstract"].text))")
    try out.line(".SH SYNOPSIS\n.B \(escaped(name))\n.I subcommand\n[\\fIoptions\\fR]")
    try out.line(".SH DESCRIPTION")
    try print(discussion: command["discussion"].text, to: &out)
    try out.line(".SH SUBCOMMANDS")
    for subcommand in command["subcommands"].elements { try print(subcommand, [name], to: &out) }
    try out.line(".SH ENVIRONMENT")
    for (variable, meaning) in [
      ("CKPROV_STORAGE_DIR", "The storage directory, unless --storage-dir names another one."),
      ("CKPROV_PAGER, PAGER", "The pager of show and diff; empty or cat for none."),
      ("NO_COLOR", "If it is set and not empty, nothing is printed in colour."),
      ("COLUMNS", "The width of the terminal, in the place of what it says itself."),
    ] {
      try out.line(".TP\n.B \(variable)\n\(escaped(meaning))")
    }
  }

  private func print(_ command: JSONValue, _ above: [String], to out: inout Output) throws(LogError) {
    let name = above + [command["commandName"].text]
    guard command["shouldDisplay"] != .bool(false), name.last != "help" else { return }
    let arguments = command["arguments"].elements.filter { argument in
      let isEverywhere = argument["kind"].text == "flag" && ["help", "version"].contains(argument["preferredName"]["name"].text)
      return argument["shouldDisplay"] == .bool(true) && !isEverywhere
    }
    var usage = name.joined(separator: " ")
    if arguments.contains(where: { $0["kind"].text != "positional" }) { usage += " [options]" }
    for argument in arguments where argument["kind"].text == "positional" {
      let value = "<\(argument["valueName"].text)>\(argument["isRepeating"] == .bool(true) ? "..." : "")"
      usage += argument["isOptional"] == .bool(true) ? " [\(value)]" : " \(value)"
    }
    try out.line(".SS \"\(escaped(usage))\"")
    try out.line(escaped(command["abstract"].text))
    for argument in arguments { try print(argument: argument, to: &out) }
    if !command["discussion"].text.isEmpty {
      try out.line(".PP")
      try print(discussion: command["discussion"].text, to: &out)
    }
    for subcommand in command["subcommands"].elements { try print(subcommand, name, to: &out) }
  }

  private func print(argument: JSONValue, to out: inout Output) throws(LogError) {
    let value = argument["valueName"].text
    var title = "<\(value)>"
    if argument["kind"].text != "positional" {
      title = argument["names"].elements.map { ($0["kind"].text == "short" ? "-" : "--") + $0["name"].text }.joined(separator: ", ")
      if argument["kind"].text == "option" { title += " <\(value)>" }
    }
    var meaning = argument["abstract"].text
    let values = argument["allValues"].elements.map(\.text)
    if !values.isEmpty { meaning += " Values: \(values.joined(separator: ", "))." }
    if case .string(let text) = argument["defaultValue"] { meaning += " Default: \(text == "." ? "the current directory" : text)." }
    try out.line(".TP\n.B \(escaped(title))\n\(escaped(meaning.isEmpty ? value : meaning))")
  }

  /// Paragraphs; lines that are indented stand as they are.
  private func print(discussion: String, to out: inout Output) throws(LogError) {
    var (isAsItIs, isBehindLine) = (false, false)
    for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("  ") != isAsItIs, !line.isEmpty {
        isAsItIs.toggle()
        try out.line(isAsItIs ? ".nf" : ".fi")
      }
      if isBehindLine, !isAsItIs, !line.isEmpty { try out.line(".br") }
      try out.line(line.isEmpty ? ".PP" : escaped(String(line)))
      isBehindLine = !line.isEmpty && !isAsItIs
    }
    if isAsItIs { try out.line(".fi") }
  }

  private func escaped(_ text: String) -> String {
    let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("\"", with: "\\(dq")
    return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
  }
}

extension JSONValue {
  fileprivate subscript(key: JSONString) -> JSONValue {
    if case .object(let object) = self { object[key] ?? .null } else { .null }
  }

  fileprivate var elements: [JSONValue] {
    if case .array(let elements) = self { elements } else { [] }
  }

  fileprivate var text: String {
    if case .string(let text) = self { text.description } else { "" }
  }
}
