import ArgumentParser

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo", abstract: "Records a small story, kills its own writer half-way, resumes, projects and verifies it.")
  func run() async throws {}
}
