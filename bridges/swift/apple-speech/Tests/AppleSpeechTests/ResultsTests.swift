import CoreMedia
import Foundation
import Speech
import SpeedtestProtocol
import Testing

@testable import speedtest_apple_speech

/// A run of text, spoken from `start` to `end` seconds.
@available(macOS 26.0, *)
private func run(_ text: String, _ start: Double, _ end: Double) -> AttributedString {
  var made = AttributedString(text)
  made[AttributeScopes.SpeechAttributes.TimeRangeAttribute.self] = CMTimeRange(
    start: CMTime(value: Int64(start * 1000), timescale: 1000),
    end: CMTime(value: Int64(end * 1000), timescale: 1000))
  return made
}

@Suite struct Samples {
  @Test(
    arguments: zip(
      [0, 0.5, -0.5, 1, -1, 7, -7, 1e-6], [0, 16_384, -16_384, 32_767, -32_768, 32_767, -32_768, 0]))
  func areScaledAndClipped(_ sample: Float, _ expected: Int16) {
    #expect(int16(sample) == expected)
  }
}

@Suite struct Results {
  @available(macOS 26.0, *)
  @Test func finalTextIsJoinedAsItComes() {
    var heard = Heard()
    heard.add(run("And so,", 0.25, 1) + run(" my", 1, 1.5), isFinal: true, at: 0.2)
    heard.add(run(" fellow", 1.5, 2), isFinal: true, at: 0.4)
    #expect(heard.text == "And so, my fellow")
    #expect(
      heard.segments == [
        Segment(startS: 0.25, endS: 1.5, text: "And so, my"), Segment(startS: 1.5, endS: 2, text: " fellow"),
      ])
  }

  @available(macOS 26.0, *)
  @Test func theFirstResultCountsOnce() {
    var heard = Heard()
    heard.add(AttributedString(""), isFinal: false, at: 0.1)
    heard.add(AttributedString("An"), isFinal: false, at: 0.2)
    heard.add(AttributedString("And"), isFinal: true, at: 0.3)
    #expect(heard.firstResultS == 0.2)
  }

  @available(macOS 26.0, *)
  @Test func tentativeTextIsReplaced() {
    var heard = Heard()
    heard.add(run("Ant so", 0, 1), isFinal: false, at: 0.1)
    heard.add(run("And so", 0, 1), isFinal: true, at: 0.2)
    #expect(heard.text == "And so")
    #expect(heard.segments.map(\.text) == ["And so"])
    #expect(heard.tentative == 1)
  }

  @available(macOS 26.0, *)
  @Test func textWithoutTimesHasNoSegments() {
    var heard = Heard()
    heard.add(AttributedString("And so"), isFinal: true, at: 0.1)
    #expect(heard.text == "And so")
    #expect(heard.segments.isEmpty)
  }

  @available(macOS 26.0, *)
  @Test func timesThatAreNotValidAreLeftOut() {
    var broken = AttributedString("And")
    let range = CMTimeRange(start: .invalid, duration: .invalid)
    broken[AttributeScopes.SpeechAttributes.TimeRangeAttribute.self] = range
    #expect(span(of: broken) == nil)
    let mixed = span(of: broken + run(" so", 1, 2))
    #expect(mixed?.start == 1)
    #expect(mixed?.end == 2)
  }
}

/// A row of `contracts.json`, which the tests of the tool's own side read as well.
private struct Row: Decodable {
  let results, spoken: String
  let contract, effective: Contract
}

@Suite struct Answers {
  @Test func everyContractLeadsToTheSettingsThatTheToolExpects() throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let data = try Data(contentsOf: folder.appendingPathComponent("contracts.json"))
    let rows = try JSONDecoder().decode([Row].self, from: data)
    #expect(rows.count == 8)
    for row in rows {
      let answer = Heard().transcript(
        seconds: 1, language: row.spoken, timestamps: includesTimes(row.contract),
        try #require(ResultsKind(rawValue: row.results)))
      // The settings of a contract are those of an answer, and only the former are decoded anywhere.
      let effective = try JSONDecoder().decode(Contract.self, from: JSONEncoder().encode(answer.effective))
      #expect(effective == row.effective)
    }
  }

  @Test func whatAppleDoesNotDocumentIsNotKnown() {
    let answer = Heard().transcript(seconds: 1, language: "de", timestamps: true, .final)
    #expect(answer.effective == EffectiveSettings(language: "de", task: "transcribe", timestamps: true))
    #expect(answer.observed == ["language"])
    #expect(answer.language == "de")
    #expect(answer.remarks == [outOfProcess])
    #expect(answer.tokens == nil && answer.fallbacks == nil && answer.firstSegmentS == nil)
  }

  @Test func aLanguageThatIsNotReadBackIsNotObserved() {
    let answer = Heard().transcript(seconds: 1, language: nil, timestamps: false, .final)
    #expect(answer.observed.isEmpty)
    #expect(answer.effective == EffectiveSettings(task: "transcribe", timestamps: false))
  }

  @available(macOS 26.0, *)
  @Test func progressiveResultsSayHowManyWereReplaced() {
    var heard = Heard()
    heard.add(AttributedString("An"), isFinal: false, at: 0.2)
    let answer = heard.transcript(seconds: 1, language: "en", timestamps: false, .progressive)
    #expect(answer.firstSegmentS == 0.2)
    #expect(answer.remarks.count == 2)
    #expect(answer.remarks[1].contains("replaced 1 tentative"))
  }
}
