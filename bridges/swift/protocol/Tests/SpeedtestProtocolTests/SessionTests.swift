import Foundation
import Testing

@testable import SpeedtestProtocol

/// An engine with calls that a test scripts.
actor Scripted: Engine {
  static let name = "scripted"
  static let version = "1.0"
  static let versions = ["library": String(repeating: "x", count: 3000)]

  private(set) var calls: [String] = []
  private var failure: (any Error)?
  private var transcript: @Sendable ([Float], Contract) -> Transcript = { samples, _ in
    Transcript(seconds: 1e-6, text: "\(samples.count)")
  }

  func fail(with error: (any Error)?) { failure = error }
  func answer(_ transcript: @escaping @Sendable ([Float], Contract) -> Transcript) {
    self.transcript = transcript
  }

  private func note(_ call: String) throws {
    calls.append(call)
    if let failure, call != "unload" { throw failure }
  }

  func load(_ request: LoadRequest) throws -> Loaded {
    try note("load \(request.model.name) \(request.model.precision) \(request.device) \(request.threads)")
    return Loaded(device: "cpu", precision: "float32", details: ["a": "b"])
  }

  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    try note("transcribe")
    try await Task.sleep(for: .milliseconds(1))  // so that a second of the clock is not more than passed
    return transcript(samples, contract)
  }

  func unload() throws { try note("unload") }
}

