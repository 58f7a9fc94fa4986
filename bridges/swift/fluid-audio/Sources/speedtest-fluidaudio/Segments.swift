import FluidAudio
import Foundation
import SpeedtestProtocol

/// Silence between words, in seconds, that ends a segment without a full stop.
private let longPause = 1.0

/// Seconds after which a segment ends at the next word; at twice that it ends inside a word too.
private let longest = 30.0

/// Sentences, made of the times of tokens.
///
/// The texts together are the transcript, as FluidAudio orders it; a word begins at a blank or at
/// SentencePiece's mark. Times never decrease from one segment to the next, and one that is not finite
/// is replaced by the end of what came before.
///
/// - Parameter duration: of the audio, in seconds; all times are within it.
func segments(of tokens: [TokenTiming], duration: Double) -> [Segment] {
  var finished: [Segment] = []
  var current: Segment?
  for token in tokens {
    let text = token.token.replacingOccurrences(of: "\u{2581}", with: " ")
    let floor = finished.last?.endS ?? 0
    let start = within(floor...duration, token.startTime, else: current?.endS ?? floor)
    let end = within(start...duration, token.endTime, else: start)
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
