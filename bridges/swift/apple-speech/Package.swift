// swift-tools-version: 6.0
import PackageDescription

// The SDK of macOS 26, which declares SpeechTranscriber, comes with Swift 6.2. With an older one, the errors
// would only be many unknown names.
#if os(macOS) && !compiler(>=6.2)
  #error(
    "apple-speech needs the SDK of macOS 26 (Xcode 26, or its Command Line Tools: xcode-select --install)")
#endif

// On other systems, declarations of public signatures replace Apple's frameworks, so that it compiles.
#if os(macOS)
  let stubs = Context.environment["SPEEDTEST_STUBS"] == "1"
#else
  let stubs = true
#endif
let mode: SwiftLanguageMode = Context.environment["SPEEDTEST_SWIFT_MODE"] == "6" ? .v6 : .v5

let package = Package(
  name: "apple-speech",
  platforms: [.macOS(.v14)],
  products: [.executable(name: "speedtest-apple-speech", targets: ["speedtest-apple-speech"])],
  dependencies: [.package(path: "../protocol")] + (stubs ? [.package(path: "../stubs/apple")] : []),
  targets: [
    .executableTarget(
      name: "speedtest-apple-speech",
      dependencies: [.product(name: "SpeedtestProtocol", package: "protocol")]
        + (stubs ? [.product(name: "AppleStubs", package: "apple")] : []),
      swiftSettings: [.swiftLanguageMode(mode)],
      // A program without a bundle embeds its Info.plist: the reason why it recognizes speech.
      linkerSettings: [
        .unsafeFlags(
          ["-sectcreate", "__TEXT", "__info_plist", "\(Context.packageDirectory)/Info.plist"]
            .flatMap { ["-Xlinker", $0] },
          .when(platforms: [.macOS]))
      ]),
    .testTarget(
      name: "AppleSpeechTests",
      dependencies: ["speedtest-apple-speech"],
      exclude: ["contracts.json"],
      swiftSettings: [.swiftLanguageMode(mode)]),
  ])
