import Foundation
import Speech
import SpeedtestProtocol

/// The requested action.
enum Command: Equatable {
  case serve(ResultsKind)
  case assets
  case install(LocaleName)
  case release(LocaleName)

  static let usage = """
    usage: speedtest-apple-speech [--results final|progressive]   serve the worker protocol
           speedtest-apple-speech assets                          what macOS has, as JSON
           speedtest-apple-speech install LANGUAGE-REGION         have macOS install a locale's assets
           speedtest-apple-speech release LANGUAGE-REGION         let macOS remove them
    """

  /// `nil` if the arguments are not as in `usage`.
  init?(_ arguments: [String]) {
    switch (arguments.count, arguments.first) {
    case (0, _):
      self = .serve(.final)
    case (2, "--results"):
      guard let results = ResultsKind(rawValue: arguments[1]) else { return nil }
      self = .serve(results)
    case (1, "assets"):
      self = .assets
    case (2, "install"):
      guard let name = LocaleName(arguments[1][...]) else { return nil }
      self = .install(name)
    case (2, "release"):
      guard let name = LocaleName(arguments[1][...]) else { return nil }
      self = .release(name)
    default:
      return nil
    }
  }
}

/// The program: a worker, or one of three commands about assets, which print one line of JSON.
enum Program {
  static func run(_ arguments: [String]) async -> Never {
    guard let command = Command(arguments) else {
      say(Command.usage)
      exit(2)
    }
    if #available(macOS 26.0, *) {
      await carryOut(command)
    }
    switch command {
    case .serve: await Worker.serve(NoEngine())
    case .assets: exit(printed(LocaleAssets(reason: tooOld)) ? 0 : 1)
    case .install, .release:
      say(tooOld)
      exit(1)
    }
  }

  @available(macOS 26.0, *)
  private static func carryOut(_ command: Command) async -> Never {
    switch command {
    case .serve(let results):
      await Worker.serve(AppleSpeechEngine(results))
    case .assets:
      exit(printed(await LocaleAssets.current()) ? 0 : 1)
    case .install(let name):
      await finish { try await install(name) }
    case .release(let name):
      await finish {
        await LocaleAssets.release(try await LocaleAssets.current().supportedLocale(name))
      }
    }
  }

  /// Prints the system's assets after `change`, or why that failed.
  @available(macOS 26.0, *)
  private static func finish(_ change: () async throws -> Void) async -> Never {
    do {
      try await change()
    } catch {
      say((error as? EngineError)?.message ?? "\(error)")
      exit(1)
    }
    exit(printed(await LocaleAssets.current()) ? 0 : 1)
  }

  /// Has macOS download and install the assets of a locale, with its progress on stderr.
  @available(macOS 26.0, *)
  private static func install(_ name: LocaleName) async throws {
    let assets = await LocaleAssets.current()
    let locale = try assets.supportedLocale(name)
    _ = try assets.needsReservation(locale)  // the request reserves it, or fails without naming the others
    let transcriber = SpeechTranscriber(
      locale: locale, transcriptionOptions: [], reportingOptions: [], attributeOptions: [.audioTimeRange])
    guard let request = try await AssetInventory.assetInstallationRequest(supporting: [transcriber]) else {
      return  // installed already
    }
    let reporting = Task {
      while !Task.isCancelled {
        say("installing \(name): \(Int(request.progress.fractionCompleted * 100)) %")
        try await Task.sleep(for: .seconds(1))
      }
    }
    defer { reporting.cancel() }
    try await request.downloadAndInstall()
    // It also returns when macOS will retry in the background.
    guard await AssetInventory.status(forModules: [transcriber]) == .installed else {
      throw EngineError.backend(
        "macOS has not installed \(name) yet and continues in the background; check again later")
    }
  }

  private static func printed(_ assets: LocaleAssets) -> Bool {
    guard let line = try? assets.json(build: System.build, release: System.release) else { return false }
    print(line)
    return true
  }

  private static func say(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }
}

private let tooOld = "SpeechTranscriber needs macOS 26 or newer; this is macOS \(System.release)"

/// The engine for systems that are too old for the real one.
private struct NoEngine: Engine {
  static let name = "apple-speech"
  static var version: String { System.build }
  static let versions: [String: String] = [:]

  func load(_ request: LoadRequest) async throws -> Loaded { throw EngineError.unavailable(tooOld) }
  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript {
    throw EngineError.unavailable(tooOld)
  }
  func unload() async throws {}
}
