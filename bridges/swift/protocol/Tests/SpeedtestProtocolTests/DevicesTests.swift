import Testing

@testable import SpeedtestProtocol

private let everything: Set = ["ane", "gpu", "cpu"]

@Test func autoIsTheNeuralEngineWhereThereIsOne() throws {
  #expect(try coreMLDevice("auto", among: everything) == "ane")
  #expect(try coreMLDevice("auto", among: ["cpu", "gpu"]) == "cpu")
}

@Test(arguments: ["ane", "gpu", "cpu"]) func aWordIsItself(_ word: String) throws {
  #expect(try coreMLDevice(word, among: everything) == word)
}

@Test func aDeviceThatIsNotThereIsUnavailable() {
  #expect(throws: EngineError.unavailable("this machine has no ane for Core ML, only cpu and gpu")) {
    try coreMLDevice("ane", among: ["gpu", "cpu"])
  }
  #expect(throws: EngineError.unavailable("there is no Core ML here")) { try coreMLDevice("cpu", among: []) }
}

@Test func anotherWordIsAnInvalidParameter() {
  #expect(throws: EngineError.invalidParams("device is metal, not auto, ane, gpu or cpu")) {
    try coreMLDevice("metal", among: everything)
  }
}

@Test func onlyTheFirstMomentCounts() async {
  let first = FirstMoment(Stopwatch())
  #expect(first.seconds == nil)
  first.note()
  let noted = first.seconds
  await withTaskGroup(of: Void.self) { group in
    for _ in 0..<8 { group.addTask { first.note() } }
  }
  #expect(noted != nil && first.seconds == noted)
}
