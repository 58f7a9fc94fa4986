import FluidAudio
import Foundation
import SpeedtestProtocol

/// The folder that FluidAudio will load, checked before FluidAudio touches it.
///
/// Given the folder `x`, FluidAudio takes `x/../parakeet-tdt-0.6b-v3`, for any name of `x`:
/// with another name, it takes another copy or none. It looks for one file per bundle.
struct Weights {
  /// The precision of the encoder, as in the tool's catalog: 6 bits, palettized.
  static let precision = "palettized6"
  static let versions: [String: AsrModelVersion] = ["parakeet-tdt-0.6b-v2": .v2, "parakeet-tdt-0.6b-v3": .v3]

  let folder: URL
  let version: AsrModelVersion

  /// - Throws: `EngineError.modelUnusable` with the problem and what to do.
  init(_ model: Model) throws {
    folder = URL(fileURLWithPath: model.path, isDirectory: true)
    let name = folder.lastPathComponent
    let names = Self.versions[model.name] == nil ? Self.versions.keys.sorted() : [model.name]
    guard names.contains(name), let version = Self.versions[name] else {
      throw EngineError.modelUnusable(
        "\(folder.path) must be named \(names.joined(separator: " or ")): FluidAudio loads the folder of"
          + " that name beside the given one")
    }
    self.version = version
    guard ["auto", Self.precision].contains(model.precision) else {
      throw EngineError.modelUnusable("the weights are \(Self.precision), not \(model.precision)")
    }
    let bundles = [
      "Preprocessor", "Encoder", "Decoder", version == .v3 ? "JointDecisionv3" : "JointDecision",
    ]
    // The weights of the encoder are in a separate file; the small models may have none.
    let files = ["Encoder.mlmodelc/weights/weight.bin", "parakeet_vocab.json"]
    if let problem = CompiledModels(in: folder).problem(bundles: bundles, files: files) {
      throw EngineError.modelUnusable(
        "\(folder.path): \(problem); get it with: speedtest models pull \(name) --backend fluidaudio")
    }
  }
}
