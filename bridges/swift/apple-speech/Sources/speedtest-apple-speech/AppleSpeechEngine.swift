import AVFAudio
import Foundation
import Speech
import SpeedtestProtocol

/// SpeechTranscriber on recordings in memory. macOS computes in its own process, with its own assets.
@available(macOS 26.0, *)
actor AppleSpeechEngine: Engine {
  static let name = "apple-speech"
  static var version: String { System.build }
  static var versions: [String: String] { ["macos": System.release] }

  private let results: ResultsKind
  private var loaded: (locale: Locale, interleaved: Bool)?
  private var reserved: Locale?

  init(_ results: ResultsKind) { self.results = results }

  /// Checks the locale's assets, reserves them, and lets macOS load them. Installs nothing.
  func load(_ request: LoadRequest) async throws -> Loaded {
    guard request.device == "auto" else {
      throw EngineError.unavailable("macOS chooses the device, not \(request.device): leave out --device")
    }
    let precision = request.model.precision
    guard precision == "auto" else {
      throw EngineError.modelUnusable("macOS chooses the precision, not \(precision): leave out --precision")
    }
    let assets = await LocaleAssets.current()
    let found = try assets.locale(ofModel: request.model.name)
    // According to reports, a locale without a reservation gives no text. Reservations outlive the process.
    if try assets.needsReservation(found), try await AssetInventory.reserve(locale: found) {
      reserved = found
    }
    let transcriber = Self.transcriber(found, results, timestamps: true)
    guard let best = await SpeechAnalyzer.bestAvailableAudioFormat(compatibleWith: [transcriber]),
      best.commonFormat == .pcmFormatInt16, best.sampleRate == sampleRate, best.channelCount == 1
    else { throw EngineError.unavailable("\(found.identifier) does not take 16 kHz, 16 bit, one channel") }
    loaded = (found, best.isInterleaved)
    // Models load lazily, and are dropped with the analyzer, unless they are prepared and retained.
    try await Self.analyzer(transcriber).prepareToAnalyze(in: best)
    return Loaded(
      device: "unknown", precision: "unknown",
      details: [
        "locale": found.identifier, "results": results.rawValue, "memory": outOfProcess,
        "compute_units": "chosen by macOS, which does not report them",
      ])
  }

  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    guard let (locale, interleaved) = loaded else { throw EngineError.wrongState("load a model first") }
    let timestamps = includesTimes(contract)
    let clock = Stopwatch()
    let transcriber = Self.transcriber(locale, results, timestamps: timestamps)
    let analyzer = Self.analyzer(transcriber)  // one for each recording: a finished one takes no more audio
    let input = try Self.input(samples, interleaved: interleaved)
    // Started before the input: otherwise early results would wait for a reader.
    let reading = Task {
      var heard = Heard()
      for try await result in transcriber.results {
        heard.add(result.text, isFinal: result.isFinal, at: clock.seconds)
      }
      return heard
    }
    let (inputs, feed) = AsyncStream.makeStream(of: AnalyzerInput.self)
    feed.yield(input)
    feed.finish()
    do {
      // The end of the input does not end the session.
      if let end = try await analyzer.analyzeSequence(inputs) {
        try await analyzer.finalizeAndFinish(through: end)
      } else {
        await analyzer.cancelAndFinishNow()
      }
    } catch {
      reading.cancel()
      throw error
    }
    let heard = try await reading.value
    let seconds = clock.seconds
    let language = transcriber.selectedLocales.first?.language.languageCode?.identifier
    return heard.transcript(seconds: seconds, language: language, timestamps: timestamps, results)
  }

  func unload() async throws {
    if let reserved {
      await LocaleAssets.release(reserved)
      self.reserved = nil
    }
    guard loaded != nil else { return }
    loaded = nil
    await SpeechModels.endRetention()
  }

  /// Options are named one by one: the names of presets changed between releases.
  private static func transcriber(
    _ locale: Locale, _ results: ResultsKind, timestamps: Bool
  ) -> SpeechTranscriber {
    SpeechTranscriber(
      locale: locale, transcriptionOptions: [],
      reportingOptions: results == .progressive ? [.volatileResults, .fastResults] : [],
      attributeOptions: timestamps ? [.audioTimeRange] : [])
  }

  private static func analyzer(_ transcriber: SpeechTranscriber) -> SpeechAnalyzer {
    let options = SpeechAnalyzer.Options(priority: .userInitiated, modelRetention: .processLifetime)
    return SpeechAnalyzer(modules: [transcriber], options: options)
  }

  /// The whole recording in one buffer, in the analyzer's format: it never converts.
  private static func input(_ samples: [Float], interleaved: Bool) throws -> AnalyzerInput {
    guard
      let count = AVAudioFrameCount(exactly: samples.count),
      let format = AVAudioFormat(
        commonFormat: .pcmFormatInt16, sampleRate: sampleRate, channels: 1, interleaved: interleaved),
      let buffer = AVAudioPCMBuffer(pcmFormat: format, frameCapacity: count),
      let channels = buffer.int16ChannelData
    else { throw EngineError.outOfMemory("no buffer for \(samples.count) samples") }
    buffer.frameLength = count
    for (index, sample) in samples.enumerated() { channels[0][index] = int16(sample) }
    return AnalyzerInput(buffer: buffer)
  }
}
