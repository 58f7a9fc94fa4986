import SpeedtestProtocol
import Testing

@testable import speedtest_echo

private func tone(_ level: Float, _ count: Int) -> [Float] {
  (0..<count).map { $0.isMultiple(of: 2) ? level : -level }
}

@Test func everyHalfSecondIsLoudOrQuiet() async throws {
  let samples = tone(0.5, 8000) + tone(0.001, 8000) + tone(0.02, 100)
  let heard = try await EchoEngine(environment: [:]).transcribe(samples, Contract())
  #expect(heard.text == " loud quiet loud")
  #expect(
    heard.segments == [
      Segment(startS: 0, endS: 0.5, text: " loud"), Segment(startS: 0.5, endS: 1, text: " quiet"),
      Segment(startS: 1, endS: 1.00625, text: " loud"),
    ])
  #expect(heard.seconds > 0)
}

@Test func itComputesAsLongAsItIsAskedTo() async throws {
  let engine = EchoEngine(environment: ["SPEEDTEST_ECHO_RTF": "0.1"])
  #expect(try await engine.transcribe(tone(0.5, 8000), Contract()).seconds >= 0.05)
}

@Test func weightsAndDevicesThatItDoesNotHaveAreRefused() async throws {
  let engine = EchoEngine(environment: [:])
  let model = Model(name: "tiny", path: "", format: "own")
  #expect(try await engine.load(LoadRequest(model: model)).device == "cpu")
  let missing = Model(name: "tiny", path: "/no/such/file", format: "own")
  await #expect(throws: EngineError.modelUnusable("no such file: /no/such/file")) {
    try await engine.load(LoadRequest(model: missing))
  }
  await #expect(throws: EngineError.self) { try await engine.load(LoadRequest(model: model, device: "ane")) }
}
