/// A monotonic clock that starts when it is made.
///
/// It stands still while the machine sleeps, as the tool's own clock does: otherwise a call during
/// which a Mac slept would be longer than the time that passed for the tool.
public struct Stopwatch: Sendable {
  private let start = SuspendingClock.now

  public init() {}

  /// Seconds since the start.
  public var seconds: Double {
    let passed = start.duration(to: .now).components
    return Double(passed.seconds) + Double(passed.attoseconds) * 1e-18
  }
}
