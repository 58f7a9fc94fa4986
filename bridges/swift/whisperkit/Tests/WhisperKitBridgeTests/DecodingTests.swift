import Foundation
import SpeedtestProtocol
import Testing
import WhisperKit

@testable import speedtest_whisperkit

/// A call with the contract `greedy`.
private let greedy = Contract(
  language: "en", task: "transcribe", beamSize: 1, bestOf: 1, temperatures: [0],
  conditionOnPreviousText: false, vad: false, timestamps: true, window: "sequential-30s", batchSize: 1)

/// Tokens of a multilingual network: a prompt, and the end of a text.
private let english = 50259, german = 50261, start = 50258, transcribe = 50359, zero = 50364, end = 50257
private let vocabulary = Vocabulary(firstSpecial: end, languages: [english: "en", german: "de"])

private func result(
  _ segments: [TranscriptionSegment], seconds: Double = 10, at seekTime: Float? = nil,
  text: String = "text", timings: TranscriptionTimings = TranscriptionTimings()
) -> TranscriptionResult {
  var timings = timings
  timings.inputAudioSeconds = seconds
  return TranscriptionResult(
    text: text, segments: segments, language: "en", timings: timings, seekTime: seekTime)
}

private func segment(
  seek: Int = 0, _ times: (Float, Float) = (0, 2), _ tokens: [Int] = [], temperature: Float = 0,
  text: String = " a"
) -> TranscriptionSegment {
  TranscriptionSegment(
    seek: seek, start: times.0, end: times.1, text: text,
    tokens: [start, english, transcribe, zero] + tokens + [end], temperature: temperature)
}

private func completed(
  _ results: [TranscriptionResult], _ contract: Contract = greedy, durationS: Double = 10
) throws -> Transcript {
  try Transcript(seconds: 1, text: "text").completed(
    by: results, options(for: contract, suppressing: [1]), vocabulary, durationS: durationS)
}

private func isInvalid(_ contract: Contract) -> Bool {
  do {
    _ = try options(for: contract, suppressing: [])
    return false
  } catch { return (error as? EngineError)?.code == -32602 }
}

struct OptionsTests {
  private struct Row: Decodable { var contract, effective: Contract }

  @Test func everyContractOfTheTableMeansItsEffectiveSettings() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let file = folder.appendingPathComponent("contracts.json")
    let table = try JSONDecoder().decode([String: Row].self, from: Data(contentsOf: file))
    #expect(table.keys.contains("greedy") && table.keys.contains("as-shipped"))
    for (name, row) in table {
      let settings = settings(of: try options(for: row.contract, suppressing: []), chunked: false)
      let effective = try JSONDecoder().decode(Contract.self, from: JSONEncoder().encode(settings))
      #expect(effective == row.effective, "\(name)")
    }
  }

  @Test func nothingThatLosesTextIsLeftToTheLibrary() throws {
    let options = try options(for: greedy, suppressing: [1, 2])
    #expect(options.firstTokenLogProbThreshold == nil)
    #expect(options.windowClipTime == 0)
    #expect(options.suppressBlank)
    #expect(options.suppressTokens == [1, 2])
    #expect(options.skipSpecialTokens)
    #expect(options.temperatureFallbackCount == 0)
    #expect(options.temperatureIncrementOnFallback == 0)
    #expect(options.chunkingStrategy == nil)
  }

  @Test func nothingIsComputedBesidesTheText() throws {
    let options = try options(for: greedy, suppressing: [])
    #expect(!options.verbose && !options.wordTimestamps && !options.detectLanguage)
    #expect(options.usePrefillPrompt)
  }

  @Test func asShippedIsTheLibrarysDefaultsWithoutMarkersInTheText() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let shipped = try encoder.encode(options(for: Contract(), suppressing: [1]))
    #expect(try shipped == encoder.encode(DecodingOptions(skipSpecialTokens: true)))
  }

  @Test func aLadderIsOneStepTakenSeveralTimes() throws {
    var contract = greedy
    contract.temperatures = [0.2, 0.5, 0.8]
    let options = try options(for: contract, suppressing: [])
    #expect(options.temperature == 0.2)
    #expect(abs(options.temperatureIncrementOnFallback - 0.3) < 1e-6)
    #expect(options.temperatureFallbackCount == 2)
    #expect(settings(of: options, chunked: false).temperatures == [0.2, 0.5, 0.8])
  }

  @Test func whatTheLibraryDoesNotHaveIsRefused() {
    var uneven = greedy, beams = greedy, task = greedy
    uneven.temperatures = [0, 0.2, 0.6]
    beams.beamSize = 5
    task.task = "summarize"
    #expect(isInvalid(uneven) && isInvalid(beams) && isInvalid(task))
    #expect(!isInvalid(greedy))
  }

  @Test func aDetectorDecodesAsManyChunksAtOnceAsTheContractSays() throws {
    var contract = greedy
    (contract.vad, contract.batchSize) = (true, 4)
    var options = try options(for: contract, suppressing: [])
    #expect(options.chunkingStrategy == .vad)
    #expect(options.concurrentWorkerCount == 4)
    contract.batchSize = 0  // all at once, in the library's terms
    options = try speedtest_whisperkit.options(for: contract, suppressing: [])
    #expect(options.concurrentWorkerCount == 1)
  }
}

