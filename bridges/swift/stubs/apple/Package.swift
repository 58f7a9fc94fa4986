// swift-tools-version: 6.0
import PackageDescription

// Not resilient, although the SDK's modules are: on Linux, Foundation is not, and importing such a module into a
// resilient one is a warning.
let package = Package(
  name: "apple",
  platforms: [.macOS(.v14)],
  products: [.library(name: "AppleStubs", targets: ["CoreML", "AVFAudio", "CoreMedia", "Speech"])],
  targets: [
    .target(name: "CoreML"),
    .target(name: "CoreMedia"),
    .target(name: "AVFAudio"),
    .target(name: "Speech", dependencies: ["AVFAudio", "CoreMedia"]),
  ])
