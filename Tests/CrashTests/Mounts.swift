import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Whether file systems and loop devices can be made and mounted here. Says so if not.
func canMount(for test: String) async throws -> Bool {
  let script = """
    mount -t tmpfs -o size=8m none "$1"; trap 'umount -q "$1/m"; umount "$1"' EXIT
    truncate -s 4m "$1/image"; mkfs.ext4 -q -F "$1/image"; mkdir "$1/m"; mount -o loop "$1/image" "$1/m"
    """
  let directory = try TemporaryDirectory()
  defer { withExtendedLifetime(directory) {} }
  let result = try await runProgram("bash", ["-euc", script, "bash", directory.path])
  if result.status != 0 {
    print("SKIPPED: no \(test), for it needs root, mkfs.ext4 and loop devices: \(result.errors.split(separator: "\n").last ?? "")")
  }
  return result.status == 0
}

/// A file system in memory that is unmounted in the end, whatever `body` did.
func withMemory<Result>(_ size: String, _ body: (_ path: String) async throws -> Result) async throws -> Result {
  let directory = try TemporaryDirectory()
  defer { withExtendedLifetime(directory) {} }
  try await shell(#"mount -t tmpfs -o size="$2" ckprov-test "$1""#, directory.path, size)
  return try await finally {
    try await body(directory.path)
  } then: {
    try await unmount(directory.path)
  }
}

/// An ext4 image on a loop device, mounted at `path`. Its journal is committed by syncs alone, not by a timer.
func withImage<Result>(_ image: String, options: String = "", _ body: (_ path: String) async throws -> Result) async throws -> Result {
  let directory = try TemporaryDirectory()
  defer { withExtendedLifetime(directory) {} }
  let device = try await shell(#"losetup --find --show "$1""#, image)
  return try await finally {
    // A loop device reports a write that it could do only in part as done; so let each be of one block, and be done or not.
    try await shell(#"echo 4 > /sys/block/"${1#/dev/}"/queue/max_sectors_kb"#, device)
    try await shell(#"mount -o commit=300"$3" "$1" "$2""#, device, directory.path, options)
    return try await finally {
      try await body(directory.path)
    } then: {
      try await unmount(directory.path)
    }
  } then: {
    try await shell(#"losetup --detach "$1""#, device)
  }
}

/// What holds it may need a moment to let go.
private func unmount(_ path: String) async throws {
  try await shell(#"for i in {1..50}; do umount "$1" 2> /dev/null && exit; sleep 0.1; done; umount --lazy "$1""#, path)
}

private func finally<Result>(_ body: () async throws -> Result, then end: () async throws -> Void) async throws -> Result {
  let result: Result
  do {
    result = try await body()
  } catch {
    try? await end()
    throw error
  }
  try await end()
  return result
}
