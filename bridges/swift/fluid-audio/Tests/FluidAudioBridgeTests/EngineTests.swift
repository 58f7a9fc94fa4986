import FluidAudio
import SpeedtestProtocol
import Testing

@testable import speedtest_fluidaudio

@Test func nothingIsDownloadedFromTheStartOn() {
  ModelHub.offlineMode = false
  _ = FluidAudioEngine()
  #expect(ModelHub.offlineMode)
}

@Test func deviceWordsAskForTheirUnits() throws {
  let asked = try ["ane", "gpu", "cpu"].map { try #require(FluidAudioEngine.units[$0]) }
  #expect(asked.map(\.encoder) == [.cpuAndNeuralEngine, .cpuAndGPU, .cpuOnly])
  #expect(asked.map(\.others) == [.cpuAndNeuralEngine, .cpuAndNeuralEngine, .cpuOnly])
  for (units, word) in zip(asked, ["cpuAndNeuralEngine", "cpuAndGPU", "cpuOnly"]) {
    #expect(units.words.hasPrefix("encoder") && units.words.contains(word))
  }
}

@Test func nothingIsLoadedFromAFolderThatIsNotThere() async {
  let model = Model(
    name: "parakeet-tdt-0.6b-v3", path: "/weights/parakeet-tdt-0.6b-v3", format: "fluidaudio")
  await #expect {
    try await FluidAudioEngine().load(LoadRequest(model: model))
  } throws: { error in
    // Where there is no Core ML, that comes first.
    [-32001, -32002].contains((error as? EngineError)?.code)
  }
}

@Test func callsOutOfOrderAreRefusedOrHarmless() async throws {
  let engine = FluidAudioEngine()
  await #expect(throws: EngineError.wrongState("load a model first")) {
    try await engine.transcribe([Float](repeating: 0, count: 16_000), Contract())
  }
  try await engine.unload()
}
