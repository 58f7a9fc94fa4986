import Foundation

/// The protocol's pipes, reserved before anything else runs in the process.
///
/// From then on, a library's output to file descriptor 1 goes to the log, and its input from 0
/// is empty. A thread reads the calls: at their end it ends the process, even if it computes.
final class Pipes: Sendable {
  private let output: Int32
  private let waiting = Waiting()
  /// The lines of stdin without their newlines, in order.
  let lines: AsyncStream<Line>

  /// A line of calls.
  enum Line: Sendable, Equatable {
    case whole([UInt8])
    /// It was longer than allowed, and was not kept.
    case tooLong
  }

  /// Takes over stdin and stdout. Once per process.
  init() {
    signal(SIGPIPE, SIG_IGN)  // a closed stdout is then an error of write
    let input = Self.moved(0)
    output = Self.moved(1)
    if fcntl(2, F_GETFD) < 0 { Self.openNull(as: 2) }  // else a file opened later would receive the log
    dup2(2, 1)
    Self.openNull(as: 0)
    bufferPrintedLinesOnly()
    let (stream, feed) = AsyncStream<Line>.makeStream()
    lines = stream
    Thread.detachNewThread { [waiting] in
      Self.read(input, into: feed, waiting: waiting)
    }
  }

  /// Reports that a line of ``lines`` has been handled.
  func finished(_ line: Line) { waiting.remove(line.size) }

  /// Writes a line; if its reader is gone, the process ends.
  func write(_ line: [UInt8]) {
    (line + [UInt8(ascii: "\n")]).withUnsafeBytes { all in
      var rest = all[...]
      while !rest.isEmpty {
        let written = systemWrite(output, UnsafeRawBufferPointer(rebasing: rest))
        if written > 0 {
          rest = rest.dropFirst(written)
        } else if errno == EAGAIN {
          _ = systemPoll(output, for: POLLOUT, milliseconds: -1)
        } else if errno != EINTR {
          _exit(1)
        }
      }
    }
  }

  /// Another descriptor for the same file, which programs started by a library do not inherit.
  private static func moved(_ descriptor: Int32) -> Int32 {
    fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
  }

  private static func openNull(as descriptor: Int32) {
    let null = open("/dev/null", O_RDWR)
    guard null >= 0, null != descriptor else { return }
    dup2(null, descriptor)
    close(null)
  }

  private static func read(
    _ input: Int32, into feed: AsyncStream<Line>.Continuation, waiting: Waiting
  ) {
    var splitter = LineSplitter()
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      while !waiting.hasRoom {
        // No more is read now, but the end of the input must still be noticed.
        if systemPoll(input, for: POLLHUP, milliseconds: 0) & POLLHUP != 0 { _exit(0) }
        usleep(50_000)
      }
      let count = chunk.withUnsafeMutableBytes { systemRead(input, $0) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && errno == EAGAIN {
        _ = systemPoll(input, for: POLLIN, milliseconds: -1)
        continue
      }
      if count <= 0 { _exit(0) }
      for line in splitter.split(chunk[..<count]) {
        waiting.add(line.size)
        feed.yield(line)
      }
    }
  }
}

extension Pipes.Line {
  /// Approximate bytes of memory.
  fileprivate var size: Int {
    switch self {
    case .whole(let bytes): bytes.count + 64
    case .tooLong: 64
    }
  }
}

/// Cuts the data of a pipe into lines of a bounded length.
struct LineSplitter {
  /// Bytes of a line, with its newline.
  let longest: Int
  private var start: [UInt8] = []
  private var isTooLong = false

  init(longest: Int = Limits.line) { self.longest = longest }

  mutating func split(_ chunk: ArraySlice<UInt8>) -> [Pipes.Line] {
    var lines: [Pipes.Line] = []
    var rest = chunk
    while let length = rest.withUnsafeBytes({ systemFind(UInt8(ascii: "\n"), in: $0) }) {
      let end = rest.startIndex + length
      keep(rest[..<end])
      lines.append(isTooLong ? .tooLong : .whole(start))
      (start, isTooLong) = ([], false)
      rest = rest[(end + 1)...]
    }
    keep(rest)
    return lines
  }

  private mutating func keep(_ piece: ArraySlice<UInt8>) {
    isTooLong = isTooLong || start.count + piece.count >= longest
    if isTooLong { start = [] } else { start += piece }
  }
}

/// The bytes of waiting calls. The tool sends one call at a time, so there is always space.
private final class Waiting: @unchecked Sendable {
  private let lock = NSLock()
  private var bytes = 0

  /// Whether more may be read. One line of the longest kind always fits.
  var hasRoom: Bool { lock.withLock { bytes < Limits.line } }
  func add(_ count: Int) { lock.withLock { bytes += count } }
  func remove(_ count: Int) { lock.withLock { bytes -= count } }
}
