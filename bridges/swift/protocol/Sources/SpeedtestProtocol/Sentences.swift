/// Silence between words, in seconds, that ends a segment without a full stop.
private let longPause = 1.0

/// Seconds after which a segment ends at the next word; at twice that it ends inside a word too.
private let longest = 30.0

/// Sentences, for engines that report the times of tokens only.
///
/// The texts together are the tokens' texts, in order. A word begins at a blank, or at
/// SentencePiece's mark, which becomes one. No segment begins before the last one has ended; a time
/// that is not finite is replaced by the end of what came before.
///
/// - Parameters:
///   - tokens: each with its text and its times in seconds.
///   - durationS: seconds of audio; all times are within it.
public func sentences(of tokens: [Segment], durationS: Double) -> [Segment] {
  var finished: [Segment] = []
  var current: Segment?
  for token in tokens {
    let text = token.text.first == "\u{2581}" ? " \(token.text.dropFirst())" : token.text
    let floor = finished.last?.endS ?? 0
    let start = within(floor...durationS, token.startS, else: current?.endS ?? floor)
    let end = within(start...durationS, token.endS, else: start)
    guard var segment = current else {
      current = Segment(startS: start, endS: end, text: text)
      continue
    }
    if ends(segment, before: text, start: start, end: end) {
      finished.append(segment)
      current = Segment(startS: max(start, segment.endS), endS: max(end, segment.endS), text: text)
    } else {
      (segment.endS, segment.text) = (max(segment.endS, end), segment.text + text)
      current = segment
    }
  }
  return (finished + [current].compactMap { $0 }).filter { !$0.text.allSatisfy(\.isWhitespace) }
}

private func ends(_ segment: Segment, before text: String, start: Double, end: Double) -> Bool {
  let length = end - segment.startS
  guard text.first?.isWhitespace == true else { return length > 2 * longest }
  let last = segment.text.last { !"\"'”’»)".contains($0) }
  return last.map { ".?!…".contains($0) } == true || start - segment.endS >= longPause || length > longest
}

private func within(_ range: ClosedRange<Double>, _ time: Double, else other: Double) -> Double {
  min(max(time.isFinite ? time : other, range.lowerBound), range.upperBound)
}
