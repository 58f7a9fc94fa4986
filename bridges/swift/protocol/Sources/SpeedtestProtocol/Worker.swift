import Foundation

/// The worker's side of docs/reference/protocol.md.
public enum Worker {
  /// Serves one engine until `shutdown` or the end of stdin. This is a whole program:
  ///
  ///     await Worker.serve(MyEngine())
  ///
  /// The engine is created after stdout has been redirected for the libraries.
  public static func serve<E: Engine>(_ engine: @autoclosure @Sendable () -> E) async -> Never {
    let pipes = Pipes()
    let session = Session(engine())
    for await line in pipes.lines {
      let answer = await session.answer(line)
      if let bytes = answer.line { pipes.write(bytes) }
      if answer.isLast { break }
      pipes.finished(line)
    }
    // Not `exit`: threads of a library that still run crash in the destructors that it calls.
    _exit(0)
  }
}

/// The result of a line. `line` is `nil` for a notification, which gets no answer.
struct Answer: Sendable, Equatable {
  var line: [UInt8]?
  var isLast = false
}

/// One worker's state: whether it was greeted, and whether weights are loaded.
actor Session<E: Engine> {
  private let engine: E
  private var isGreeted = false
  private var isLoaded = false
  private var audio = Audio()

  init(_ engine: E) { self.engine = engine }

  /// Carries out one call.
  func answer(_ line: Pipes.Line) async -> Answer {
    let call: Call
    do {
      guard case .whole(let bytes) = line else {
        throw RefusedLine.parseError("a line of more than \(Limits.line) bytes")
      }
      call = try Call(bytes)
    } catch {
      return Answer(line: encoded(error, id: (error as? RefusedLine)?.id ?? Call.null))
    }
    do {
      let result = try await carryOut(call)
      return Answer(
        line: try call.id.map { try encoded("result", result, id: $0) },
        isLast: call.method == "shutdown")
    } catch {
      return Answer(line: call.id.map { encoded(error, id: $0) })
    }
  }

  private func encoded(_ member: String, _ value: any Encodable, id: [UInt8]) throws -> [UInt8] {
    let json = try JSONEncoder().encode(value)
    var line = Array(#"{"jsonrpc":"2.0","id":"#.utf8) + id
    line += Array(",\"\(member)\":".utf8) + json + Array("}".utf8)
    guard line.count < Limits.line else {
      throw EngineError.backend("an answer of \(line.count) bytes; a line has at most \(Limits.line)")
    }
    return line
  }

  private func encoded(_ error: any Error, id: [UInt8]) -> [UInt8] {
    let fallback = #"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"no answer"}}"#
    return (try? encoded("error", ErrorObject(error), id: id)) ?? Array(fallback.utf8)
  }

  private func carryOut(_ call: Call) async throws -> any Encodable {
    switch call.method {
    case "hello": return try hello(call.decoded())
    case "load": return try await load(call.decoded())
    case "transcribe": return try await transcribe(call.decoded())
    case "unload":
      let _: Nothing = try call.decoded()
      try expect(isLoaded, "load a model first")
      isLoaded = false
      try await engine.unload()
      return Nothing()
    case "shutdown":
      let _: Nothing = try call.decoded()
      return Nothing()
    default: throw RefusedLine.methodNotFound(call.method, id: call.id ?? Call.null)
    }
  }

  private func expect(_ state: Bool, _ otherwise: String) throws {
    guard state else { throw EngineError.wrongState(otherwise) }
  }

  private func hello(_ params: HelloParams) throws -> HelloResult {
    guard params.protocol ?? version == version else {
      throw EngineError.invalidParams("this worker speaks protocol \(version), not \(params.protocol ?? 0)")
    }
    isGreeted = true
    return HelloResult(
      protocol: version, name: E.name.cut(to: Limits.name), version: E.version.cut(to: Limits.name),
      versions: E.versions.asFacts())
  }

  private func load(_ params: LoadParams) async throws -> LoadResult {
    try expect(isGreeted, "call hello first")
    if isLoaded {
      isLoaded = false
      try await engine.unload()
    }
    let before = Usage.now()
    let clock = Stopwatch()
    let loaded: Loaded
    do {
      loaded = try await engine.load(
        LoadRequest(
          model: params.model, device: params.device ?? "auto", threads: params.threads ?? 1))
    } catch {
      try? await engine.unload()  // a partly loaded model would stay in memory
      throw error
    }
    let loadS = clock.seconds
    isLoaded = true
    return LoadResult(
      loadS: loadS, device: loaded.device.cut(to: Limits.name),
      precision: loaded.precision.cut(to: Limits.name), details: loaded.details.asFacts(),
      peakBeforeBytes: before.peakBytes, peakBytes: Usage.now().peakBytes)
  }

  private func transcribe(_ params: TranscribeParams) async throws -> TranscribeResult {
    try expect(isLoaded, "load a model first")
    let samples = try audio.samples(
      at: params.audio.path, count: params.audio.samples, rate: params.audio.rate ?? Audio.rate)
    let before = Usage.now()
    let clock = Stopwatch()
    let transcript = try await engine.transcribe(samples, params.contract)
    let wallS = clock.seconds
    let after = Usage.now()
    let audioS = Double(samples.count) / Double(Audio.rate)
    return TranscribeResult(
      transcript: try transcript.bounded(audioS: audioS, wallS: wallS),
      cpuS: after.cpuS - before.cpuS, peakBytes: after.peakBytes)
  }
}

private let version = 1

private struct Nothing: Codable {}

private struct HelloParams: Decodable {
  var `protocol`: Int?
}

private struct HelloResult: Encodable {
  var `protocol`: Int
  var name, version: String
  var versions: [String: String]
}

private struct LoadParams: Decodable {
  var model: Model
  var device: String?
  var threads: Int?
}

private struct LoadResult: Encodable {
  var loadS: Double
  var device, precision: String
  var details: [String: String]
  var peakBeforeBytes, peakBytes: Int?

  private enum CodingKeys: String, CodingKey {
    case device, precision, details
    case loadS = "load_s"
    case peakBeforeBytes = "peak_rss_before_bytes"
    case peakBytes = "peak_rss_bytes"
  }
}

private struct TranscribeParams: Decodable {
  var audio: Recording
  var contract: Contract

  struct Recording: Decodable {
    var path: String
    var samples: Int
    var rate: Int?

    private enum CodingKeys: String, CodingKey {
      case path, samples
      case rate = "sample_rate"
    }
  }
}

private struct TranscribeResult: Encodable {
  var transcript: Transcript
  var cpuS: Double
  var peakBytes: Int?

  func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: CodingKeys.self)
    try members.encode(transcript.seconds, forKey: .seconds)
    try members.encode(transcript.text, forKey: .text)
    try members.encode(transcript.segments, forKey: .segments)
    try members.encode(transcript.language, forKey: .language)
    try members.encode(transcript.tokens, forKey: .tokens)
    try members.encode(transcript.effective, forKey: .effective)
    try members.encode(transcript.observed, forKey: .observed)
    try members.encode(transcript.remarks, forKey: .remarks)
    try members.encode(transcript.fallbacks, forKey: .fallbacks)
    try members.encode(transcript.firstSegmentS, forKey: .firstSegmentS)
    try members.encode(transcript.stagesS, forKey: .stagesS)
    try members.encode(cpuS, forKey: .cpuS)
    try members.encode(peakBytes, forKey: .peakBytes)
  }

  private enum CodingKeys: String, CodingKey {
    case seconds, text, segments, language, tokens, effective, observed, remarks, fallbacks
    case firstSegmentS = "first_segment_s"
    case stagesS = "stages_s"
    case cpuS = "cpu_s"
    case peakBytes = "peak_rss_bytes"
  }
}
