import Foundation

/// Compiled Core ML models in a folder, looked at before a library touches them.
///
/// Half a download and a Git LFS pointer in the place of a file give errors that come late and name
/// neither, or make the library fetch everything again.
public struct CompiledModels: Sendable {
  private let folder: URL

  public init(in folder: URL) {
    self.folder = folder
  }

  /// What keeps the models from being loaded, such as `Encoder.mlmodelc/coremldata.bin is missing or
  /// empty`; `nil` if nothing compiles.
  ///
  /// - Parameters:
  ///   - bundles: the compiled models, without `.mlmodelc`.
  ///   - files: what else must be there, relative to the folder; `.json` holds an object.
  public func problem(bundles: [String] = [], files: [String] = []) -> String? {
    for name in bundles.map({ "\($0).mlmodelc/coremldata.bin" }) + files where size(of: name) == 0 {
      return "\(name) is missing or empty"
    }
    for name in bundles.flatMap({ contents(of: "\($0).mlmodelc") }) + files {
      if name.hasSuffix(".partial") { return "\(name) is half a download" }
      if isPointer(name) { return "\(name) is a Git LFS pointer, not the file" }
    }
    let damaged = files.first { $0.hasSuffix(".json") && object(in: $0) == nil }
    return damaged.map { "\($0) is no JSON object" }
  }

  /// The members of a JSON file; `nil` if there is no such file, or if it is not a JSON object.
  public func object(in name: String) -> [String: Any]? {
    let content = FileManager.default.contents(atPath: folder.appendingPathComponent(name).path)
    return content.flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
  }

  /// Paths relative to the folder, in order; links to folders are followed at the top only.
  private func contents(of bundle: String) -> [String] {
    let place = folder.appendingPathComponent(bundle).resolvingSymlinksInPath().path
    let inside = FileManager.default.enumerator(atPath: place)?.compactMap { $0 as? String } ?? []
    return inside.sorted().map { "\(bundle)/\($0)" }
  }

  /// Size in bytes, of a link's target; 0 if there is no such file.
  private func size(of name: String) -> Int {
    let path = folder.appendingPathComponent(name).resolvingSymlinksInPath().path
    let facts = try? FileManager.default.attributesOfItem(atPath: path)
    return (facts?[.size] as? NSNumber)?.intValue ?? 0
  }

  private func isPointer(_ name: String) -> Bool {
    guard (1..<1024).contains(size(of: name)) else { return false }
    let start = try? Data(contentsOf: folder.appendingPathComponent(name))
    return start?.starts(with: Data("version https://git-lfs.github.com".utf8)) == true
  }
}
