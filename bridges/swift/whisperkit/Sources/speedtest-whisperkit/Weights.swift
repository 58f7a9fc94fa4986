import CoreML
import Foundation
import SpeedtestProtocol
import WhisperKit

/// A folder of models, and the tokenizer for them, that WhisperKit can load without the network.
struct Weights {
  /// What WhisperKit's models are stored in and compute in.
  static let precision = "float16"

  let folder, tokenizer: URL
  /// Tokens that this network does not write by OpenAI's rules; WhisperKit itself suppresses none.
  let suppressed: [Int]

  /// - Throws: `EngineError.modelUnusable` with what is wrong and what to do.
  init(_ model: Model) throws {
    let folder = URL(fileURLWithPath: model.path, isDirectory: true)
    // WhisperKit keeps tokenizers beside the models; turbo and distil have that of large-v3.
    let size = model.name.contains("large-v3") ? "large-v3" : model.name
    let beside = folder.appendingPathComponent("../../../openai/whisper-\(size)").standardizedFileURL
    let places = [folder, beside].filter {
      FileManager.default.fileExists(atPath: $0.appendingPathComponent("tokenizer.json").path)
    }
    let tokenizer = places.first ?? folder
    // WhisperKit fetches a tokenizer that is no JSON or that has no configuration, as if it were missing.
    let needed = ["tokenizer.json", "tokenizer_config.json"]
    let bundles = ["AudioEncoder", "MelSpectrogram", "TextDecoder"]
    let problem =
      CompiledModels(in: folder).problem(bundles: bundles, files: ["generation_config.json"])
      ?? CompiledModels(in: tokenizer).problem(bundles: [], files: needed)
      ?? needed.first { Self.json($0, in: tokenizer) == nil }.map { "\($0) is no JSON object" }
    if let problem {
      throw EngineError.modelUnusable(
        "\(folder.path): \(problem); get it with: speedtest models pull \(model.name) --backend whisperkit")
    }
    guard ["auto", Self.precision].contains(model.precision) else {
      throw EngineError.modelUnusable("it computes in \(Self.precision), not in \(model.precision)")
    }
    (self.folder, self.tokenizer) = (folder, tokenizer)
    let rules = Self.json("generation_config.json", in: folder)
    suppressed = (rules?["suppress_tokens"] as? [Int] ?? []).filter { $0 >= 0 }
  }

  /// Nothing is downloaded, logged, or loaded twice.
  func configuration(_ options: ModelComputeOptions) -> WhisperKitConfig {
    WhisperKitConfig(
      modelFolder: folder.path, tokenizerFolder: tokenizer, computeOptions: options, verbose: false,
      logLevel: .none, prewarm: false, load: true, download: false)
  }

  private static func json(_ name: String, in folder: URL) -> [String: Any]? {
    let data = FileManager.default.contents(atPath: folder.appendingPathComponent(name).path)
    return data.flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
  }
}

/// Where the networks are asked to run. Core ML decides by itself, and does not report it.
struct Placement {
  let device: String
  let options: ModelComputeOptions

  /// - Parameters:
  ///   - word: `ane`, `gpu`, `cpu`, or `auto` for the library's defaults.
  ///   - devices: of this machine.
  init(_ word: String, devices: [MLComputeDevice]) throws {
    if devices.isEmpty { throw EngineError.unavailable("no Core ML here: WhisperKit runs on Macs") }
    let hasEngine = devices.contains { if case .neuralEngine = $0 { true } else { false } }
    switch word {
    case "ane" where !hasEngine: throw EngineError.unavailable("there is no Neural Engine here: use gpu or cpu")
    case "auto" where hasEngine, "ane": (device, options) = ("ane", ModelComputeOptions())
    case "gpu":
      device = "gpu"
      options = ModelComputeOptions(audioEncoderCompute: .cpuAndGPU, textDecoderCompute: .cpuAndGPU)
    // In a virtual machine, which has none, a load for the Neural Engine has been seen to hang.
    case "auto", "cpu":
      device = "cpu"
      options = ModelComputeOptions(
        melCompute: .cpuOnly, audioEncoderCompute: .cpuOnly, textDecoderCompute: .cpuOnly)
    default: throw EngineError.invalidParams("device is \(word), not auto, ane, gpu or cpu")
    }
  }

  var words: String {
    let names: [MLComputeUnits: String] = [
      .cpuOnly: "cpuOnly", .cpuAndGPU: "cpuAndGPU", .cpuAndNeuralEngine: "cpuAndNeuralEngine",
    ]
    let units = [options.melCompute, options.audioEncoderCompute, options.textDecoderCompute]
    let words = zip(["mel", "encoder", "decoder"], units).map { "\($0) \(names[$1] ?? "?")" }
    return words.joined(separator: ", ")
  }
}
