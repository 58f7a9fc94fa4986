import Foundation
import SpeedtestProtocol

/// An engine of known truth for every system: it reports whether each half second is loud.
///
/// It recognizes no words. For tests of the protocol, the environment makes it slower:
/// `SPEEDTEST_ECHO_RTF` is the least computing time, in seconds per second of audio.
actor EchoEngine: Engine {
  static let name = "speedtest-echo"
  static let version = "1"
  static let versions = ["system": ProcessInfo.processInfo.operatingSystemVersionString]

  /// Samples of half a second.
  static let window = 8000
  /// Root mean square above which a window is loud: -40 dB of full scale.
  static let threshold: Float = 0.01

  private let computingPerAudio: Double

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    computingPerAudio = environment["SPEEDTEST_ECHO_RTF"].flatMap(Double.init) ?? 0
  }

  func load(_ request: LoadRequest) async throws -> Loaded {
    let path = request.model.path
    guard path.isEmpty || FileManager.default.fileExists(atPath: path) else {
      throw EngineError.modelUnusable("no such file: \(path)")
    }
    guard ["auto", "cpu"].contains(request.device) else {
      throw EngineError.invalidParams("device \(request.device): it has auto and cpu")
    }
    print("speedtest-echo: loaded")  // as a careless library would
    return Loaded(device: "cpu", precision: "float32", details: ["threads": "1"])
  }

  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    let clock = Stopwatch()
    var segments: [Segment] = []
    repeat {
      segments = Self.segments(of: samples)
    } while clock.seconds < computingPerAudio * Double(samples.count) / 16_000
    let text = segments.map(\.text).joined()
    return Transcript(
      seconds: clock.seconds, text: text, segments: segments,
      effective: Self.effective, remarks: ["tells loud from quiet, not words"])
  }

  func unload() async throws {}

  static func segments(of samples: [Float]) -> [Segment] {
    stride(from: 0, to: samples.count, by: window).map { start in
      let part = samples[start..<min(start + window, samples.count)]
      var power: Float = 0
      for sample in part { power += sample * sample }
      let isLoud = (power / Float(part.count)).squareRoot() > threshold
      return Segment(
        startS: Double(start) / 16_000, endS: Double(part.endIndex) / 16_000,
        text: isLoud ? " loud" : " quiet")
    }
  }

  /// It has no language, no task and no search; times are always given.
  static let effective = EffectiveSettings(
    conditionOnPreviousText: false, vad: false, timestamps: true, batchSize: 1)
}
