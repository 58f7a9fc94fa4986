// Declarations only, so that a bridge type-checks where there is no Core ML.
@_exported import ArgmaxCore
import CoreML
import Foundation

/// A pipeline of models; neither an actor nor Sendable.
open class WhisperKit {
  public var modelCompute: ModelComputeOptions
  public var tokenizer: WhisperTokenizer?
  public private(set) var currentTimings: TranscriptionTimings
  public var segmentDiscoveryCallback: SegmentDiscoveryCallback?

  public init(_ config: WhisperKitConfig = WhisperKitConfig()) async throws { fatalError("declaration only") }

  open func unloadModels() async { fatalError("declaration only") }

  open func transcribe(
    audioArray: [Float],
    decodeOptions: DecodingOptions? = nil,
    callback: TranscriptionCallback? = nil,
    segmentCallback: SegmentDiscoveryCallback? = nil
  ) async throws -> [TranscriptionResult] { fatalError("declaration only") }
}

/// Where each of the three networks may run.
public struct ModelComputeOptions: Sendable {
  public var melCompute: MLComputeUnits
  public var audioEncoderCompute: MLComputeUnits
  public var textDecoderCompute: MLComputeUnits

  public init(
    melCompute: MLComputeUnits = .cpuAndGPU,
    audioEncoderCompute: MLComputeUnits? = nil,
    textDecoderCompute: MLComputeUnits = .cpuAndNeuralEngine
  ) {
    self.melCompute = melCompute
    // What macOS 14 and newer gets; on macOS 13 it is the GPU.
    self.audioEncoderCompute = audioEncoderCompute ?? .cpuAndNeuralEngine
    self.textDecoderCompute = textDecoderCompute
  }
}

/// The tokens that are no text.
public struct SpecialTokens: Sendable {
  public let endToken: Int
  public let englishToken: Int
  public let noSpeechToken: Int
  public let noTimestampsToken: Int
  public let specialTokenBegin: Int
  public let startOfPreviousToken: Int
  public let startOfTranscriptToken: Int
  public let timeTokenBegin: Int
  public let transcribeToken: Int
  public let translateToken: Int
  public let whitespaceToken: Int

  public init(
    endToken: Int,
    englishToken: Int,
    noSpeechToken: Int,
    noTimestampsToken: Int,
    specialTokenBegin: Int,
    startOfPreviousToken: Int,
    startOfTranscriptToken: Int,
    timeTokenBegin: Int,
    transcribeToken: Int,
    translateToken: Int,
    whitespaceToken: Int
  ) {
    self.endToken = endToken
    self.englishToken = englishToken
    self.noSpeechToken = noSpeechToken
    self.noTimestampsToken = noTimestampsToken
    self.specialTokenBegin = specialTokenBegin
    self.startOfPreviousToken = startOfPreviousToken
    self.startOfTranscriptToken = startOfTranscriptToken
    self.timeTokenBegin = timeTokenBegin
    self.transcribeToken = transcribeToken
    self.translateToken = translateToken
    self.whitespaceToken = whitespaceToken
  }
}

public protocol WhisperTokenizer {
  func convertTokenToId(_ token: String) -> Int?
  func convertIdToToken(_ id: Int) -> String?
  var specialTokens: SpecialTokens { get }
  var allLanguageTokens: Set<Int> { get }
}
