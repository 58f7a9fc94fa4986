import Foundation
import Speech
import SpeedtestProtocol

/// This release of the system; its networks are a part of it.
enum System {
  static var release: String {
    let version = ProcessInfo.processInfo.operatingSystemVersion
    return "\(version.majorVersion).\(version.minorVersion).\(version.patchVersion)"
  }

  static var build: String { build(in: ProcessInfo.processInfo.operatingSystemVersionString) }

  /// `25A354` of `Version 26.0 (Build 25A354)`; the whole text if it has another form.
  static func build(in text: String) -> String {
    guard let found = text.firstMatch(of: #/\(Build ([0-9A-Za-z]+)\)/#) else { return text }
    return String(found.1)
  }
}

/// A locale in this tool's form, `en-US`, from any form of the system's (`en_US`, `zh_Hans_CN`).
struct LocaleName: Hashable, Sendable, Comparable, CustomStringConvertible {
  let language: String
  let region: String

  /// `nil` if the locale has no language or no region.
  init?(_ locale: Locale) {
    guard let language = locale.language.languageCode?.identifier, let region = locale.region?.identifier
    else { return nil }
    self.language = language
    self.region = region
  }

  /// A locale such as `en-us`, in any case; `nil` for other texts.
  init?(_ text: Substring) {
    guard let found = text.wholeMatch(of: #/([A-Za-z]{2,3})-([A-Za-z]{2}|[0-9]{3})/#) else { return nil }
    language = found.1.lowercased()
    region = found.2.uppercased()
  }

  var description: String { "\(language)-\(region)" }
  static func < (one: Self, other: Self) -> Bool { one.description < other.description }
}

/// What the system reports about the assets of its transcriber.
struct LocaleAssets: Sendable {
  /// Why there is no transcriber; `nil` if there is one.
  var reason: String?
  var supported: [Locale] = []
  var installed: [Locale] = []
  /// The locales that programs have reserved, and the limit: the system has one table for all programs.
  var reserved: [Locale] = []
  var mostReserved = 0

  @available(macOS 26.0, *)
  static func current() async -> LocaleAssets {
    guard SpeechTranscriber.isAvailable else {
      return LocaleAssets(reason: "SpeechTranscriber is not available on this machine")
    }
    let supported = await SpeechTranscriber.supportedLocales
    guard !supported.isEmpty else {
      return LocaleAssets(
        reason: "SpeechTranscriber supports no locale on this machine; virtual machines and Intel have none")
    }
    return LocaleAssets(
      supported: supported, installed: await SpeechTranscriber.installedLocales,
      reserved: await AssetInventory.reservedLocales, mostReserved: AssetInventory.maximumReservedLocales)
  }

  /// Releases a reservation, so that the system may remove the assets later.
  ///
  /// The system compares identifiers in its own form, so its own object is passed back.
  @available(macOS 26.0, *)
  @discardableResult
  static func release(_ locale: Locale) async -> Bool {
    let reserved = await AssetInventory.reservedLocales
    guard let found = reserved.first(where: { LocaleName($0) == LocaleName(locale) }) else { return false }
    return await AssetInventory.release(reservedLocale: found)
  }

  /// Whether the locale must be reserved before use.
  func needsReservation(_ locale: Locale) throws -> Bool {
    if reserved.contains(where: { LocaleName($0) == LocaleName(locale) }) { return false }
    guard reserved.count < mostReserved else {
      let all = Self.names(reserved).map { "apple-speech-\($0.lowercased())" }.joined(separator: ", ")
      throw EngineError.unavailable(
        "macOS lets programs reserve \(mostReserved) locales, no more: speedtest models remove one of \(all)")
    }
    return true
  }

  /// The installed locale of `apple-speech-en-us`, as the system lists it.
  ///
  /// Only the lists count: `supportedLocale(equivalentTo:)` returns locales that do not work.
  func locale(ofModel model: String) throws -> Locale {
    let prefix = "apple-speech-"
    guard model.hasPrefix(prefix), let name = LocaleName(model.dropFirst(prefix.count)) else {
      throw EngineError.modelUnusable("\(model) is no \(prefix)LANGUAGE-REGION, such as \(prefix)en-us")
    }
    let known = try supportedLocale(name)
    guard let found = installed.first(where: { LocaleName($0) == name }) else {
      throw EngineError.modelUnusable(
        "the assets of \(known.identifier) are not installed: speedtest models pull \(model)")
    }
    return found
  }

  /// The locale of that name in the system's list of all that it can install.
  func supportedLocale(_ name: LocaleName) throws -> Locale {
    if let reason { throw EngineError.unavailable(reason) }
    guard let found = supported.first(where: { LocaleName($0) == name }) else {
      let all = Self.names(supported).joined(separator: ", ")
      throw EngineError.modelUnusable("macOS \(System.release) does not support \(name); it supports \(all)")
    }
    return found
  }

  /// One line of JSON.
  func json(build: String, release: String) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let report = AssetsReport(
      available: reason == nil, reason: reason, build: build, macos: release,
      supported: Self.names(supported), installed: Self.names(installed), reserved: Self.names(reserved))
    return String(decoding: try encoder.encode(report), as: UTF8.self)
  }

  private static func names(_ locales: [Locale]) -> [String] {
    Set(locales.compactMap(LocaleName.init(_:))).sorted().map(\.description)
  }
}

/// The output of `assets`, `install` and `release`.
private struct AssetsReport: Encodable {
  let schema_version = 1
  let available: Bool
  let reason: String?
  let build: String
  let macos: String
  let supported: [String]
  let installed: [String]
  let reserved: [String]
}
