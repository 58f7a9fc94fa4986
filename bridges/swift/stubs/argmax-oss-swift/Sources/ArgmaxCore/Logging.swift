// Declarations only, so that a bridge type-checks where there is no Core ML.

/// The logger of all Argmax frameworks.
public final class Logging: Sendable {
  @frozen
  public enum LogLevel: Int, Comparable, Sendable {
    case debug = 1
    case info = 2
    case error = 3
    case none = 4

    public static func < (lhs: LogLevel, rhs: LogLevel) -> Bool { lhs.rawValue < rhs.rawValue }
  }
}
