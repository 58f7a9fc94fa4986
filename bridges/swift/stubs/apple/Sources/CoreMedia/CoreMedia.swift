// Declarations only, so that a bridge type-checks where there is no Core Media. Times hold their values, so
// that mappings from them can be tested.

public typealias CMTimeValue = Int64
public typealias CMTimeScale = Int32

/// A rational number of seconds: `value` / `timescale`.
public struct CMTime: Sendable, Hashable {
  public var value: CMTimeValue
  public var timescale: CMTimeScale

  public init(value: CMTimeValue, timescale: CMTimeScale) {
    self.value = value
    self.timescale = timescale
  }

  public static let invalid = CMTime(value: 0, timescale: 0)

  /// In seconds; not a number for a time that is not valid.
  public var seconds: Double { timescale == 0 ? .nan : Double(value) / Double(timescale) }
}

/// From `start`, for `duration`.
public struct CMTimeRange: Sendable, Hashable {
  public var start: CMTime
  public var duration: CMTime

  public init(start: CMTime, duration: CMTime) {
    self.start = start
    self.duration = duration
  }

  public init(start: CMTime, end: CMTime) {
    self.start = start
    self.duration = CMTime(
      value: end.value * CMTimeValue(start.timescale) - start.value * CMTimeValue(end.timescale),
      timescale: start.timescale * end.timescale)
  }

  public var end: CMTime {
    CMTime(
      value: start.value * CMTimeValue(duration.timescale) + duration.value * CMTimeValue(start.timescale),
      timescale: start.timescale * duration.timescale)
  }
}
