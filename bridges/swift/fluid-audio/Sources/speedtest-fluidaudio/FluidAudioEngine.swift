import CoreML
import FluidAudio
import Foundation
import SpeedtestProtocol

/// NVIDIA's Parakeet TDT, v2 or v3, through FluidAudio: four Core ML models from one folder.
actor FluidAudioEngine: Engine {
  static let name = "fluidaudio"
  static let version = "0.15.6"
  static let versions = ["system": ProcessInfo.processInfo.operatingSystemVersionString]

  /// FluidAudio's defaults, except for the windows of a long recording: one after the other, as the
  /// contract `greedy` requires, and because four at once, its default, have crashed on macOS 14.
  static let config = ASRConfig(parallelChunkConcurrency: 1)

  /// What Core ML may use for the encoder, and for decoder and joint. The preprocessor always runs on
  /// the CPU.
  typealias Units = (encoder: MLComputeUnits, others: MLComputeUnits, words: String)
  static let units: [String: Units] = [
    "ane": (.cpuAndNeuralEngine, .cpuAndNeuralEngine, "encoder, decoder and joint cpuAndNeuralEngine"),
    "gpu": (.cpuAndGPU, .cpuAndNeuralEngine, "encoder cpuAndGPU, decoder and joint cpuAndNeuralEngine"),
    "cpu": (.cpuOnly, .cpuOnly, "encoder, decoder and joint cpuOnly"),
  ]

  private static func devicesHere() -> Set<String> {
    Set(
      MLModel.availableComputeDevices.map {
        if case .neuralEngine = $0 { "ane" } else if case .gpu = $0 { "gpu" } else { "cpu" }
      })
  }

  private var loaded: (manager: AsrManager, version: AsrModelVersion)?

  init() {
    // This comes first: online, a failed load deletes the user's folder and downloads another.
    ModelHub.offlineMode = true
  }

  func load(_ request: LoadRequest) async throws -> Loaded {
    let device = try coreMLDevice(request.device, among: Self.devicesHere())
    guard let units = Self.units[device] else { throw EngineError.invalidParams("no units for \(device)") }
    let weights = try Weights(request.model)
    let configuration = AsrModels.defaultConfiguration()
    configuration.computeUnits = units.others
    do {
      let models = try await AsrModels.load(
        from: weights.folder, configuration: configuration, version: weights.version,
        encoderComputeUnits: units.encoder)
      loaded = (AsrManager(config: Self.config, models: models), weights.version)
    } catch {
      throw EngineError.modelUnusable("\(error)")
    }
    let details = [
      "compute_units": "preprocessor cpuOnly, \(units.words): asked, not observed",
      "config": "\(Self.config)", "threads": "chosen by Core ML",
    ]
    return Loaded(device: device, precision: Weights.precision, details: details)
  }

  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    guard let (manager, version) = loaded else { throw EngineError.wrongState("load a model first") }
    let language = hint(contract.language, for: version)
    let clock = Stopwatch()
    let result: ASRResult
    do {
      // A new state for every call: it would carry the end of one recording into the next.
      var state = try TdtDecoderState(decoderLayers: version.decoderLayers)
      result = try await manager.transcribe(samples, decoderState: &state, language: language)
    } catch {
      throw failure(error, samples: samples.count)
    }
    let seconds = clock.seconds
    let remarks = remarks(on: version, language: contract.language, samples: samples.count)
    return transcript(of: result, seconds: seconds, samples: samples.count, remarks: remarks)
  }

  func unload() async throws {
    await loaded?.manager.cleanup()
    loaded = nil
  }
}
