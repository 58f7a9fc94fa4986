// Declarations only, so that a bridge type-checks where there is no Core ML.
import Foundation

/// The processing units that a model may use.
public enum MLComputeUnits: Int, Sendable {
  case cpuOnly = 0
  case cpuAndGPU = 1
  case all = 2
  case cpuAndNeuralEngine = 3
}

/// Settings for loading a model.
open class MLModelConfiguration: NSObject {
  open var computeUnits: MLComputeUnits = .all
  open var allowLowPrecisionAccumulationOnGPU: Bool = false
  public override init() {}
}

/// A loaded model.
open class MLModel: NSObject {
  /// Those of this machine: none where there is no Core ML.
  open class var availableComputeDevices: [MLComputeDevice] { [] }

  public convenience init(contentsOf url: URL, configuration: MLModelConfiguration) throws {
    fatalError("declaration only")
  }
}

/// A device that Core ML can compute on.
public enum MLComputeDevice: Sendable {
  case cpu(MLCPUComputeDevice)
  case gpu(MLGPUComputeDevice)
  case neuralEngine(MLNeuralEngineComputeDevice)
}

public final class MLCPUComputeDevice: NSObject, Sendable {}
public final class MLGPUComputeDevice: NSObject, Sendable {}
public final class MLNeuralEngineComputeDevice: NSObject, Sendable {}