struct TranscriptTests {
  @Test func tokensOfPromptTimesAndEndAreNotText() throws {
    let transcript = try completed([result([segment(seek: 0, (0, 2), [100, 200, 50400])])])
    #expect(transcript.tokens == 2)
  }

  @Test func fallbacksAreWindowsAboveTheFirstTemperature() throws {
    var contract = greedy
    contract.temperatures = [0, 0.2, 0.4]
    var timings = TranscriptionTimings()
    timings.totalDecodingFallbacks = 0  // as the library counts one fallback
    let segments = [
      segment(seek: 0), segment(seek: 160_000, temperature: 0.2), segment(seek: 160_000, temperature: 0.2),
      segment(seek: 320_000, temperature: 0.4),
    ]
    let transcript = try completed([result(segments, timings: timings)], contract)
    #expect(transcript.fallbacks == 2)
    #expect(try completed([result([segment()])]).fallbacks == 0)
  }

  @Test func theFirstOfALadderIsNoFallback() throws {
    var contract = greedy
    contract.temperatures = [0.2, 0.4]
    #expect(try completed([result([segment(temperature: 0.2)])], contract).fallbacks == 0)
  }

  @Test func stagesAreThoseThatDoNotContainEachOther() throws {
    let timings = TranscriptionTimings(
      logmels: 1, encoding: 2, decodingLoop: 100, decodingPredictions: 4, decodingFiltering: 0.5,
      decodingSampling: 0.25, decodingKvCaching: 0.125, fullPipeline: 100)
    let transcript = try completed([result([segment()], timings: timings)])
    #expect(transcript.stagesS == ["mel": 1, "encode": 2, "decode": 4.875])
  }

  @Test func stagesOfChunksAddUpOnlyIfTheyAreDecodedOneByOne() throws {
    let timings = TranscriptionTimings(logmels: 1, encoding: 2, decodingPredictions: 3)
    let chunks = [
      result([segment()], seconds: 20, at: 0, timings: timings),
      result([segment(seek: 320_000)], seconds: 20, at: 20, timings: timings),
    ]
    var contract = greedy
    contract.vad = true
    let one = try completed(chunks, contract, durationS: 40)
    #expect(one.stagesS == ["mel": 2, "encode": 4, "decode": 6])
    contract.batchSize = 4
    #expect(try completed(chunks, contract, durationS: 40).stagesS.isEmpty)
  }

  @Test func whatTheDetectorDidIsReadFromTheResult() throws {
    var contract = greedy
    (contract.vad, contract.batchSize) = (true, 2)
    let chunks = [result([segment()], seconds: 39.5, at: 0)]
    let cut = try completed(chunks, contract, durationS: 40)
    #expect(cut.effective.vad == true && cut.effective.window == "vad-chunks" && cut.effective.batchSize == 2)
    let short = try completed([result([segment()])], contract)
    #expect(short.effective.vad == false && short.effective.window == "sequential-30s")
    #expect(short.effective.batchSize == 1)
    #expect(short.observed.contains("vad"))
  }

