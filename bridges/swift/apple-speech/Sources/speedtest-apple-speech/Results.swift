import CoreMedia
import Foundation
import Speech
import SpeedtestProtocol

/// Samples per second, the only rate of the protocol.
let sampleRate = 16_000.0

/// Remarks on work outside the worker's own process.
let outOfProcess =
  "macOS computes in another process: memory and processor time of the worker do not include it"

/// Which results the transcriber reports. The two kinds do different work, so they are two backends.
enum ResultsKind: String {
  /// Final results only.
  case final
  /// Tentative results first, with a smaller context: sooner, and less accurate.
  case progressive
}

/// A sample of full scale ±1 as 16 bits; beyond full scale it is clipped.
func int16(_ sample: Float) -> Int16 {
  Int16(max(-32_768, min(32_767, (sample * 32_768).rounded())))
}

/// Whether the text includes its times. The transcriber omits them by default.
func includesTimes(_ contract: Contract) -> Bool { contract.timestamps ?? false }

/// The transcript so far.
struct Heard: Equatable, Sendable {
  var text = ""
  var segments: [Segment] = []
  var tentative = 0
  var firstResultS: Double?

  /// Takes the next result, which came `seconds` after the clock started.
  @available(macOS 26.0, *)
  mutating func add(_ result: AttributedString, isFinal: Bool, at seconds: Double) {
    let words = String(result.characters)
    guard !words.isEmpty else { return }
    firstResultS = firstResultS ?? seconds
    guard isFinal else {
      tentative += 1  // a later result replaces it
      return
    }
    text += words
    if let (start, end) = span(of: result) { segments.append(Segment(startS: start, endS: end, text: words)) }
  }

  /// The answer to one call. The settings that Apple does not document are `nil`: not known.
  func transcript(
    seconds: Double, language: String?, timestamps: Bool, _ results: ResultsKind
  ) -> Transcript {
    var effective = EffectiveSettings()
    effective.language = language
    effective.task = "transcribe"
    effective.timestamps = timestamps
    effective.window = results == .progressive ? results.rawValue : nil
    var remarks = [outOfProcess]
    if results == .progressive {
      remarks.append("smaller context, to answer sooner; later results replaced \(tentative) tentative ones")
    }
    return Transcript(
      seconds: seconds, text: text, segments: segments, language: language, effective: effective,
      observed: language == nil ? [] : ["language"], remarks: remarks, firstSegmentS: firstResultS)
  }
}

/// From the first to the last time of the runs of a result, in seconds; `nil` if they have no times.
@available(macOS 26.0, *)
func span(of result: AttributedString) -> (start: Double, end: Double)? {
  let ranges = result.runs.compactMap { $0[AttributeScopes.SpeechAttributes.TimeRangeAttribute.self] }
  let starts = ranges.map(\.start.seconds).filter(\.isFinite)
  let ends = ranges.map(\.end.seconds).filter(\.isFinite)
  guard let start = starts.min(), let end = ends.max(), start <= end else { return nil }
  return (start, end)
}
