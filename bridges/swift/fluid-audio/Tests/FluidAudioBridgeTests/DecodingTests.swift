import FluidAudio
import Foundation
import SpeedtestProtocol
import Testing

@testable import speedtest_fluidaudio

// MARK: contracts

/// What Python declares of this backend; a test of the tool reads the same file.
private struct Row: Decodable {
  let contract: Contract
  let effective: Contract  // the same settings, which Swift only encodes
}

@Test func everyContractIsDecodedWithWhatTheToolDeclares() throws {
  let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
    "contracts.json")
  let rows = try JSONDecoder().decode([String: Row].self, from: Data(contentsOf: file))
  #expect(Set(rows.keys) == ["greedy", "as-shipped"])
  let reported = try JSONDecoder().decode(Contract.self, from: JSONEncoder().encode(effectiveSettings))
  for (name, row) in rows {
    #expect(row.effective == reported, "\(name)")
    #expect(row.contract.isAsShipped == (name == "as-shipped"))
  }
}

@Test func allButTheNumberOfWindowsAtOnceIsFluidAudiosOwn() {
  let (config, shipped) = (FluidAudioEngine.config, ASRConfig.default)
  #expect(config.parallelChunkConcurrency == 1)
  #expect("\(config)" == "\(shipped)".replacingOccurrences(of: "Concurrency: 4", with: "Concurrency: 1"))
  // In the record whole, within a value's 2000 characters.
  #expect("\(config)".contains("melChunkContext: true, dualDecodeArbitration: false, seamGapRepair: true"))
  #expect("\(config)".count < 600)
}

// MARK: language

@Test func v3GetsAHintForTheLanguagesThatFluidAudioKnows() {
  #expect(hint("de", for: .v3)?.rawValue == "de")
  #expect(hint("ja", for: .v3) == nil)
  #expect(hint(nil, for: .v3) == nil)
  #expect(hint("de", for: .v2) == nil)
}

@Test func aHintIsCalledAHintAndAMissingOneMissing() {
  func said(_ version: AsrModelVersion, _ language: String?) -> [String] {
    remarks(on: version, language: language, samples: 16_000, environment: [:])
  }
  #expect(said(.v3, "de") == ["the language de only excludes tokens of other scripts"])
  #expect(said(.v3, "ja") == ["decoded without a language: FluidAudio does not know ja"])
  #expect(said(.v3, nil).isEmpty)
  #expect(said(.v2, "en").isEmpty)
}

// MARK: answers

private let heard = ASRResult(
  text: "One. Two", confidence: 1, duration: 99, processingTime: 99,
  tokenTimings: [(" One", 0.0), (".", 0.2), (" Two", 0.4)].map {
    TokenTiming(token: $0.0, tokenId: 7, startTime: $0.1, endTime: $0.1 + 0.1, confidence: 1)
  })

@Test func anAnswerHasTheEnginesTextItsTokensAndNoLanguage() {
  let answer = transcript(of: heard, seconds: 0.5, samples: 16_000, remarks: ["a remark"])
  #expect(answer.text == "One. Two")
  #expect(answer.segments.map(\.text) == [" One.", " Two"])
  #expect(answer.tokens == 3)
  #expect(answer.seconds == 0.5)
  #expect(answer.language == nil)
  #expect(answer.observed.isEmpty)
  #expect(answer.remarks == ["a remark"])
  #expect(answer.firstSegmentS == nil && answer.fallbacks == nil && answer.stagesS.isEmpty)
}

@Test(arguments: [nil, []] as [[TokenTiming]?])
func anAnswerWithoutTimesHasNoSegmentsAndNoCount(_ timings: [TokenTiming]?) {
  func answer(_ text: String) -> Transcript {
    let bare = ASRResult(text: text, confidence: 1, duration: 1, processingTime: 1, tokenTimings: timings)
    return transcript(of: bare, seconds: 0.5, samples: 16_000, remarks: [])
  }
  #expect(answer("One").text == "One")
  #expect(answer("One").segments.isEmpty)
  #expect(answer("One").tokens == nil)
  #expect(answer("").tokens == 0)  // silence
}

@Test func windowsAreRemarkedOnWhereThereIsMoreThanOne() {
  func said(_ samples: Int) -> [String] {
    remarks(on: .v2, language: "en", samples: samples, environment: [:])
  }
  #expect(said(240_000).isEmpty)
  #expect(said(240_001).first?.hasPrefix("windows of 14.88 s that overlap by 2 s") == true)
}

@Test(arguments: [("3", true), ("0", true), ("soon", false)])
func aVariableThatMovesTimesIsRemarkedOn(_ value: String, _ moves: Bool) {
  let variables = ["TDT_EMISSION_DELAY_FRAMES": value]
  let said = remarks(on: .v2, language: nil, samples: 16_000, environment: variables)
  #expect(said.contains { $0.hasPrefix("TDT_EMISSION_DELAY_FRAMES=\(value) moves all times") } == moves)
}

// MARK: errors

@Test(arguments: [
  (ASRError.invalidAudioData, -32003), (.notInitialized, -32006), (.unsupportedPlatform("no"), -32001),
  (.modelLoadFailed, -32002), (.modelCompilationFailed, -32002), (.encoderInstantiationFailed("no"), -32002),
])
func errorsHaveTheirNumbers(_ error: ASRError, _ code: Int) {
  #expect((failure(error, samples: 100) as? EngineError)?.code == code)
}

@Test func tooLittleAudioIsNamedWithWhatIsNeeded() {
  let why = failure(ASRError.invalidAudioData, samples: 4799) as? EngineError
  #expect(why?.message == "4799 samples: FluidAudio transcribes 0.3 s (4800 samples) and more")
}

@Test func otherErrorsPassAsTheyAre() {
  // The protocol library names their class, and finds those of memory.
  #expect(failure(ASRError.processingFailed("no"), samples: 1) is ASRError)
  #expect(failure(CancellationError(), samples: 1) is CancellationError)
}
