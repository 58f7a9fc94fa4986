import Foundation
import SpeedtestProtocol
import WhisperKit

/// The contract in WhisperKit's options.
///
/// - Parameter suppressed: the tokens that the network must not write.
/// - Throws: `EngineError.invalidParams` for settings that WhisperKit does not support.
func options(for contract: Contract, suppressing suppressed: [Int]) throws -> DecodingOptions {
  var options = DecodingOptions(skipSpecialTokens: true)  // else the text has them
  guard !contract.isAsShipped else { return options }
  guard [nil, 1].contains(contract.beamSize) else {
    throw EngineError.invalidParams("WhisperKit has no beam search: use --contract greedy")
  }
  guard let task = DecodingTask.allCases.first(where: { "\($0)" == contract.task ?? "transcribe" }) else {
    throw EngineError.invalidParams("task is \(contract.task ?? ""), not transcribe or translate")
  }
  (options.task, options.language) = (task, contract.language)
  options.withoutTimestamps = contract.timestamps == false
  if let ladder = contract.temperatures, let first = ladder.first {
    let step = ladder.count > 1 ? ladder[1] - first : 0
    guard ladder.indices.allSatisfy({ abs(first + Double($0) * step - ladder[$0]) < 1e-6 }) else {
      throw EngineError.invalidParams("temperatures \(ladder) are not evenly spaced: WhisperKit has one step")
    }
    (options.temperature, options.temperatureIncrementOnFallback) = (Float(first), Float(step))
    options.temperatureFallbackCount = ladder.count - 1
  }
  if contract.vad == true {
    options.chunkingStrategy = .vad
    options.concurrentWorkerCount = max(1, contract.batchSize ?? options.concurrentWorkerCount)
  }
  options.windowClipTime = 0  // else the last second begins no window, and a shorter recording has no text
  options.firstTokenLogProbThreshold = nil  // else a window whose first token is unlikely has no text
  (options.suppressBlank, options.suppressTokens) = (true, suppressed)
  return options
}

/// Which tokens of a network are not text.
struct Vocabulary: Sendable {
  let firstSpecial: Int
  /// Codes by token; English-only networks are never prompted with one.
  let languages: [Int: String]
}

extension Vocabulary {
  init(_ tokenizer: any WhisperTokenizer) {
    let names = tokenizer.allLanguageTokens.map { ($0, tokenizer.convertIdToToken($0) ?? "") }
    firstSpecial = tokenizer.specialTokens.specialTokenBegin
    languages = Dictionary(names) { $1 }.mapValues { $0.trimmingCharacters(in: ["<", "|", ">"]) }
  }
}