/// A session, and the answers to its calls as JSON.
final class Talk: Sendable {
  let engine = Scripted()
  let session: Session<Scripted>
  /// Half a second of silence.
  let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)

  init() throws {
    session = Session(engine)
    try Data(count: 32_000).write(to: file)
  }

  deinit { try? FileManager.default.removeItem(at: file) }

  func say(_ line: String) async throws -> [String: Any]? {
    guard let bytes = await session.answer(.whole(Array(line.utf8))).line else { return nil }
    #expect(bytes.count < Limits.line && !bytes.contains(10))
    return try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
  }

  /// The result of a call, or `code: message` of its error.
  func result(_ method: String, _ params: String = "{}") async throws -> [String: Any] {
    let answer = try #require(
      await say(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#))
    #expect(answer["id"] as? Int == 1)
    return try #require(answer["result"] as? [String: Any], "\(answer)")
  }

  func error(_ method: String, _ params: String = "{}") async throws -> (
    code: Int, message: String, kind: String
  ) {
    let answer = try #require(
      await say(#"{"jsonrpc":"2.0","id":"x","method":"\#(method)","params":\#(params)}"#))
    #expect(answer["id"] as? String == "x")
    let error = try #require(answer["error"] as? [String: Any], "\(answer)")
    let data = try #require(error["data"] as? [String: Any])
    return (
      try #require(error["code"] as? Int), try #require(error["message"] as? String),
      try #require(data["error_class"] as? String)
    )
  }

  func loaded() async throws {
    _ = try await result("hello")
    _ = try await result("load", Self.load)
  }

  static let load = #"{"model":{"name":"tiny","path":"","format":"own"}}"#

  /// Parameters of `transcribe`, with a setting of a later version.
  var transcribe: String {
    #"{"audio":{"path":"\#(file.path)","samples":8000},"contract":{"language":null,"new":1},"kind":"timed"}"#
  }
}

@Test func helloNamesTheEngineAndCutsFacts() async throws {
  let talk = try Talk()
  let said = try await talk.result("hello", #"{"protocol":1}"#)
  #expect(said["name"] as? String == "scripted" && said["version"] as? String == "1.0")
  #expect(said["protocol"] as? Int == 1)
  #expect((said["versions"] as? [String: String])?["library"]?.count == 2000)
  #expect(try await talk.error("hello", #"{"protocol":2}"#).code == -32602)
}

@Test func callsInTheWrongStateAreRefused() async throws {
  let talk = try Talk()
  #expect(try await talk.error("load", Talk.load).code == -32006)
  #expect(try await talk.error("transcribe", talk.transcribe) == (-32006, "load a model first", "WrongState"))
  #expect(try await talk.error("unload").code == -32006)
  #expect(try await talk.error("no.such").code == -32601)
  #expect(await talk.engine.calls == [])
}

@Test func aModelIsLoadedWithTheDefaultsOfTheProtocol() async throws {
  let talk = try Talk()
  _ = try await talk.result("hello")
  let loaded = try await talk.result("load", Talk.load)
  #expect(await talk.engine.calls == ["load tiny auto auto 1"])
  #expect(loaded["device"] as? String == "cpu" && loaded["details"] as? [String: String] == ["a": "b"])
  let before = try #require(loaded["peak_rss_before_bytes"] as? Int)
  let after = try #require(loaded["peak_rss_bytes"] as? Int)
  #expect(1 << 20 < before && before <= after && after < 1 << 40)
  #expect((0..<1).contains(try #require(loaded["load_s"] as? Double)))
}

@Test func aModelIsLoadedAgainAfterUnloadAfterAnErrorAndInPlaceOfAnother() async throws {
  let talk = try Talk()
  try await talk.loaded()
  _ = try await talk.result("unload")
  #expect(try await talk.error("transcribe", talk.transcribe).code == -32006)
  _ = try await talk.result("load", Talk.load)
  _ = try await talk.result("load", Talk.load)
  await talk.engine.fail(with: EngineError.modelUnusable("damaged"))
  #expect(try await talk.error("load", Talk.load) == (-32002, "damaged", "ModelUnusable"))
  #expect(try await talk.error("transcribe", talk.transcribe).code == -32006)
  await talk.engine.fail(with: nil)
  _ = try await talk.result("load", Talk.load)
  _ = try await talk.result("transcribe", talk.transcribe)
  let calls = await talk.engine.calls.map { $0.prefix(4) }
  // One unload before each further load, and one after the load that failed.
  #expect(calls == ["load", "unlo", "load", "unlo", "load", "unlo", "load", "unlo", "load", "tran"])
}

@Test func aTranscriptHasEverySettingByName() async throws {
  let talk = try Talk()
  try await talk.loaded()
  await talk.engine.answer { samples, contract in
    #expect(contract.isAsShipped && samples.count == 8000)
    return Transcript(
      seconds: 1e-6, text: "é\n\"", effective: EffectiveSettings(temperatures: [0.2], vad: false))
  }
  let said = try await talk.result("transcribe", talk.transcribe)
  #expect(said["text"] as? String == "é\n\"")
  let effective = try #require(said["effective"] as? [String: Any])
  #expect(
    Set(effective.keys) == [
      "language", "task", "beam_size", "best_of", "temperatures", "condition_on_previous_text", "vad",
      "timestamps", "window", "batch_size",
    ])
  #expect(effective["temperatures"] as? [Double] == [0.2] && effective["window"] is NSNull)
  #expect(said["tokens"] is NSNull && said["fallbacks"] is NSNull && said["first_segment_s"] is NSNull)
  #expect(try #require(said["cpu_s"] as? Double) >= 0)
}

@Test func aContractIsReadWithAllItsSettings() throws {
  let json = """
    {"name":"greedy","language":"en","task":"transcribe","beam_size":1,"best_of":2,"temperatures":[0.0,0.2],
    "condition_on_previous_text":false,"vad":true,"timestamps":true,"window":"sequential-30s","batch_size":3}
    """
  let contract = try JSONDecoder().decode(Contract.self, from: Data(json.utf8))
  #expect(
    contract
      == Contract(
        language: "en", task: "transcribe", beamSize: 1, bestOf: 2, temperatures: [0, 0.2],
        conditionOnPreviousText: false, vad: true, timestamps: true, window: "sequential-30s", batchSize: 3))
  #expect(!contract.isAsShipped)
}

private struct LibraryError: LocalizedError, CustomStringConvertible {
  var errorDescription: String?
  var description = "LibraryError(7)"
}

private enum Plain: Error { case broken(Int) }

