import Foundation
import SpeedtestProtocol
import Testing

@testable import speedtest_apple_speech

private let assets = LocaleAssets(
  supported: ["en_US", "de-DE", "zh_Hans_CN", "es_419", "en_US_POSIX"].map(Locale.init(identifier:)),
  installed: [Locale(identifier: "en_US"), Locale(identifier: "zh_Hans_CN")],
  reserved: [Locale(identifier: "en_US"), Locale(identifier: "de_DE")], mostReserved: 2)

@Suite struct Locales {
  @Test(arguments: ["apple-speech-en-us", "apple-speech-EN-US"])
  func theModelNamesTheLocale(_ model: String) throws {
    #expect(try assets.locale(ofModel: model).identifier == "en_US")
  }

  @Test func theSystemsOwnIdentifierIsHandedBack() throws {
    #expect(try assets.locale(ofModel: "apple-speech-zh-cn").identifier == "zh_Hans_CN")
  }

  @Test func assetsThatAreNotInstalledNameTheCommand() {
    let expected = EngineError.modelUnusable(
      "the assets of de-DE are not installed: speedtest models pull apple-speech-de-de")
    #expect(throws: expected) { try assets.locale(ofModel: "apple-speech-de-de") }
  }

  @Test func aLocaleThatIsNotListedIsNotGuessed() throws {
    let error = try #require(throws: EngineError.self) { try assets.locale(ofModel: "apple-speech-en-gb") }
    #expect(error.code == -32002)
    #expect(error.message.contains("does not support en-GB; it supports de-DE, en-US, es-419, zh-CN"))
  }

  @Test(arguments: ["tiny.en", "apple-speech-", "apple-speech-english", "apple-speech-en_us"])
  func anotherNameIsRefused(_ model: String) throws {
    let error = try #require(throws: EngineError.self) { try assets.locale(ofModel: model) }
    #expect(error.code == -32002)
    #expect(error.message.contains(model))
  }

  @Test func withoutATranscriberTheReasonIsSaid() {
    #expect(throws: EngineError.unavailable("a virtual machine")) {
      try LocaleAssets(reason: "a virtual machine").locale(ofModel: "apple-speech-en-us")
    }
  }
}

@Suite struct Reservations {
  @Test(arguments: ["en_US", "en-US", "de-DE"])
  func aLocaleIsReservedOnceHoweverItIsWritten(_ identifier: String) throws {
    #expect(try !assets.needsReservation(Locale(identifier: identifier)))
  }

  @Test func whereAllAreTakenTheyAreNamed() throws {
    let error = try #require(throws: EngineError.self) {
      try assets.needsReservation(Locale(identifier: "zh_Hans_CN"))
    }
    #expect(error.code == -32001)
    #expect(error.message.hasSuffix("models remove one of apple-speech-de-de, apple-speech-en-us"))
  }

  @Test func whereThereIsRoomItIsReserved() throws {
    var roomy = assets
    roomy.mostReserved = 3
    #expect(try roomy.needsReservation(Locale(identifier: "zh_Hans_CN")))
  }
}

@Suite struct Reports {
  @Test func assetsAreOneLineOfJSON() throws {
    #expect(
      try assets.json(build: "25A354", release: "26.0.0")
        == #"{"available":true,"build":"25A354","installed":["en-US","zh-CN"],"macos":"26.0.0","#
        + #""reserved":["de-DE","en-US"],"schema_version":1,"supported":["de-DE","en-US","es-419","zh-CN"]}"#)
  }

  @Test func theReasonIsInIt() throws {
    let line = try LocaleAssets(reason: "no \"such\" thing").json(build: "1", release: "2")
    #expect(line.hasPrefix(#"{"available":false,"build":"1","installed":[],"#))
    #expect(line.contains(#""reason":"no \"such\" thing""#))
  }

  @Test(arguments: zip(["Version 26.0 (Build 25A354)", "Ubuntu 22.04"], ["25A354", "Ubuntu 22.04"]))
  func theBuildIsReadFromTheSystemsText(_ text: String, _ build: String) {
    #expect(System.build(in: text) == build)
  }
}

@Suite struct Commands {
  @Test func areParsed() throws {
    #expect(Command([]) == .serve(.final))
    #expect(Command(["--results", "final"]) == .serve(.final))
    #expect(Command(["--results", "progressive"]) == .serve(.progressive))
    #expect(Command(["assets"]) == .assets)
    let name = try #require(LocaleName(Locale(identifier: "en_US")))
    #expect(Command(["install", "en-us"]) == .install(name))
    #expect(Command(["release", "en-US"]) == .release(name))
    #expect("\(name)" == "en-US")
  }

  @Test(arguments: ["--results", "--results all", "assets x", "install", "install en", "release", "x"])
  func othersAreNot(_ line: String) {
    #expect(Command(line.split(separator: " ").map(String.init)) == nil)
  }
}