  @Test func aChunkThatTheLibraryDroppedIsAnError() {
    #expect(throws: EngineError.self) {
      _ = try completed([result([segment()], seconds: 20, at: 0)], durationS: 40)
    }
    #expect(throws: EngineError.self) { _ = try completed([]) }
  }

  @Test func timesAreWithinTheRecordingAndInOrder() throws {
    let times: [(Float, Float)] = [(-1, 2), (3, 99), (.nan, .infinity), (8, 7)]
    let found = try completed([result(times.map { segment($0) })]).segments
    #expect(found.map(\.startS) == [0, 3, 0, 8])
    #expect(found.map(\.endS) == [2, 10, 0, 8])
  }

  @Test func aSegmentWithoutTextIsNoSegment() throws {
    let transcript = try completed([result([segment(text: ""), segment()])])
    #expect(transcript.segments.count == 1)
  }

  @Test func theLanguageIsThatOfThePrompt() throws {
    var contract = greedy
    contract.language = "xx"  // the library prompts with English, and reports "xx"
    let transcript = try completed([result([segment()])], contract)
    #expect(transcript.effective.language == "en" && transcript.language == "en")
    #expect(transcript.observed.contains("language"))
    let spoken = TranscriptionSegment(text: " a", tokens: [start, german, transcribe, zero])
    #expect(try completed([result([spoken])]).effective.language == "de")
  }

  @Test func aNetworkWithoutLanguagesIsEnglishAndThatIsNotObserved() throws {
    var contract = greedy
    contract.language = "de"
    let spoken = TranscriptionSegment(text: " a", tokens: [50257, 50363, 100])
    let transcript = try completed([result([spoken])], contract)
    #expect(transcript.effective.language == "en")
    #expect(!transcript.observed.contains("language"))
  }

  @Test func differencesAreNamed() throws {
    let plain = try completed([result([segment()])]).remarks.joined(separator: "\n")
    #expect(plain.contains("silence is decoded"))
    #expect(plain.contains("first time may be above 1 s"))
    #expect(!plain.contains("suppressed") && !plain.contains("likeliest") && !plain.contains("unlikely"))
    let shipped = try completed([result([segment()])], Contract()).remarks.joined(separator: "\n")
    #expect(shipped.contains("no tokens are suppressed"))
    #expect(shipped.contains("the last 1.0 s"))
    #expect(shipped.contains("first token stays unlikely"))
    #expect(shipped.contains("the 5 likeliest"))
  }
}

struct EngineTests {
  @Test func errorsHaveTheirNumbersWhileLoadingAndWhileDecoding() {
    func code(_ error: any Error, loading: Bool = false) -> Int? {
      (failure(error, loading: loading) as? EngineError)?.code
    }
    #expect(code(WhisperError.tokenizerUnavailable()) == -32002)
    #expect(code(WhisperError.modelsUnavailable("gone")) == -32002)
    #expect(code(WhisperError.audioProcessingFailed()) == -32003)
    #expect(code(WhisperError.decodingFailed()) == -32005)
    #expect(code(WhisperError.initializationError(), loading: true) == -32002)
    #expect(code(NSError(domain: "com.apple.CoreML", code: 0), loading: true) == -32002)
    #expect(code(NSError(domain: "com.apple.CoreML", code: 0)) == nil)  // the protocol's library decides
    #expect(code(EngineError.outOfMemory("no"), loading: true) == -32004)
  }

  @Test func anErrorsTextIsItsOwn() {
    let error = failure(WhisperError.modelsUnavailable("gone"), loading: true)
    #expect(error as? EngineError == .modelUnusable("gone"))
  }

  @Test func transcribingWithoutAModelIsAWrongState() async {
    await #expect(throws: EngineError.wrongState("load a model first")) {
      _ = try await WhisperKitEngine().transcribe([0], greedy)
    }
  }

  @Test func nothingIsLoadedFromAFolderThatIsNotThere() async {
    let model = Model(name: "tiny", path: "/nowhere", format: "whisperkit")
    await #expect {
      _ = try await WhisperKitEngine().load(LoadRequest(model: model))
    } throws: { error in
      // Where there is no Core ML, that comes first.
      [-32001, -32002].contains((error as? EngineError)?.code)
    }
  }

  @Test func theVersionIsThatOfThePin() throws {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Package.swift")
    let manifest = try String(contentsOf: package, encoding: .utf8)
    #expect(manifest.contains("exact: \"\(WhisperKitEngine.version)\""))
  }

  @Test func aTokenizersNamesOfLanguagesAreCodes() {
    struct Tokenizer: WhisperTokenizer {
      let specialTokens = SpecialTokens(
        endToken: 50257, englishToken: 50259, noSpeechToken: 50362, noTimestampsToken: 50363,
        specialTokenBegin: 50257, startOfPreviousToken: 50361, startOfTranscriptToken: 50258,
        timeTokenBegin: 50364, transcribeToken: 50359, translateToken: 50358, whitespaceToken: 220)
      let allLanguageTokens: Set<Int> = [50259, 50358]
      func convertTokenToId(_ token: String) -> Int? { nil }
      func convertIdToToken(_ id: Int) -> String? { id == 50259 ? "<|en|>" : "<|yue|>" }
    }
    let vocabulary = Vocabulary(Tokenizer())
    #expect(vocabulary.languages == [50259: "en", 50358: "yue"])
    #expect(vocabulary.firstSpecial == 50257)
  }
}