@Test func whateverAnEngineThrowsIsAnsweredWithItsType() async throws {
  let talk = try Talk()
  try await talk.loaded()
  func error(_ thrown: any Error) async throws -> (code: Int, message: String, kind: String) {
    await talk.engine.fail(with: thrown)
    return try await talk.error("transcribe", talk.transcribe)
  }
  #expect(try await error(Plain.broken(3)) == (-32005, "broken(3)", "Plain"))
  #expect(
    try await error(LibraryError(errorDescription: "no tokenizer")) == (
      -32005, "no tokenizer", "LibraryError"
    ))
  #expect(try await error(LibraryError()).message == "LibraryError(7)")
  #expect(try await error(CancellationError()).kind == "CancellationError")
  #expect(try await error(LibraryError(errorDescription: "MPS: Insufficient Memory")).code == -32004)
  #expect(try await error(EngineError.outOfMemory("8 GB")) == (-32004, "8 GB", "OutOfMemory"))
  #expect(try await error(EngineError.audioUnusable("short")).code == -32003)
  #expect(try await error(EngineError.unavailable("no ANE")).code == -32001)
  #expect(try await error(EngineError.invalidParams("")) == (-32602, "InvalidParams", "InvalidParams"))
  #expect(try await error(EngineError.backend(String(repeating: "é", count: 5000))).message.count == 2000)
  await talk.engine.fail(with: nil)
  _ = try await talk.result("transcribe", talk.transcribe)
}

@Test func aNotificationIsCarriedOutWithoutAnAnswer() async throws {
  let talk = try Talk()
  #expect(try await talk.say(#"{"method":"hello"}"#) == nil)
  #expect(try await talk.say(#"{"method":"no.such"}"#) == nil)
  _ = try await talk.result("load", Talk.load)
  let last = await talk.session.answer(.whole(Array(#"{"method":"shutdown"}"#.utf8)))
  #expect(last == Answer(line: nil, isLast: true))
}

@Test func linesThatAreNoCallsAreAnswered() async throws {
  let talk = try Talk()
  let broken = try #require(await talk.say("{"))
  #expect(broken["id"] is NSNull)
  let long = try #require(await talk.session.answer(.tooLong).line)
  #expect(String(decoding: long, as: UTF8.self).contains("-32700"))
  #expect(
    await talk.session.answer(.whole(Array(#"{"id":1,"method":"shutdown","params":[]}"#.utf8))).isLast
      == false)
}

@Test(arguments: [
  (#""path":"/no/such/file","samples":8000"#, -32003), (#""path":"/tmp","samples":8000"#, -32003),
  (#""path":"/dev/zero","samples":8000"#, -32003), (#""path":"FILE","samples":7999"#, -32003),
  (#""path":"FILE","samples":0"#, -32003), (#""path":"FILE","samples":-8000"#, -32003),
  (#""path":"FILE","samples":9223372036854775807"#, -32003),
  (#""path":"FILE","samples":8000,"sample_rate":8000"#, -32003),
  (#""path":"FILE","samples":92233720368547758070"#, -32602), (#""path":"FILE","samples":"8000""#, -32602),
  (#""path":"FILE""#, -32602), (#""path":"FILE","samples":8000,"sample_rate":null"#, 0),
])
func audioThatIsNotAsStatedIsRefused(audio: String, code: Int) async throws {
  let talk = try Talk()
  try await talk.loaded()
  let params = #"{"audio":{\#(audio.replacingOccurrences(of: "FILE", with: talk.file.path))},"contract":{}}"#
  if code == 0 {
    #expect(try await talk.result("transcribe", params)["text"] as? String == "8000")
  } else {
    #expect(try await talk.error("transcribe", params).code == code)
  }
}

@Test func audioThatIsNotFiniteOrNotWholeIsRefused() throws {
  let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
  defer { try? FileManager.default.removeItem(at: file) }
  for bytes in [[0, 0, 0xC0, 0x7F], [0, 0, 0x80, 0xFF], [0, 0, 0, 0, 0]] as [[UInt8]] {
    try Data(bytes).write(to: file)
    var audio = Audio()
    #expect(throws: EngineError.self) { try audio.samples(at: file.path, count: 1, rate: 16_000) }
  }
  try Data([0, 0, 0x80, 0x3F, 0, 0, 0, 0xBF]).write(to: file)
  var audio = Audio()
  #expect(try audio.samples(at: file.path, count: 2, rate: 16_000) == [1, -0.5])
  let link = file.appendingPathExtension("link")
  try FileManager.default.createSymbolicLink(at: link, withDestinationURL: file)
  defer { try? FileManager.default.removeItem(at: link) }
  #expect(try audio.samples(at: link.path, count: 2, rate: 16_000) == [1, -0.5])
}
