// swift-tools-version: 6.0
import PackageDescription

// The real package on a Mac; declarations of the same names without Core ML, or on request.
#if os(macOS)
  let stubs = Context.environment["SPEEDTEST_STUBS"] == "1"
#else
  let stubs = true
#endif

let packages: [Package.Dependency] =
  stubs
  ? [.package(path: "../stubs/FluidAudio"), .package(path: "../stubs/apple")]
  : [.package(url: "https://github.com/FluidInference/FluidAudio", exact: "0.15.6")]
let apple: [Target.Dependency] = stubs ? [.product(name: "AppleStubs", package: "apple")] : []

// Mode 6 checks more, and the tests build with it; mode 5 is what every bridge ships in.
let mode: SwiftLanguageMode = Context.environment["SPEEDTEST_SWIFT_MODE"] == "6" ? .v6 : .v5

// This folder is not called fluidaudio: SwiftPM identifies packages by their folder or address in lower
// case, and would confuse this package with FluidAudio itself.
let package = Package(
  name: "fluid-audio",
  platforms: [.macOS(.v14)],
  products: [.executable(name: "speedtest-fluidaudio", targets: ["speedtest-fluidaudio"])],
  dependencies: [.package(path: "../protocol")] + packages,
  targets: [
    .executableTarget(
      name: "speedtest-fluidaudio",
      dependencies: [
        .product(name: "SpeedtestProtocol", package: "protocol"),
        .product(name: "FluidAudio", package: "FluidAudio"),
      ] + apple),
    .testTarget(
      name: "FluidAudioBridgeTests", dependencies: ["speedtest-fluidaudio"],
      exclude: ["contracts.json"]),
  ],
  swiftLanguageModes: [mode])
