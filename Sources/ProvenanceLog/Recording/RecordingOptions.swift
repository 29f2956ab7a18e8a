package import LogStorage

extension ProvChain {
  /// What an acknowledged action survives (Format/README.md has the table).
  public enum Durability: String, Sendable, CaseIterable {
    /// The death of the process: the action is in the kernel when `recordAction` returns. A background sync follows within `syncInterval`.
    case process
    /// A power cut: the action is on stable storage when `recordAction` returns. Callers that arrive together share one sync.
    case power
  }

  /// When the Session JSON is written beside the log at close.
  public enum View: Sendable, Equatable {
    /// Up to so many bytes of raw log; a longer session says in one line how to project it.
    case upTo(rawBytes: UInt64)
    case always
    case never

    /// 64 MiB.
    public static let automatic = View.upTo(rawBytes: 64 << 20)
  }

  /// How a session is recorded. The closures may be called on any thread; all but `liveLine` while the session is locked, so they must not call back into it.
  public struct Options: Sendable {
    public var durability: Durability = .process
    /// With `process` durability: how long after a record it is on stable storage, at the latest; sooner where 8 MiB were written meanwhile.
    public var syncInterval: Duration = .seconds(1)
    public var view: View = .automatic
    /// Gets one line for every recorded action, as the reference prints it, control characters escaped; called on the recording thread.
    public var liveLine: (@Sendable (String) -> Void)?
    /// Gets lines about what went wrong without costing a record: a view that could not be written, bytes in doubt after a crash.
    public var notice: @Sendable (String) -> Void = Options.standardError
    /// Read once for each action, at start and at close.
    public var clock: @Sendable () -> Timestamp = { currentTime() }
    /// Draws the 32 bits of a session id; drawn again while the id is taken.
    public var idSource: @Sendable () -> UInt32 = { UInt32.random(in: .min ... .max) }
    /// Bytes after which the log goes on in a new file, while the full one is compressed: the record with which a file has so many is its last one.
    public var segmentSizeMax: UInt64 = 64 << 20
    /// Whoever opens a session looks for old ones, and for what unfinished work has left, unless that was done in the directory within this time, by this program
    /// or another one. Zero: each time.
    public var retentionInterval: Duration = .seconds(60)

    /// At close a file with as many bytes is sealed, for a smaller one it is not worth the system calls; `nil` leaves full files as they are, too.
    package var sealingSizeMin: UInt64? = 32 << 10
    /// With `process` durability: when so much was written since the last sync, the next one does not wait for its time.
    package var unsyncedSizeMax: UInt64 = 8 << 20
    package var sleep: @Sendable (Duration) -> Void = { sleepThread($0) }
    /// Runs the body once, on any thread, when so much time has passed.
    package var timer: @Sendable (Duration, @escaping @Sendable () -> Void) -> Void = { callLater(after: min(max($0, .zero), .seconds(1 << 32)), $1) }
    package var fileSystem: any FileSystem = DiskFileSystem()
    package var saltSource: @Sendable () -> UInt32 = { UInt32.random(in: .min ... .max) }

    /// Where each record is synced, its sync must not have to write the file's size and extents, too.
    var zeroesAhead: Bool { durability == .power }

    public init() {}

    /// Prints a line to standard error; for `liveLine` and `notice`.
    public static let standardError: @Sendable (String) -> Void = { line in writeStandardError(line) }
  }
}