extension Transcript {
  /// With everything except clock and text: segments, counts, stages, and effective settings.
  ///
  /// - Parameters:
  ///   - results: one, or one per chunk if the detector cut the recording.
  ///   - durationS: of the recording, in seconds.
  /// - Throws: `EngineError.backend` if the library left out a part.
  func completed(
    by results: [TranscriptionResult], _ options: DecodingOptions, _ vocabulary: Vocabulary, durationS: Double
  ) throws -> Transcript {
    // The library drops a failed chunk without an error, and may create no chunk for the last second.
    let decodedS = results.reduce(0) { $0 + $1.timings.inputAudioSeconds }
    guard decodedS > durationS - 1.01 else {
      throw EngineError.backend("only \(decodedS) s of \(durationS) s were decoded: a chunk failed")
    }
    let chunked = results.contains { $0.seekTime != nil }
    let pieces = results.flatMap(\.segments)
    func time(_ stated: Float) -> Double { stated.isFinite ? min(max(Double(stated), 0), durationS) : 0 }
    var whole = self
    whole.segments = pieces.filter { !$0.text.isEmpty }.map {
      Segment(startS: time($0.start), endS: max(time($0.start), time($0.end)), text: $0.text)
    }
    whole.tokens = pieces.reduce(0) { $0 + $1.tokens.count { $0 < vocabulary.firstSpecial } }
    // The library's count is the index of the last attempt that failed: 0 after one fallback.
    let retried = pieces.filter { $0.temperature > options.temperature + 0.01 }
    whole.fallbacks = Set(retried.map(\.seek)).count
    // Its `language` repeats the request. The prompt, at the start of the tokens, has the one really used.
    let spoken = pieces.first?.tokens.prefix(4).compactMap { vocabulary.languages[$0] }.first
    whole.effective = settings(of: options, chunked: chunked)
    whole.effective.language = spoken ?? (pieces.isEmpty ? whole.effective.language : "en")
    whole.language = whole.effective.language
    whole.observed = (spoken == nil ? [] : ["language"]) + ["vad", "window"]
    whole.remarks = differences(of: options, chunked: chunked)
    // Chunks that are decoded at once overlap: the sum of their stages exceeds the elapsed time.
    guard whole.effective.batchSize == 1 else { return whole }
    whole.stagesS = results.map(\.timings).reduce(into: [:]) { sums, stage in
      sums["mel", default: 0] += stage.logmels
      sums["encode", default: 0] += stage.encoding
      // Not `decodingLoop`, which contains the other two.
      sums["decode", default: 0] += stage.decodingPredictions + stage.decodingFiltering
      sums["decode", default: 0] += stage.decodingSampling + stage.decodingKvCaching
    }
    return whole
  }
}

/// These options as settings of the contract.
func settings(of options: DecodingOptions, chunked: Bool) -> EffectiveSettings {
  let ladder = (0...options.temperatureFallbackCount).map {
    Double(options.temperature + Float($0) * options.temperatureIncrementOnFallback)
  }
  return EffectiveSettings(
    language: options.language ?? "en", task: "\(options.task)", beamSize: 1, bestOf: 1,
    temperatures: ladder.map { ($0 * 1000).rounded() / 1000 }, conditionOnPreviousText: false, vad: chunked,
    timestamps: !options.withoutTimestamps, window: chunked ? "vad-chunks" : "sequential-30s",
    batchSize: chunked ? options.concurrentWorkerCount : 1)
}

/// Differences that no setting expresses.
func differences(of options: DecodingOptions, chunked: Bool) -> [String] {
  let samples = options.temperature > 0 || options.temperatureFallbackCount > 0
  let remarks = [
    (true, "silence is decoded: the library computes no probability of it"),
    (!options.withoutTimestamps, "a window's first time may be above 1 s; the next begins at its last time"),
    (options.suppressTokens.isEmpty, "no tokens are suppressed"),
    (options.windowClipTime > 0, "no window begins in the last \(options.windowClipTime) s"),
    (options.firstTokenLogProbThreshold != nil, "a window whose first token stays unlikely has no text"),
    (samples, "above temperature 0 it takes one sample, of the \(options.topK) likeliest tokens"),
    (chunked, "the detector only chooses where to cut, and may leave out the last second"),
    (options.chunkingStrategy == .vad && !chunked, "not longer than a window: not cut by the detector"),
  ]
  return remarks.filter(\.0).map(\.1)
}

/// An error of the library with its number. `errorDescription` is not read: it logs.
func failure(_ error: any Error, loading: Bool) -> any Error {
  switch error {
  case WhisperError.tokenizerUnavailable(let why), WhisperError.modelsUnavailable(let why):
    EngineError.modelUnusable(why)
  case WhisperError.audioProcessingFailed(let why), WhisperError.loadAudioFailed(let why):
    EngineError.audioUnusable(why)
  case is WhisperError: loading ? EngineError.modelUnusable("\(error)") : EngineError.backend("\(error)")
  case let error as NSError where loading && error.domain == "com.apple.CoreML":
    EngineError.modelUnusable("Core ML cannot load it: \(error)")
  default: error
  }
}
