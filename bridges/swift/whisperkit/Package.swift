// swift-tools-version: 6.0
import PackageDescription

// One manifest, two sets of packages: the real one on a Mac, declarations only on other systems.
#if os(macOS)
  let stubs = Context.environment["SPEEDTEST_STUBS"] == "1"
#else
  let stubs = true
#endif
// Mode 6 checks more, and the tests build with it; mode 5 is valid with every toolchain from 6.0 on.
let mode: SwiftLanguageMode = Context.environment["SPEEDTEST_SWIFT_MODE"] == "6" ? .v6 : .v5

let engine: [Package.Dependency] =
  stubs
  ? [.package(path: "../stubs/argmax-oss-swift"), .package(path: "../stubs/apple")]
  : [.package(url: "https://github.com/argmaxinc/argmax-oss-swift", exact: "1.1.0")]
let apple: [Target.Dependency] = stubs ? [.product(name: "AppleStubs", package: "apple")] : []

let package = Package(
  name: "whisperkit",
  platforms: [.macOS(.v14)],
  products: [.executable(name: "speedtest-whisperkit", targets: ["speedtest-whisperkit"])],
  dependencies: [.package(path: "../protocol")] + engine,
  targets: [
    .executableTarget(
      name: "speedtest-whisperkit",
      dependencies: [
        .product(name: "SpeedtestProtocol", package: "protocol"),
        .product(name: "WhisperKit", package: "argmax-oss-swift"),
      ] + apple),
    .testTarget(
      name: "WhisperKitBridgeTests", dependencies: ["speedtest-whisperkit"], exclude: ["contracts.json"]),
  ],
  swiftLanguageModes: [mode])
