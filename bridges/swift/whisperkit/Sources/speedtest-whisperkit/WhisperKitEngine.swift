import CoreML
import Foundation
import SpeedtestProtocol
import WhisperKit

/// Whisper on Core ML, through Argmax's WhisperKit.
actor WhisperKitEngine: Engine {
  static let name = "whisperkit"
  /// Of the package; the manifest pins it.
  static let version = "1.1.0"
  static let versions = ["system": ProcessInfo.processInfo.operatingSystemVersionString]

  private var loaded: (kit: WhisperKit, vocabulary: Vocabulary, suppressed: [Int])?

  func load(_ request: LoadRequest) async throws -> Loaded {
    let device = try coreMLDevice(request.device, among: devicesHere())
    let weights = try Weights(request.model)
    // `download: false` does not stop it from fetching a tokenizer that it cannot read. At this address nothing
    // answers; while weights are checked, the tool's own listener does, at another.
    setenv("HF_ENDPOINT", "http://127.0.0.1:9", 0)
    do {
      let kit = try await WhisperKit(weights.configuration(computeOptions(for: device)))
      guard let tokenizer = kit.tokenizer else { throw WhisperError.tokenizerUnavailable() }
      loaded = (kit, Vocabulary(tokenizer), weights.suppressed)
      let times = kit.currentTimings
      let details = [
        "compute_units": "\(words(of: kit.modelCompute)): asked, not observed",
        "encoder_load_s": String(format: "%.3f", times.encoderLoadTime),
        "decoder_load_s": String(format: "%.3f", times.decoderLoadTime),
        "tokenizer_load_s": String(format: "%.3f", times.tokenizerLoadTime),
        "suppressed_tokens": "\(weights.suppressed.count), by generation_config.json",
      ]
      return Loaded(device: device, precision: Weights.precision, details: details)
    } catch { throw failure(error, loading: true) }
  }

  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    guard let loaded else { throw EngineError.wrongState("load a model first") }
    let options = try options(for: contract, suppressing: loaded.suppressed)
    let clock = Stopwatch()
    let first = FirstMoment(clock)
    // Not as an argument: if a recording is cut into chunks, the library calls only this one.
    loaded.kit.segmentDiscoveryCallback = { if $0.contains(where: { !$0.text.isEmpty }) { first.note() } }
    do {
      let results = try await loaded.kit.transcribe(audioArray: samples, decodeOptions: options)
      let text = results.map(\.text).joined(separator: " ")
      let transcript = Transcript(seconds: clock.seconds, text: text, firstSegmentS: first.seconds)
      let durationS = Double(samples.count) / 16_000
      return try transcript.completed(by: results, options, loaded.vocabulary, durationS: durationS)
    } catch { throw failure(error, loading: false) }
  }

  /// Drops the instance: `unloadModels` alone keeps the tokenizer.
  func unload() async throws {
    await loaded?.kit.unloadModels()
    loaded = nil
  }
}
