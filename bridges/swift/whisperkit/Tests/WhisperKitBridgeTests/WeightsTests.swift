import CoreML
import Foundation
import SpeedtestProtocol
import Testing
import WhisperKit

@testable import speedtest_whisperkit

/// A folder with the files of a model, laid out as in WhisperKit's own place.
private final class Copy {
  let root = FileManager.default.temporaryDirectory.appendingPathComponent("whisperkit-\(UUID().uuidString)")
  var folder: URL { root.appendingPathComponent("models/argmaxinc/whisperkit-coreml/openai_whisper-tiny") }
  var beside: URL { root.appendingPathComponent("models/openai/whisper-tiny") }

  init() throws {
    for bundle in ["AudioEncoder", "MelSpectrogram", "TextDecoder"] {
      try write("coremldata.bin", "x", in: folder.appendingPathComponent("\(bundle).mlmodelc"))
      try write("weights/weight.bin", "x", in: folder.appendingPathComponent("\(bundle).mlmodelc"))
    }
    try write("generation_config.json", #"{"suppress_tokens": [-1, 1, 7, 50358]}"#)
    try write("tokenizer.json", "{}")
    try write("tokenizer_config.json", "{}")
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  func write(_ name: String, _ text: String, in place: URL? = nil) throws {
    let file = (place ?? folder).appendingPathComponent(name)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  func remove(_ name: String) throws {
    try FileManager.default.removeItem(at: folder.appendingPathComponent(name))
  }

  func weights(_ name: String = "tiny", precision: String = "auto") throws -> Weights {
    try Weights(Model(name: name, path: folder.path, format: "whisperkit", precision: precision))
  }

  /// Why the folder is refused; empty if it is not.
  func problem(precision: String = "auto") -> String {
    do {
      _ = try weights(precision: precision)
      return ""
    } catch EngineError.modelUnusable(let why) { return why } catch { return "another error: \(error)" }
  }
}

struct WeightsTests {
  @Test func aWholeFolderIsLoadedFromNowhereElseAndInSilence() throws {
    let copy = try Copy()
    let weights = try copy.weights()
    let configuration = weights.configuration(ModelComputeOptions())
    #expect(configuration.modelFolder == copy.folder.path)
    #expect(configuration.tokenizerFolder?.path == copy.folder.path)
    #expect(!configuration.download && configuration.load == true && configuration.prewarm == false)
    #expect(!configuration.verbose && configuration.logLevel == .none)
    #expect(weights.suppressed == [1, 7, 50358])
  }

  @Test func aMissingModelIsNamedWithTheCommandForIt() throws {
    let copy = try Copy()
    try copy.remove("TextDecoder.mlmodelc")
    #expect(copy.problem().contains("TextDecoder.mlmodelc/coremldata.bin"))
    #expect(copy.problem().contains("speedtest models pull tiny --backend whisperkit"))
  }

  @Test func aGitLFSPointerIsNamedAsSuch() throws {
    let copy = try Copy()
    try copy.write(
      "AudioEncoder.mlmodelc/weights/weight.bin",
      "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    #expect(copy.problem().contains("AudioEncoder.mlmodelc/weights/weight.bin is a Git LFS pointer"))
  }

  @Test(arguments: ["tokenizer.json", "tokenizer_config.json"])
  func aTokenizerThatTheLibraryWouldFetchIsRefused(_ name: String) throws {
    let copy = try Copy()
    try copy.write(name, "{ half")
    #expect(copy.problem().contains("\(name) is no JSON object"))
    try copy.remove(name)
    #expect(copy.problem().contains("\(name) is missing"))
  }

  @Test func theTokenizerBesideTheUsersOwnModelsIsTaken() throws {
    let copy = try Copy()
    try copy.remove("tokenizer.json")
    for name in ["tokenizer.json", "tokenizer_config.json"] { try copy.write(name, "{}", in: copy.beside) }
    #expect(try copy.weights().tokenizer.path == copy.beside.path)
    #expect(throws: EngineError.self) { _ = try copy.weights("small") }  // not that of another size
  }

  @Test func everyLargeV3HasTheSameTokenizer() throws {
    let copy = try Copy()
    try copy.remove("tokenizer.json")
    let beside = copy.root.appendingPathComponent("models/openai/whisper-large-v3")
    for name in ["tokenizer.json", "tokenizer_config.json"] { try copy.write(name, "{}", in: beside) }
    #expect(try copy.weights("distil-large-v3").tokenizer.path == beside.path)
    #expect(try copy.weights("large-v3-turbo").tokenizer.path == beside.path)
  }

  @Test func anotherPrecisionIsRefused() throws {
    let copy = try Copy()
    #expect(copy.problem(precision: "float16").isEmpty)
    #expect(copy.problem(precision: "float32").contains("float32"))
  }
}

@Test func deviceWordsAreAskedOfEveryModel() {
  #expect(
    words(of: computeOptions(for: "ane"))
      == "mel cpuAndGPU, encoder cpuAndNeuralEngine, decoder cpuAndNeuralEngine")
  #expect(words(of: computeOptions(for: "gpu")) == "mel cpuAndGPU, encoder cpuAndGPU, decoder cpuAndGPU")
  #expect(words(of: computeOptions(for: "cpu")) == "mel cpuOnly, encoder cpuOnly, decoder cpuOnly")
}
