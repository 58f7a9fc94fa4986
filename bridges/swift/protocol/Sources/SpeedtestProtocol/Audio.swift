import Foundation

/// The recording of a call; the last one is kept, because one file is transcribed many times.
struct Audio {
  /// Samples per second in version 1 of the protocol.
  static let rate = 16_000

  private var kept: (path: String, samples: [Float])?

  /// Reads little-endian float32 samples: exactly `count` of them, all finite.
  mutating func samples(at path: String, count: Int, rate: Int) throws -> [Float] {
    guard rate == Self.rate else {
      throw EngineError.audioUnusable("\(rate) samples per second; it must be \(Self.rate)")
    }
    if let kept, kept.path == path, kept.samples.count == count { return kept.samples }
    kept = nil  // not two recordings in memory at once
    let samples = try Self.read(path, count: count)
    kept = (path, samples)
    return samples
  }

  private static func read(_ path: String, count: Int) throws -> [Float] {
    let files = FileManager.default
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    // Checked before opening: a pipe would never end, and a larger file may not fit into memory.
    guard let facts = try? files.attributesOfItem(atPath: target),
      facts[.type] as? FileAttributeType == .typeRegular
    else { throw EngineError.audioUnusable("no such file: \(path)") }
    let size = (facts[.size] as? NSNumber)?.intValue ?? 0
    guard count > 0, size / 4 == count, size % 4 == 0 else {
      throw EngineError.audioUnusable("\(size) bytes in \(path), which are not \(count) samples of 4")
    }
    guard let bytes = files.contents(atPath: path), bytes.count == size else {
      throw EngineError.audioUnusable("cannot read \(path)")
    }
    // Every processor that these engines run on is little-endian.
    let samples = [Float](unsafeUninitializedCapacity: count) { floats, written in
      written = bytes.copyBytes(to: floats) / 4
    }
    guard samples.allSatisfy({ $0.isFinite }) else {
      throw EngineError.audioUnusable("the audio in \(path) has NaN or infinite samples")
    }
    return samples
  }
}
