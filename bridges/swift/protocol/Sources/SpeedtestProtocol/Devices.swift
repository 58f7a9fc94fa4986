/// The device that a Core ML engine loads for, in the words of the tool.
///
/// `auto` is the Neural Engine if there is one, else the CPU. A virtual machine has none, and loading for
/// one is known to hang there.
///
/// - Parameters:
///   - word: `auto`, `ane`, `gpu` or `cpu`.
///   - available: the devices of this machine; empty without Core ML.
public func coreMLDevice(_ word: String, among available: Set<String>) throws -> String {
  guard available.contains("cpu") else { throw EngineError.unavailable("there is no Core ML here") }
  let device = word == "auto" ? (available.contains("ane") ? "ane" : "cpu") : word
  guard ["ane", "gpu", "cpu"].contains(device) else {
    throw EngineError.invalidParams("device is \(device), not auto, ane, gpu or cpu")
  }
  guard available.contains(device) else {
    let others = available.sorted().joined(separator: " and ")
    throw EngineError.unavailable("this machine has no \(device) for Core ML, only \(others)")
  }
  return device
}
