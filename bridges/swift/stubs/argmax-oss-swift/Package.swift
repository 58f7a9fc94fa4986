// swift-tools-version: 6.0
import PackageDescription

// Argmax's package as a bridge sees it: the same identity, product and modules, and the settings that change
// what a caller may write. Without the alias flag the printed interface takes the module WhisperKit for its
// class of that name. Linux's Foundation is not resilient, and every import of it into a resilient module is a
// warning; nothing else here could warn.
let settings: [SwiftSetting] = [
  .enableUpcomingFeature("InferIsolatedConformances"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .unsafeFlags([
    "-enable-library-evolution", "-Xfrontend", "-alias-module-names-in-module-interface",
    "-Xfrontend", "-suppress-warnings",
  ]),
]
let coreML: Target.Dependency = .product(name: "AppleStubs", package: "apple")

let package = Package(
  name: "argmax-oss-swift",
  platforms: [.macOS(.v13)],
  products: [.library(name: "WhisperKit", targets: ["WhisperKit"])],
  dependencies: [.package(path: "../apple")],
  targets: [
    .target(name: "ArgmaxCore", swiftSettings: settings),
    .target(name: "WhisperKit", dependencies: ["ArgmaxCore", coreML], swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6]
)
