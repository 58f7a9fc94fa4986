import CoreML
import Foundation
import SpeedtestProtocol
import WhisperKit

/// A folder of models, and the tokenizer for them, that WhisperKit can load without the network.
struct Weights {
  /// The precision in which WhisperKit's models are stored and compute.
  static let precision = "float16"

  let folder, tokenizer: URL
  /// Tokens that OpenAI's rules suppress for this network; WhisperKit itself suppresses none.
  let suppressed: [Int]

  /// - Throws: `EngineError.modelUnusable` with the problem and what to do.
  init(_ model: Model) throws {
    folder = URL(fileURLWithPath: model.path, isDirectory: true)
    // WhisperKit keeps tokenizers next to the models; turbo and distil use large-v3's.
    let size = model.name.contains("large-v3") ? "large-v3" : model.name
    let beside = folder.appendingPathComponent("../../../openai/whisper-\(size)").standardizedFileURL
    let inside = folder.appendingPathComponent("tokenizer.json").path
    tokenizer = FileManager.default.fileExists(atPath: inside) ? folder : beside
    // It fetches a tokenizer that is not JSON or has no configuration, as if it were missing.
    let bundles = ["AudioEncoder", "MelSpectrogram", "TextDecoder"]
    let models = CompiledModels(in: folder)
    let problem =
      models.problem(bundles: bundles, files: ["generation_config.json"])
      ?? CompiledModels(in: tokenizer).problem(files: ["tokenizer.json", "tokenizer_config.json"])
    if let problem {
      throw EngineError.modelUnusable(
        "\(folder.path): \(problem); get it with: speedtest models pull \(model.name) --backend whisperkit")
    }
    guard ["auto", Self.precision].contains(model.precision) else {
      throw EngineError.modelUnusable("it computes in \(Self.precision), not in \(model.precision)")
    }
    let rules = models.object(in: "generation_config.json")
    suppressed = (rules?["suppress_tokens"] as? [Int] ?? []).filter { $0 >= 0 }
  }

  /// Nothing is downloaded, logged, or loaded twice.
  func configuration(_ options: ModelComputeOptions) -> WhisperKitConfig {
    WhisperKitConfig(
      modelFolder: folder.path, tokenizerFolder: tokenizer, computeOptions: options, verbose: false,
      logLevel: .none, prewarm: false, load: true, download: false)
  }
}

/// The compute units requested by device. Core ML makes the choice and does not report it.
func computeOptions(for device: String) -> ModelComputeOptions {
  switch device {
  case "gpu": ModelComputeOptions(audioEncoderCompute: .cpuAndGPU, textDecoderCompute: .cpuAndGPU)
  case "cpu":
    ModelComputeOptions(melCompute: .cpuOnly, audioEncoderCompute: .cpuOnly, textDecoderCompute: .cpuOnly)
  default: ModelComputeOptions()  // the Neural Engine, except for the mel spectrogram
  }
}

/// The same with Core ML's names.
func words(of options: ModelComputeOptions) -> String {
  let names: [MLComputeUnits: String] = [
    .cpuOnly: "cpuOnly", .cpuAndGPU: "cpuAndGPU", .cpuAndNeuralEngine: "cpuAndNeuralEngine",
  ]
  let units = [options.melCompute, options.audioEncoderCompute, options.textDecoderCompute]
  return zip(["mel", "encoder", "decoder"], units).map { "\($0) \(names[$1] ?? "?")" }.joined(separator: ", ")
}

/// The devices of this machine that Core ML can use.
func devicesHere() -> Set<String> {
  Set(
    MLModel.availableComputeDevices.map {
      if case .neuralEngine = $0 { "ane" } else if case .gpu = $0 { "gpu" } else { "cpu" }
    })
}
