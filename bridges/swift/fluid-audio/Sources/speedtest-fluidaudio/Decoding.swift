import FluidAudio
import Foundation
import SpeedtestProtocol

/// FluidAudio's settings under every contract: a transducer has no prompt, no beams here, no temperatures
/// and no windows of 30 s. A language only excludes tokens of other scripts.
let effectiveSettings = EffectiveSettings(
  task: "transcribe", beamSize: 1, vad: false, timestamps: true,
  batchSize: FluidAudioEngine.config.parallelChunkConcurrency)

/// The language to pass. v2, which is English, ignores it; FluidAudio has 28.
func hint(_ language: String?, for version: AsrModelVersion) -> Language? {
  version == .v3 ? language.flatMap(Language.init(rawValue:)) : nil
}

/// Differences that no setting expresses.
func remarks(
  on version: AsrModelVersion, language: String?, samples: Int,
  environment: [String: String] = ProcessInfo.processInfo.environment
) -> [String] {
  var remarks: [String] = []
  if let language, let known = hint(language, for: version) {
    remarks.append("the language \(known.rawValue) only excludes tokens of other scripts")
  } else if let language, version == .v3 {
    remarks.append("decoded without a language: FluidAudio does not know \(language)")
  }
  if samples > ASRConstants.maxModelSamples {
    remarks.append(
      "windows of 14.88 s that overlap by 2 s, merged by their tokens; long gaps in speech are decoded again")
  }
  if let delay = environment["TDT_EMISSION_DELAY_FRAMES"].flatMap({ Int($0) }) {
    remarks.append("TDT_EMISSION_DELAY_FRAMES=\(delay) moves all times; FluidAudio's own value is 1")
  }
  return remarks
}

/// The answer to a call, created after its clock has stopped.
///
/// FluidAudio drops all times if one token lacks its time: their number then differs from the tokens'.
func transcript(of result: ASRResult, seconds: Double, samples: Int, remarks: [String]) -> Transcript {
  let timings = result.tokenTimings ?? []
  let tokens = timings.map { Segment(startS: $0.startTime, endS: $0.endTime, text: $0.token) }
  let duration = Double(samples) / Double(FluidAudioEngine.config.sampleRate)
  return Transcript(
    seconds: seconds, text: result.text, segments: sentences(of: tokens, durationS: duration),
    tokens: tokens.isEmpty && !result.text.isEmpty ? nil : tokens.count,
    effective: effectiveSettings, remarks: remarks)
}

/// An error of `AsrManager.transcribe` with its number; others pass unchanged.
func failure(_ error: any Error, samples: Int) -> any Error {
  switch error {
  case ASRError.invalidAudioData:
    EngineError.audioUnusable("\(samples) samples: FluidAudio transcribes 0.3 s (4800 samples) and more")
  case ASRError.notInitialized: EngineError.wrongState("load a model first")
  case ASRError.unsupportedPlatform(let why): EngineError.unavailable(why)
  case ASRError.modelLoadFailed, ASRError.modelCompilationFailed, ASRError.encoderInstantiationFailed:
    EngineError.modelUnusable("\(error)")
  default: error
  }
}
