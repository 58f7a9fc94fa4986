import Foundation
import Testing

@testable import SpeedtestProtocol

private func call(_ line: String) throws -> Call { try Call(Array(line.utf8)) }

/// The error of a line that is no call.
private func refusal(_ line: [UInt8]) -> RefusedLine? {
  do {
    _ = try Call(line)
    return nil
  } catch { return error as? RefusedLine }
}

private func refusal(_ line: String) -> RefusedLine? { refusal(Array(line.utf8)) }

@Test(arguments: [
  "1", "0", "-7", "9223372036854775808", "123456789012345678901234567890", "1.50", "1e400", "null",
  #""a\u00e9\n""#, #""""#,
])
func anIdIsRepeatedAsItWasWritten(id: String) throws {
  let read = try call(#"{"jsonrpc":"2.0","id": \#(id) ,"method":"hello","params":{}}"#)
  #expect(read.id == Array(id.utf8))
}

@Test func aCallWithoutAnIdIsANotification() throws {
  #expect(try call(#"{"method":"hello"}"#).id == nil)
}

@Test func keysAreReadAsJSONAndTheLastOfTwoCounts() throws {
  let read = try call(#"{"\u0069d":1,"id":2,"method":"load","method":"h\u0065llo","x":{"id":3}}"#)
  #expect(read.id == Array("2".utf8))
  #expect(read.method == "hello")
}

@Test(arguments: [#"{"method":"m"}"#, #"{"method":"m","params":null}"#, #"{"params":{},"method":"m"}"#])
func parametersMayBeMissingOrNull(line: String) throws {
  #expect(try call(line).params == Data("{}".utf8))
}

@Test(arguments: [
  "", " ", "\r", "{", "}", "[1,]", "[1 2]", #"{"a":1,}"#, #"{"a" 1}"#, #"{a:1}"#, #"{"a":1} {"b":2}"#,
  "01", "-", "1.", ".5", "+1", "1e", "0x1", "NaN", "Infinity", "tru", "nul", "'a'", #""a"#,
  #""\x""#, #""\u12g4""#, "\"a\tb\"", #"{"jsonrpc": "2.0", "id": "#, "\u{FEFF}{}", "{}\0",
])
func whatIsNotJSONIsAParseErrorWithIdNull(line: String) throws {
  let refused = try #require(refusal(line))
  #expect(refused.code == -32700)
  #expect(refused.id == Call.null)
}

@Test(arguments: [[0xFF], [0x22, 0xC3, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0xFF, 0xFE, 0x7B, 0]])
func whatIsNotUTF8IsAParseError(line: [UInt8]) {
  #expect(refusal(line)?.code == -32700)
}

@Test func nestingIsBounded() throws {
  func nested(_ levels: Int) -> String {
    #"{"method":"m","x":"# + String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
      + "}"
  }
  #expect(try call(nested(63)).method == "m")
  #expect(refusal(nested(64))?.code == -32700)
  #expect(refusal(String(repeating: "[", count: 1_000_000))?.message == "nested deeper than 64 levels")
  #expect(refusal(String(repeating: #"{"a":"#, count: 100_000))?.code == -32700)
  // Brackets in a text do not count.
  #expect(try call(#"{"method":"m","x":"\#(String(repeating: "[{\\\"", count: 100))"}"#).method == "m")
}

@Test(arguments: [
  ("[]", "null"), ("5", "null"), ("\"a\"", "null"), ("null", "null"), ("{}", "null"),
  (#"{"id":7}"#, "7"), (#"{"id":"a","method":null}"#, #""a""#), (#"{"id":7,"method":5}"#, "7"),
  (#"{"id":[1],"method":"m"}"#, "null"), (#"{"id":{},"method":"m"}"#, "null"),
  (#"{"id":true,"method":"m"}"#, "null"), (#"{"id":7,"method":"\ud800"}"#, "7"),
])
func whatIsJSONButNoCallIsAnInvalidRequest(line: String, id: String) throws {
  let refused = try #require(refusal(line))
  #expect(refused.code == -32600)
  #expect(String(decoding: refused.id, as: UTF8.self) == id)
}

@Test func anIdThatWouldFillALineIsRefused() {
  let id = String(repeating: "1", count: 2000)
  #expect(refusal(#"{"id":\#(id),"method":"m"}"#)?.code == -32600)
}

@Test(arguments: [
  (#"{"model":{"name":"tiny","path":"/p"}}"#, "load: model.format is missing"),
  (#"{"model":null}"#, "load: model is null"),
  (#"{"model":{"name":"tiny","path":"/p","format":5}}"#, "load: model.format is not of the type String"),
  ("[]", "load: params is not an object"),
])
func aWrongParameterIsNamed(params: String, problem: String) throws {
  struct Params: Decodable { var model: Model }
  let read = try call(#"{"id":1,"method":"load","params":\#(params)}"#)
  let expected = EngineError.invalidParams(problem)
  #expect(throws: expected) { let _: Params = try read.decoded() }
}

@Test func linesAreCutHoweverThePipeCutsThem() {
  var splitter = LineSplitter()
  #expect(splitter.split(Array("ab".utf8)[...]) == [])
  #expect(splitter.split(Array("c\n\nd".utf8)[...]) == [.whole(Array("abc".utf8)), .whole([])])
  #expect(splitter.split(Array("\ne\n".utf8)[...]) == [.whole(Array("d".utf8)), .whole(Array("e".utf8))])
}

@Test func aLineThatIsTooLongIsNotKeptAndTheNextOneIsRead() {
  let longest = Array("123456789".utf8)  // and its newline
  var splitter = LineSplitter(longest: 10)
  #expect(splitter.split((longest + [10])[...]) == [.whole(longest)])
  #expect(splitter.split((longest + [65, 10])[...]) == [.tooLong])
  for _ in 0..<4 { #expect(splitter.split(longest[...]) == []) }
  #expect(splitter.split([10, 66, 10][...]) == [.tooLong, .whole([66])])
}
