/// The limits of docs/reference/protocol.md: a value outside ends the cell of a run.
enum Limits {
  /// Bytes of a line, with its newline.
  static let line = 8 << 20
  /// Objects and lists inside each other.
  static let depth = 64
  /// Characters of a name, a device, a key.
  static let name = 300
  /// Characters of a message, a remark, a value of `versions` or `details`.
  static let message = 2000
  static let traceback = 16_384
  /// Entries of an object, or of a list that holds no segments.
  static let entries = 100
  /// Characters of a transcript.
  static let text = 1 << 20
  /// Bytes of a call's id. The tool's ids are integers.
  static let id = 1024
  /// Seconds by which Whisper's last window, which is padded, can be longer than the audio.
  static let lastWindowS = 30.0

  /// The most characters, tokens, segments or fallbacks for this many seconds of audio.
  static func said(in audioS: Double) -> Int { Int(1000 * (audioS + 60)) }
}

extension String {
  /// At most this many characters, counted as in the tool: by Unicode scalar.
  func cut(to most: Int) -> String {
    unicodeScalars.count <= most ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(most)))
  }
}

extension [String: String] {
  /// Facts for the record: few and short.
  func asFacts() -> [String: String] {
    var facts: [String: String] = [:]
    for (name, value) in sorted(by: { $0.key < $1.key }).prefix(Limits.entries) {
      facts[name.cut(to: Limits.name)] = value.cut(to: Limits.message)
    }
    return facts
  }
}

extension Transcript {
  /// The same within the limits of the protocol.
  ///
  /// Times of segments are clamped, because engines compute them from tokens that need not be timestamps.
  /// Remarks are cut. An impossible figure that is only informative is left out. Values that would change
  /// the result are not corrected: they are an error of the engine, and cost one recording instead of the
  /// whole cell.
  ///
  /// - Parameters:
  ///   - audioS: seconds of audio that were transcribed.
  ///   - wallS: seconds that passed in the call.
  func bounded(audioS: Double, wallS: Double) throws -> Transcript {
    guard seconds.isFinite, seconds > 0 else {
      throw EngineError.backend("the engine's clock shows \(seconds) s: it must be above 0")
    }
    guard seconds <= wallS else {
      throw EngineError.backend("the engine's clock shows \(seconds) s, but only \(wallS) s passed")
    }
    let most = Limits.said(in: audioS)
    let spoken = segments.reduce(0) { $0 + $1.text.unicodeScalars.count }
    try Self.check("text", text.unicodeScalars.count, atMost: Swift.min(most, Limits.text))
    try Self.check("segments", segments.count, atMost: most)
    try Self.check("text of the segments", spoken, atMost: most)
    try Self.check("tokens", tokens ?? 0, atMost: most)
    try Self.check("fallbacks", fallbacks ?? 0, atMost: most)
    var answer = self
    answer.segments = try segments.enumerated().map { number, segment in
      guard segment.startS.isFinite, segment.endS.isFinite else {
        throw EngineError.backend("segment \(number) is from \(segment.startS) to \(segment.endS) s")
      }
      func within(_ atS: Double) -> Double { Swift.min(Swift.max(atS, 0), audioS + Limits.lastWindowS) }
      return Segment(
        startS: within(segment.startS), endS: within(segment.endS), text: segment.text)
    }
    answer.language = language?.cut(to: Limits.name)
    answer.observed = observed.prefix(Limits.entries).map { $0.cut(to: Limits.name) }
    answer.remarks = remarks.prefix(Limits.entries).map { $0.cut(to: Limits.message) }
    answer.effective.language = effective.language?.cut(to: Limits.name)
    answer.effective.task = effective.task?.cut(to: Limits.name)
    answer.effective.window = effective.window?.cut(to: Limits.name)
    answer.effective.temperatures = effective.temperatures.flatMap { ladder in
      ladder.count <= Limits.entries && ladder.allSatisfy(\.isFinite) ? ladder : nil
    }
    answer.firstSegmentS = firstSegmentS.flatMap { (0...seconds).contains($0) ? $0 : nil }
    answer.stagesS = [:]
    for (stage, tookS) in stagesS.sorted(by: { $0.key < $1.key }).prefix(Limits.entries)
    where (0...wallS).contains(tookS) {
      answer.stagesS[stage.cut(to: Limits.name)] = tookS
    }
    return answer
  }

  private static func check(_ what: String, _ count: Int, atMost most: Int) throws {
    guard (0...most).contains(count) else {
      throw EngineError.backend("\(what): \(count), not within 0 to \(most) for this much audio")
    }
  }
}
