// swift-tools-version: 6.0
import PackageDescription

// The identity, product, module, tools version and settings (language mode 6, by the tools version)
// of the real package.
let package = Package(
  name: "FluidAudio",
  platforms: [.macOS(.v14)],
  products: [.library(name: "FluidAudio", targets: ["FluidAudio"])],
  dependencies: [.package(path: "../apple")],
  targets: [.target(name: "FluidAudio", dependencies: [.product(name: "AppleStubs", package: "apple")])])
