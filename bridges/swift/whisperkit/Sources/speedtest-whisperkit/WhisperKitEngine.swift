import CoreML
import Foundation
import SpeedtestProtocol
import WhisperKit

/// Whisper on Core ML, through Argmax's WhisperKit.
actor WhisperKitEngine: Engine {
  static let name = "whisperkit"
  /// Of the package; the manifest pins it.
  static let version = "1.1.0"
  static var versions: [String: String] { ["os": ProcessInfo.processInfo.operatingSystemVersionString] }

  private var loaded: (kit: WhisperKit, vocabulary: Vocabulary, suppressed: [Int])?

  func load(_ request: LoadRequest) async throws -> Loaded {
    let placement = try Placement(request.device, devices: MLModel.availableComputeDevices)
    let weights = try Weights(request.model)
    // `download: false` does not forbid it to fetch a tokenizer that it cannot read. At this address nothing
    // answers; while weights are checked, the tool's own listener does, at another.
    setenv("HF_ENDPOINT", "http://127.0.0.1:9", 0)
    do {
      let kit = try await WhisperKit(weights.configuration(placement.options))
      guard let tokenizer = kit.tokenizer else { throw WhisperError.tokenizerUnavailable() }
      loaded = (kit, Vocabulary(tokenizer), weights.suppressed)
      let times = kit.currentTimings
      let details = [
        "compute_units": "\(placement.words): asked, not observed",
        "encoder_load_s": String(format: "%.3f", times.encoderLoadTime),
        "decoder_load_s": String(format: "%.3f", times.decoderLoadTime),
        "tokenizer_load_s": String(format: "%.3f", times.tokenizerLoadTime),
        "suppressed_tokens": "\(weights.suppressed.count), by generation_config.json",
      ]
      return Loaded(device: placement.device, precision: Weights.precision, details: details)
    } catch { throw failure(error, loading: true) }
  }

  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    guard let loaded else { throw EngineError.wrongState("load a model first") }
    let options = try options(for: contract, suppressing: loaded.suppressed)
    let clock = Stopwatch()
    let first = FirstSegment(clock)
    // Not as an argument: where a recording is cut up, the library calls only this one.
    loaded.kit.segmentDiscoveryCallback = { if $0.contains(where: { !$0.text.isEmpty }) { first.note() } }
    do {
      let results = try await loaded.kit.transcribe(audioArray: samples, decodeOptions: options)
      let text = results.map(\.text).joined(separator: " ")
      let transcript = Transcript(seconds: clock.seconds, text: text, firstSegmentS: first.seconds)
      let durationS = Double(samples.count) / 16_000
      return try transcript.completed(by: results, options, loaded.vocabulary, durationS: durationS)
    } catch { throw failure(error, loading: false) }
  }

  /// Drops the instance: `unloadModels` by itself keeps the tokenizer.
  func unload() async throws {
    await loaded?.kit.unloadModels()
    loaded = nil
  }
}

/// When the first segment was there; the library calls from tasks of its own.
final class FirstSegment: @unchecked Sendable {
  private let clock: Stopwatch
  private let lock = NSLock()
  private var noted: Double?

  init(_ clock: Stopwatch) { self.clock = clock }
  var seconds: Double? { lock.withLock { noted } }
  func note() { lock.withLock { noted = noted ?? clock.seconds } }
}
