// swift-tools-version: 6.0
import PackageDescription

// Mode 6 checks more, and the tests build with it; mode 5 is what every bridge ships in.
let mode: SwiftLanguageMode = Context.environment["SPEEDTEST_SWIFT_MODE"] == "6" ? .v6 : .v5

let package = Package(
  name: "protocol",
  platforms: [.macOS(.v14)],
  products: [
    .library(name: "SpeedtestProtocol", targets: ["SpeedtestProtocol"]),
    .executable(name: "speedtest-echo", targets: ["speedtest-echo"]),
  ],
  targets: [
    .target(name: "SpeedtestProtocol"),
    .executableTarget(name: "speedtest-echo", dependencies: ["SpeedtestProtocol"]),
    .testTarget(name: "SpeedtestProtocolTests", dependencies: ["SpeedtestProtocol"]),
    .testTarget(name: "EchoTests", dependencies: ["SpeedtestProtocol", "speedtest-echo"]),
  ],
  swiftLanguageModes: [mode])
