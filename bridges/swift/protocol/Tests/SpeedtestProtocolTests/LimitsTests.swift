import Testing

@testable import SpeedtestProtocol

/// Ten seconds of audio in a call of five.
private func bounded(_ change: (inout Transcript) -> Void) throws -> Transcript {
  var transcript = Transcript(seconds: 1, text: "a")
  change(&transcript)
  return try transcript.bounded(audioS: 10, wallS: 5)
}

@Test(arguments: [0, -1, 5.1, .nan, .infinity, -.infinity])
func aClockThatCannotBeTrueIsAnErrorOfTheEngine(seconds: Double) {
  #expect(throws: EngineError.self) { try bounded { $0.seconds = seconds } }
}

@Test func timesOfSegmentsAreClampedToTheAudioAndItsLastWindow() throws {
  let segments = try bounded {
    $0.segments = [Segment(startS: -100, endS: 500, text: "a"), Segment(startS: 1, endS: 2, text: "b")]
  }.segments
  #expect(segments == [Segment(startS: 0, endS: 40, text: "a"), Segment(startS: 1, endS: 2, text: "b")])
  for wrong in [Double.nan, .infinity] {
    #expect(throws: EngineError.self) {
      try bounded { $0.segments = [Segment(startS: 0, endS: wrong, text: "")] }
    }
  }
}

@Test func aTranscriptThatIsTooLongIsAnErrorAndNotCut() throws {
  let most = 70_000
  let long = String(repeating: "e\u{301}", count: most / 2)  // scalars count, not what is seen
  #expect(try bounded { $0.text = long }.text == long)
  #expect(throws: EngineError.self) { try bounded { $0.text = long + "a" } }
  #expect(throws: EngineError.self) {
    try bounded { $0.segments = [Segment(startS: 0, endS: 0, text: long + "a")] }
  }
  let empty = Segment(startS: 0, endS: 0, text: "")
  #expect(throws: EngineError.self) { try bounded { $0.segments = Array(repeating: empty, count: most + 1) } }
  #expect(throws: EngineError.self) { try bounded { $0.tokens = most + 1 } }
  #expect(throws: EngineError.self) { try bounded { $0.tokens = -1 } }
  #expect(throws: EngineError.self) { try bounded { $0.fallbacks = most + 1 } }
  var hours = Transcript(seconds: 1, text: String(repeating: "a", count: Limits.text + 1))
  #expect(throws: EngineError.self) { try hours.bounded(audioS: 36_000, wallS: 5) }
  hours.text.removeLast()
  #expect(try hours.bounded(audioS: 36_000, wallS: 5).text.count == Limits.text)
}

@Test func figuresThatCannotBeTrueAreLeftOut() throws {
  let answer = try bounded {
    $0.firstSegmentS = 1.5
    $0.stagesS = ["mel": 0.5, "lost": -1, "late": 6, "none": .nan]
    $0.effective.temperatures = [0, .infinity]
  }
  #expect(answer.firstSegmentS == nil)
  #expect(answer.stagesS == ["mel": 0.5])
  #expect(answer.effective.temperatures == nil)
  #expect(try bounded { $0.firstSegmentS = 0.5 }.firstSegmentS == 0.5)
}

@Test func textsForPeopleAreFewAndShort() throws {
  let long = String(repeating: "é", count: 5000)
  let answer = try bounded {
    $0.remarks = Array(repeating: long, count: 200)
    $0.observed = Array(repeating: long, count: 200)
    $0.language = long
    $0.effective = EffectiveSettings(language: long, task: long, window: long)
    for number in 0..<200 { $0.stagesS["\(number)"] = 0 }
  }
  #expect(answer.remarks.count == 100 && answer.remarks.allSatisfy { $0.count == 2000 })
  #expect(answer.observed.count == 100 && answer.observed.allSatisfy { $0.count == 300 })
  #expect(
    [answer.language, answer.effective.language, answer.effective.task, answer.effective.window]
      .allSatisfy { $0?.count == 300 })
  #expect(answer.stagesS.count == 100)
}

@Test func theClockAndTheAccountsOfTheProcessGrow() {
  let clock = Stopwatch()
  let before = Usage.now()
  var after = before
  while after.cpuS - before.cpuS < 0.02 && clock.seconds < 30 { after = Usage.now() }
  #expect((0.02...1).contains(after.cpuS - before.cpuS))
  #expect((0.005..<30).contains(clock.seconds))  // this thread, beside those of other tests
  #expect(before.peakBytes ?? 0 > 1 << 20 && after.peakBytes ?? 0 > 1 << 20)
}
