import FluidAudio
import Foundation
import SpeedtestProtocol
import Testing

@testable import speedtest_fluidaudio

/// A whole copy of one network, removed with the test.
private final class Copy {
  let root = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  let folder: URL

  init(named name: String, joint: String) throws {
    folder = root.appendingPathComponent(name)
    for bundle in ["Preprocessor", "Encoder", "Decoder", joint] {
      try write("content", to: "\(bundle).mlmodelc/coremldata.bin")
    }
    try write("content", to: "Encoder.mlmodelc/weights/weight.bin")
    try write(#"{"0": "▁a"}"#, to: "parakeet_vocab.json")
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  func write(_ text: String, to name: String) throws {
    let file = folder.appendingPathComponent(name)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try text.write(to: file, atomically: false, encoding: .utf8)
  }

  func model(_ name: String, precision: String = "auto") -> Model {
    Model(name: name, path: folder.path, format: "fluidaudio", precision: precision)
  }
}

private func refusal(of model: Model) -> String? {
  do {
    _ = try Weights(model)
    return nil
  } catch EngineError.modelUnusable(let why) {
    return why
  } catch {
    return "another error: \(error)"
  }
}

@Test(arguments: [("v2", AsrModelVersion.v2, "JointDecision"), ("v3", .v3, "JointDecisionv3")])
func theFoldersNameChoosesTheNetwork(_ end: String, _ version: AsrModelVersion, _ joint: String) throws {
  let name = "parakeet-tdt-0.6b-\(end)"
  let copy = try Copy(named: name, joint: joint)
  let weights = try Weights(copy.model(name))
  #expect(weights.version == version)
  #expect(weights.folder.standardizedFileURL.path == copy.folder.standardizedFileURL.path)
  // A program that starts the bridge without this tool may not know the canonical name.
  #expect(try Weights(copy.model("a model", precision: "palettized6")).version == version)
}

@Test func anotherNameIsRefusedWithTheNameThatIsNeeded() throws {
  // FluidAudio would load the sibling of the right name, or nothing.
  let copy = try Copy(named: "0123abcd", joint: "JointDecisionv3")
  let asked = try #require(refusal(of: copy.model("parakeet-tdt-0.6b-v3")))
  #expect(asked.contains("/0123abcd must be named parakeet-tdt-0.6b-v3: "))
  let unknown = try #require(refusal(of: copy.model("a model")))
  #expect(unknown.contains("must be named parakeet-tdt-0.6b-v2 or parakeet-tdt-0.6b-v3: "))
}

@Test func theOtherNetworksFolderIsRefused() throws {
  let copy = try Copy(named: "parakeet-tdt-0.6b-v2", joint: "JointDecision")
  let why = try #require(refusal(of: copy.model("parakeet-tdt-0.6b-v3")))
  #expect(why.contains("must be named parakeet-tdt-0.6b-v3: "))
}

@Test(arguments: [
  "Preprocessor.mlmodelc/coremldata.bin", "Encoder.mlmodelc/weights/weight.bin",
  "JointDecisionv3.mlmodelc/coremldata.bin", "parakeet_vocab.json",
])
func anIncompleteFolderIsRefusedWithWhatToType(_ name: String) throws {
  let copy = try Copy(named: "parakeet-tdt-0.6b-v3", joint: "JointDecisionv3")
  try FileManager.default.removeItem(at: copy.folder.appendingPathComponent(name))
  let why = try #require(refusal(of: copy.model("parakeet-tdt-0.6b-v3")))
  #expect(why.contains("\(name) is missing or empty"))
  #expect(why.hasSuffix("speedtest models pull parakeet-tdt-0.6b-v3 --backend fluidaudio"))
}

@Test func v2sJointIsNoneOfV3s() throws {
  let copy = try Copy(named: "parakeet-tdt-0.6b-v3", joint: "JointDecision")
  let why = try #require(refusal(of: copy.model("parakeet-tdt-0.6b-v3")))
  #expect(why.contains("JointDecisionv3.mlmodelc/coremldata.bin is missing"))
}

@Test func anotherPrecisionIsRefused() throws {
  let copy = try Copy(named: "parakeet-tdt-0.6b-v3", joint: "JointDecisionv3")
  let why = refusal(of: copy.model("parakeet-tdt-0.6b-v3", precision: "float16"))
  #expect(why == "the weights are palettized6, not float16")
}

@Test(arguments: ["", "/no/such/folder/parakeet-tdt-0.6b-v2"])
func aFolderThatIsNotThereIsRefused(_ path: String) {
  #expect(refusal(of: Model(name: "parakeet-tdt-0.6b-v2", path: path, format: "fluidaudio")) != nil)
}
