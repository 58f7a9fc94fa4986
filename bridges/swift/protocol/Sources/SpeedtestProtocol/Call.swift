import Foundation

/// A line that is not a call. The answer repeats `id`: JSON, `null` if the line has none.
struct RefusedLine: Error, Equatable {
  var code: Int
  var className: String
  var message: String
  var id = Call.null

  static func parseError(_ message: String) -> RefusedLine {
    RefusedLine(code: -32700, className: "ParseError", message: message)
  }

  static func invalidRequest(_ message: String, id: [UInt8]) -> RefusedLine {
    RefusedLine(code: -32600, className: "InvalidRequest", message: message, id: id)
  }

  static func methodNotFound(_ method: String, id: [UInt8]) -> RefusedLine {
    RefusedLine(
      code: -32601, className: "MethodNotFound", message: "no method \(method.cut(to: 80))", id: id)
  }
}

/// One call: an object of JSON-RPC 2.0 on a line.
struct Call: Equatable {
  static let null = Array("null".utf8)

  /// The id as written, so that the answer repeats every digit; `nil`: no answer.
  var id: [UInt8]?
  var method: String
  /// JSON of the parameters; an object, if they are right.
  var params: Data

  /// Throws ``RefusedLine``.
  init(_ line: [UInt8]) throws {
    guard String(bytes: line, encoding: .utf8) != nil else {
      throw RefusedLine.parseError("the line is not UTF-8")
    }
    var scanner = JSONScanner(line)
    guard let members = try scanner.scan() else {
      throw RefusedLine.invalidRequest("not an object", id: Self.null)
    }
    if let found = members["id"] {
      // Any other value could not be matched, and might not fit into a line.
      guard found.count <= Limits.id, let first = found.first, !"[{tf".utf8.contains(first) else {
        throw RefusedLine.invalidRequest("an id is a number, a text or null", id: Self.null)
      }
      id = Array(found)
    }
    guard let name = members["method"],
      let method = try? JSONDecoder().decode(String.self, from: Data(name))
    else { throw RefusedLine.invalidRequest("not a call: no method", id: id ?? Self.null) }
    self.method = method
    let given = members["params"].map(Array.init) ?? Self.null
    params = given == Self.null ? Data("{}".utf8) : Data(given)
  }

  /// The parameters as a type; throws ``EngineError/invalidParams(_:)``.
  func decoded<Params: Decodable>(_: Params.Type = Params.self) throws -> Params {
    guard params.first == UInt8(ascii: "{") else {
      throw EngineError.invalidParams("\(method): params is not an object")
    }
    do {
      return try JSONDecoder().decode(Params.self, from: params)
    } catch let error as DecodingError {
      throw EngineError.invalidParams("\(method): \(error.problem)")
    }
  }
}

extension DecodingError {
  /// What was wrong, with the path of the parameter.
  fileprivate var problem: String {
    switch self {
    case .keyNotFound(let key, let context):
      "\(Self.path(context.codingPath + [key])) is missing"
    case .valueNotFound(_, let context):
      "\(Self.path(context.codingPath)) is null"
    case .typeMismatch(let type, let context):
      "\(Self.path(context.codingPath)) is not of the type \(type)"
    case .dataCorrupted(let context):
      "\(Self.path(context.codingPath)): \(context.debugDescription)"
    @unknown default:
      String(describing: self)
    }
  }

  private static func path(_ keys: [any CodingKey]) -> String {
    keys.isEmpty ? "params" : keys.map(\.stringValue).joined(separator: ".")
  }
}

/// Checks that bytes are one JSON value, and finds the members if it is an object.
///
/// Foundation's decoder recurses and does not keep numbers as written, so this check comes first.
private struct JSONScanner {
  private let bytes: [UInt8]
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The members with the bytes of their values; `nil` if the value is not an object.
  mutating func scan() throws -> [String: ArraySlice<UInt8>]? {
    skipSpace()
    var members: [String: ArraySlice<UInt8>]?
    if next == UInt8(ascii: "{") {
      var found: [String: ArraySlice<UInt8>] = [:]
      try object(depth: 1) { found[$0] = $1 }
      members = found
    } else {
      try value(depth: 0)
    }
    skipSpace()
    guard at == bytes.count else { throw unexpected() }
    return members
  }

  private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  private func unexpected() -> RefusedLine {
    let found = next.map { "byte \($0)" } ?? "the end"
    return .parseError("not JSON: \(found) at \(at)")
  }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { at += 1 }
  }

  private mutating func take(_ expected: Unicode.Scalar) throws {
    guard next == UInt8(ascii: expected) else { throw unexpected() }
    at += 1
  }

  /// Consumes this byte if it comes next; returns whether it did.
  private mutating func took(_ expected: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: expected) else { return false }
    at += 1
    return true
  }

  private mutating func value(depth: Int) throws {
    switch next {
    case UInt8(ascii: "{"): try object(depth: depth + 1)
    case UInt8(ascii: "["): try array(depth: depth + 1)
    case UInt8(ascii: "\""): try text()
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    default: try number()
    }
  }

  private func check(_ depth: Int) throws {
    guard depth <= Limits.depth else {
      throw RefusedLine.parseError("nested deeper than \(Limits.depth) levels")
    }
  }

  private mutating func object(
    depth: Int, member: (String, ArraySlice<UInt8>) -> Void = { _, _ in }
  ) throws {
    try check(depth)
    try take("{")
    skipSpace()
    if took("}") { return }
    repeat {
      skipSpace()
      let key = at
      try text()
      let name = bytes[key..<at]
      skipSpace()
      try take(":")
      skipSpace()
      let start = at
      try value(depth: depth)
      if depth == 1, let decoded = try? JSONDecoder().decode(String.self, from: Data(name)) {
        member(decoded, bytes[start..<at])
      }
      skipSpace()
    } while took(",")
    try take("}")
  }

  private mutating func array(depth: Int) throws {
    try check(depth)
    try take("[")
    skipSpace()
    if took("]") { return }
    repeat {
      skipSpace()
      try value(depth: depth)
      skipSpace()
    } while took(",")
    try take("]")
  }

  private mutating func text() throws {
    try take("\"")
    while let byte = next, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw unexpected() }
      at += 1
      guard byte == UInt8(ascii: "\\") else { continue }
      guard let escaped = next, "\"\\/bfnrtu".utf8.contains(escaped) else { throw unexpected() }
      at += 1
      if escaped == UInt8(ascii: "u") {
        for _ in 0..<4 {
          guard let digit = next, Character(Unicode.Scalar(digit)).isHexDigit else { throw unexpected() }
          at += 1
        }
      }
    }
    try take("\"")
  }

  private mutating func word(_ letters: String) throws {
    for letter in letters.unicodeScalars { try take(letter) }
  }

  private mutating func number() throws {
    _ = took("-")
    if !took("0") { try digits() }
    if took(".") { try digits() }
    if took("e") || took("E") {
      if !took("+") { _ = took("-") }
      try digits()
    }
  }

  private mutating func digits() throws {
    guard let first = next, isDigit(first) else { throw unexpected() }
    while let digit = next, isDigit(digit) { at += 1 }
  }

  private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
