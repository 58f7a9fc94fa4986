import Foundation

/// A failure with a number of the protocol. The text names the problem and the value.
///
/// Any other error that an engine throws becomes `backend`, with its type and description.
public enum EngineError: Error, Sendable, Equatable {
  /// The engine cannot run here: hardware, system or library is missing.
  case unavailable(String)
  /// The weights are missing, damaged or in a wrong format.
  case modelUnusable(String)
  /// The file is missing, empty, not finite, or of another size or rate.
  case audioUnusable(String)
  /// An allocation failed.
  case outOfMemory(String)
  /// Any other error of the engine.
  case backend(String)
  /// `load` before `hello`, `transcribe` or `unload` before `load`.
  case wrongState(String)
  /// A parameter is missing, of the wrong type, or has a value the engine does not know.
  case invalidParams(String)

  /// The protocol's number for it.
  public var code: Int { kind.code }
  /// What was wrong.
  public var message: String { kind.message }

  var className: String { kind.name }

  private var kind: (code: Int, name: String, message: String) {
    switch self {
    case .unavailable(let message): (-32001, "Unavailable", message)
    case .modelUnusable(let message): (-32002, "ModelUnusable", message)
    case .audioUnusable(let message): (-32003, "AudioUnusable", message)
    case .outOfMemory(let message): (-32004, "OutOfMemory", message)
    case .backend(let message): (-32005, "BackendError", message)
    case .wrongState(let message): (-32006, "WrongState", message)
    case .invalidParams(let message): (-32602, "InvalidParams", message)
    }
  }
}

/// The error object of an answer.
struct ErrorObject: Encodable, Equatable {
  var code: Int
  var message: String
  var data: Details

  struct Details: Encodable, Equatable {
    var errorClass: String
    var traceback: String

    private enum CodingKeys: String, CodingKey {
      case traceback
      case errorClass = "error_class"
    }
  }

  init(code: Int, message: String, errorClass: String, traceback: String = "") {
    self.code = code
    self.message = message.isEmpty ? errorClass : message.cut(to: Limits.message)
    data = Details(
      errorClass: errorClass.cut(to: Limits.name), traceback: traceback.cut(to: Limits.traceback))
  }

  /// The answer to any error of an engine.
  init(_ error: any Error) {
    switch error {
    case let failure as EngineError:
      self.init(code: failure.code, message: failure.message, errorClass: failure.className)
    case let refused as RefusedLine:
      self.init(code: refused.code, message: refused.message, errorClass: refused.className)
    default:
      // Libraries describe an error in `errorDescription`, and name it in the value itself.
      let described = (error as? any LocalizedError)?.errorDescription ?? String(describing: error)
      let whole = "\(described) \(error)".lowercased()
      let memory = Self.memoryWords.contains { whole.contains($0) }
      self.init(
        code: memory ? -32004 : -32005, message: described,
        errorClass: String(describing: type(of: error)), traceback: String(reflecting: error))
    }
  }

  /// Words in the errors of Core ML, Metal and C++ about failed allocations.
  private static let memoryWords = [
    "out of memory", "bad_alloc", "failed to allocate", "insufficient memory",
  ]
}
