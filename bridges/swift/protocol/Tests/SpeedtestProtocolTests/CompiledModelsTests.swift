import Foundation
import Testing

@testable import SpeedtestProtocol

/// A folder that is removed with the test.
private final class Folder {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)

  deinit { try? FileManager.default.removeItem(at: url) }

  func write(_ text: String, to name: String) throws {
    let file = url.appendingPathComponent(name)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try text.write(to: file, atomically: false, encoding: .utf8)
  }

  /// Two models and a list of words.
  static func whole() throws -> Folder {
    let folder = Folder()
    for name in [
      "A.mlmodelc/coremldata.bin", "B.mlmodelc/coremldata.bin", "B.mlmodelc/weights/weight.bin", "words.json",
    ] {
      try folder.write("{}", to: name)
    }
    return folder
  }

  var problem: String? { CompiledModels(in: url).problem(bundles: ["A", "B"], files: ["words.json"]) }
}

@Test func wholeModelsHaveNoProblem() throws {
  #expect(try Folder.whole().problem == nil)
}

@Test(arguments: ["A.mlmodelc/coremldata.bin", "words.json"])
func aMissingOrEmptyFileIsNamed(_ name: String) throws {
  let folder = try Folder.whole()
  try folder.write("", to: name)
  #expect(folder.problem == "\(name) is missing or empty")
  try FileManager.default.removeItem(at: folder.url.appendingPathComponent(name))
  #expect(folder.problem == "\(name) is missing or empty")
}

@Test func halfADownloadIsNamed() throws {
  let folder = try Folder.whole()
  try folder.write("content", to: "B.mlmodelc/weights/weight.bin.partial")
  #expect(folder.problem == "B.mlmodelc/weights/weight.bin.partial is half a download")
}

@Test(arguments: ["B.mlmodelc/weights/weight.bin", "words.json"])
func aGitLFSPointerIsNamed(_ name: String) throws {
  let folder = try Folder.whole()
  try folder.write("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 446000000\n", to: name)
  #expect(folder.problem == "\(name) is a Git LFS pointer, not the file")
}

@Test(arguments: ["{ half", "[]"]) func aJSONFileWithoutAnObjectIsNamed(_ content: String) throws {
  let folder = try Folder.whole()
  try folder.write(content, to: "words.json")
  #expect(folder.problem == "words.json is no JSON object")
}

@Test func filesBehindLinksCountAsTheirTargets() throws {
  // A snapshot of the Hugging Face cache holds links to blobs.
  let (folder, blobs) = (try Folder.whole(), Folder())
  try blobs.write("", to: "empty")
  try blobs.write("version https://git-lfs.github.com/spec/v1\n", to: "C/pointer")
  let (file, bundle) = (
    folder.url.appendingPathComponent("words.json"), folder.url.appendingPathComponent("A.mlmodelc")
  )
  try FileManager.default.removeItem(at: file)
  try FileManager.default.createSymbolicLink(
    at: file, withDestinationURL: blobs.url.appendingPathComponent("empty"))
  #expect(folder.problem == "words.json is missing or empty")
  try folder.write("{}", to: "words.json")
  try blobs.write("content", to: "C/coremldata.bin")
  try FileManager.default.removeItem(at: bundle)
  try FileManager.default.createSymbolicLink(
    at: bundle, withDestinationURL: blobs.url.appendingPathComponent("C"))
  #expect(folder.problem == "A.mlmodelc/pointer is a Git LFS pointer, not the file")
}
