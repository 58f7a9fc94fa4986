import Foundation
import Testing

@testable import SpeedtestProtocol

@Test func readsACall() throws {
  let call = try Call(Array(#" {"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1}} "#.utf8))
  #expect(call.method == "hello")
  #expect(call.id == Array("1".utf8))
}
