import SpeedtestProtocol
import Testing

/// Tokens of 0.1 s each, one after the other from `start` on.
private func tokens(_ texts: [String], from start: Double = 0) -> [Segment] {
  texts.enumerated().map { number, text in
    token(text, start + 0.1 * Double(number), start + 0.1 * Double(number + 1))
  }
}

private func token(_ text: String, _ start: Double, _ end: Double) -> Segment {
  Segment(startS: start, endS: end, text: text)
}

private func texts(_ segments: [Segment]) -> [String] { segments.map(\.text) }

@Test func sentencesEndAtFullStopsAndTheTextsAreTheTranscript() {
  let heard = tokens([
    " It", " is", ".", " Is", " it", "?", " Y", "es", "!", " “", "No", ".", "”", " So", "…", " Well",
  ])
  let found = sentences(of: heard, durationS: 9)
  #expect(texts(found) == [" It is.", " Is it?", " Yes!", " “No.”", " So…", " Well"])
  #expect(texts(found).joined() == heard.map(\.text).joined())
}

@Test func timesAreThoseOfTheFirstAndTheLastToken() {
  let found = sentences(of: tokens([" One", "."], from: 1) + tokens([" Two", "."], from: 2), durationS: 9)
  #expect(found.map { [$0.startS, $0.endS] } == [[1, 1.2], [2, 2.2]])
}

@Test func sentencePiecesMarkIsABlank() {
  #expect(texts(sentences(of: tokens(["▁One", ".", "▁T", "wo"]), durationS: 9)) == [" One.", " Two"])
}

@Test func aFullStopInsideAWordEndsNothing() {
  #expect(texts(sentences(of: tokens([" 3", ".", "5", " m"]), durationS: 9)) == [" 3.5 m"])
}

@Test func aLongPauseEndsASegmentBetweenWordsOnly() {
  let before = tokens([" one", " two"])
  #expect(
    texts(sentences(of: before + tokens([" three"], from: 1.3), durationS: 9)) == [" one two", " three"])
  #expect(texts(sentences(of: before + tokens([" three"], from: 1.1), durationS: 9)) == [" one two three"])
  #expect(texts(sentences(of: before + tokens(["s"], from: 1.3), durationS: 9)) == [" one twos"])
}

@Test func withoutFullStopsASegmentEndsAfterThirtySeconds() {
  let heard = (0..<120).map { token(" word", Double($0) * 0.5, Double($0) * 0.5 + 0.4) }
  let found = sentences(of: heard, durationS: 60)
  #expect(found.count == 2)
  #expect(found.allSatisfy { $0.endS - $0.startS <= 30 })
  #expect(texts(found).joined() == heard.map(\.text).joined())
}

@Test func withoutWordsASegmentEndsAfterAMinute() {
  let heard = (0..<200).map { token("字", Double($0), Double($0) + 1) }
  let found = sentences(of: heard, durationS: 200)
  #expect(found.allSatisfy { $0.endS - $0.startS <= 60 })
  #expect(texts(found).joined() == heard.map(\.text).joined())
}

@Test func noTokensAndBlankOnesMakeNoSegments() {
  #expect(sentences(of: [], durationS: 9).isEmpty)
  #expect(sentences(of: tokens(["", "▁", " "]), durationS: 9).isEmpty)
  #expect(texts(sentences(of: tokens(["", " a", ""]), durationS: 9)) == [" a"])
}

@Test func textKeepsItsOrderWhereTimesGoBack() {
  let heard = [token(" b", 3, 3.2), token(" a", 1, 1.2), token(".", 5, 5.2), token(" c", 2, 2.1)]
  let found = sentences(of: heard, durationS: 9)
  #expect(texts(found) == [" b a.", " c"])
  #expect(found.map { [$0.startS, $0.endS] } == [[3, 5.2], [5.2, 5.2]])
  let last = sentences(of: [token(" b", 3, 3.2), token(" a", 1, 1.2)], durationS: 9)
  #expect(last.map { [$0.startS, $0.endS] } == [[3, 3.2]])
}

@Test func timesAreFiniteAndWithinTheAudio() {
  let heard = [
    token(" a", .nan, .infinity), token(".", -.infinity, .nan), token(" b", -4, 1e30),
    token(".", 1e30, -1e30),
    token(" c", .nan, .nan),
  ]
  let found = sentences(of: heard, durationS: 2)
  #expect(texts(found) == [" a.", " b.", " c"])
  var last = 0.0
  for segment in found {
    #expect(segment.startS >= last && segment.endS >= segment.startS && segment.endS <= 2)
    last = segment.endS
  }
}
