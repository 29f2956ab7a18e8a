// swift-tools-version: 6.2
import PackageDescription

/// Warnings are errors where the code is tested, and only there: a new compiler that warns of more must not break anyone's build.
let warningsAreErrors = Context.environment["CKPROV_STRICT"] == "1"

let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ] + (warningsAreErrors ? [.treatAllWarnings(as: .error)] : [])

let strictC: [CSetting] =
  [.enableWarning("all"), .enableWarning("extra")] + (warningsAreErrors ? [.treatAllWarnings(as: .error)] : [])

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")

let package = Package(
  name: "ckprov-log",
  products: [
    .library(name: "ProvenanceLog", targets: ["ProvenanceLog"]),
    .library(name: "ProvenanceExport", targets: ["ProvenanceExport"]),
    .executable(name: "ckprov-log", targets: ["ckprov-log"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
  ],
  targets: [
    // Bottom to top: each room knows only those above it in this list.
    .target(name: "CChecksum", cSettings: strictC),
    .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .target(name: "CText", cSettings: strictC),
    .target(name: "CLinux", cSettings: strictC),
    .target(name: "ProvenanceModel", swiftSettings: strict),
    .target(name: "LogFormat", dependencies: ["ProvenanceModel", "CChecksum", "CText", "CLZ4"], swiftSettings: strict),
    .target(name: "LogStorage", dependencies: ["LogFormat", "ProvenanceModel", "CLinux", systemPackage], swiftSettings: strict),
    .target(name: "ProvenanceLog", dependencies: ["LogStorage", "LogFormat", "ProvenanceModel"], swiftSettings: strict),
    .target(
      name: "ProvenanceExport", dependencies: ["ProvenanceLog", "LogFormat", "ProvenanceModel"], resources: [.embedInCode("Page/report.html")],
      swiftSettings: strict),
    .executableTarget(
      name: "ckprov-log", dependencies: ["ProvenanceExport", "ProvenanceLog", argumentParser, subprocess, systemPackage], swiftSettings: strict),

    .target(
      name: "TestSupport", dependencies: ["ProvenanceLog", "LogStorage", subprocess, systemPackage], path: "Tests/TestSupport",
      swiftSettings: strict),
    .testTarget(
      name: "DifferentialTests", dependencies: ["ProvenanceLog", "LogStorage", "LogFormat", "TestSupport", "ckprov-log"],
      exclude: ["reference.py", "Fixtures"], swiftSettings: strict),
    .testTarget(
      name: "ProvenanceModelTests", dependencies: ["ProvenanceModel", "TestSupport"], exclude: ["reference_text.py"], swiftSettings: strict),
    .testTarget(
      name: "LogFormatTests", dependencies: ["LogFormat", "LogStorage", "ProvenanceLog", "CChecksum", "CText", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "LogStorageTests", dependencies: ["LogStorage", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "ProvenanceLogTests", dependencies: ["ProvenanceLog", "LogStorage", "LogFormat", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "CommandTests", dependencies: ["ProvenanceLog", "LogStorage", "LogFormat", "TestSupport", "ckprov-log"], swiftSettings: strict),
    .testTarget(
      name: "ExportTests", dependencies: ["ProvenanceExport", "ProvenanceLog", "LogStorage", "LogFormat", "TestSupport", "ckprov-log"],
      exclude: ["exports.py", "report.py"], swiftSettings: strict),
    .testTarget(name: "DamageTests", dependencies: ["ProvenanceLog", "LogStorage", "LogFormat", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "CrashTests", dependencies: ["ProvenanceLog", "LogStorage", "LogFormat", "TestSupport", "ckprov-log"], swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
