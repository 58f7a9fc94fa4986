import Foundation

/// A monotonic clock that starts when it is created.
///
/// It stops while the machine sleeps, as the tool's own clock does: otherwise a call during
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

/// The time of an event's first occurrence, by a ``Stopwatch``; can be recorded from any thread.
public final class FirstMoment: @unchecked Sendable {
  private let clock: Stopwatch
  private let lock = NSLock()
  private var noted: Double?

  public init(_ clock: Stopwatch) {
    self.clock = clock
  }

  /// Seconds from the clock's start; `nil` while it has not happened.
  public var seconds: Double? { lock.withLock { noted } }

  public func note() {
    lock.withLock { noted = noted ?? clock.seconds }
  }
}
