// Declarations only. Values are kept, so that a bridge's mapping can be tested on any system.
import Foundation

@frozen
public enum DecodingTask: Codable, CustomStringConvertible, CaseIterable, Sendable {
  case transcribe
  case translate

  public var description: String { self == .transcribe ? "transcribe" : "translate" }
}

@frozen
public enum ChunkingStrategy: String, Codable, CaseIterable {
  case none
  case vad
}

@frozen
public enum Constants {
  public static let maxTokenContext = Int(448 / 2)
}

/// Errors; reading `errorDescription` logs.
@frozen
public enum WhisperError: Error, LocalizedError, Equatable {
  case tokenizerUnavailable(String = "Tokenizer is unavailable")
  case modelsUnavailable(String = "Models are unavailable")
  case audioProcessingFailed(String = "Audio processing failed")
  case decodingLogitsFailed(String = "Unable to decode logits from the model output")
  case segmentingFailed(String = "Creating segments failed")
  case loadAudioFailed(String = "Load audio failed")
  case prepareDecoderInputsFailed(String = "Prepare decoder inputs failed")
  case transcriptionFailed(String = "Transcription failed")
  case decodingFailed(String = "Decoding failed")
  case microphoneUnavailable(String = "No available microphone to record or stream")
  case initializationError(String = "Error initializing WhisperKit")

  public var errorDescription: String? { fatalError("declaration only") }
}

/// The transcript of one recording, or of one chunk of it.
open class TranscriptionResult: Codable, @unchecked Sendable {
  public var text: String
  public var segments: [TranscriptionSegment]
  public var language: String
  public var timings: TranscriptionTimings
  public var seekTime: Float?

  public init(
    text: String,
    segments: [TranscriptionSegment],
    language: String,
    timings: TranscriptionTimings,
    seekTime: Float? = nil
  ) {
    self.text = text
    self.segments = segments
    self.language = language
    self.timings = timings
    self.seekTime = seekTime
  }
}

/// A stretch of text; `seek` in samples, `start` and `end` in seconds.
public struct TranscriptionSegment: Hashable, Codable, Sendable {
  public var id: Int
  public var seek: Int
  public var start: Float
  public var end: Float
  public var text: String
  public var tokens: [Int]
  public var tokenLogProbs: [[Int: Float]]
  public var temperature: Float
  public var avgLogprob: Float
  public var compressionRatio: Float
  public var noSpeechProb: Float
  public var words: [WordTiming]?

  public init(
    id: Int = 0,
    seek: Int = 0,
    start: Float = 0.0,
    end: Float = 0.0,
    text: String = "",
    tokens: [Int] = [],
    tokenLogProbs: [[Int: Float]] = [[:]],
    temperature: Float = 1.0,
    avgLogprob: Float = 0.0,
    compressionRatio: Float = 1.0,
    noSpeechProb: Float = 0.0,
    words: [WordTiming]? = nil
  ) {
    self.id = id
    self.seek = seek
    self.start = start
    self.end = end
    self.text = text
    self.tokens = tokens
    self.tokenLogProbs = tokenLogProbs
    self.temperature = temperature
    self.avgLogprob = avgLogprob
    self.compressionRatio = compressionRatio
    self.noSpeechProb = noSpeechProb
    self.words = words
  }
}

public struct WordTiming: Hashable, Codable, Sendable {}

public struct TranscriptionProgress: Sendable {}

public typealias SegmentDiscoveryCallback = @Sendable (_ segments: [TranscriptionSegment]) -> Void

public typealias TranscriptionCallback = @Sendable (TranscriptionProgress) -> Bool?

/// Seconds per stage.
public struct TranscriptionTimings: Codable, Sendable {
  public var inputAudioSeconds: TimeInterval
  public var modelLoading: TimeInterval
  public var prewarmLoadTime: TimeInterval
  public var encoderLoadTime: TimeInterval
  public var decoderLoadTime: TimeInterval
  public var encoderSpecializationTime: TimeInterval
  public var decoderSpecializationTime: TimeInterval
  public var tokenizerLoadTime: TimeInterval
  public var audioLoading: TimeInterval
  public var audioProcessing: TimeInterval
  public var logmels: TimeInterval
  public var encoding: TimeInterval
  public var decodingInit: TimeInterval
  public var decodingLoop: TimeInterval
  public var decodingPredictions: TimeInterval
  public var decodingFiltering: TimeInterval
  public var decodingSampling: TimeInterval
  public var decodingFallback: TimeInterval
  public var decodingWindowing: TimeInterval
  public var decodingKvCaching: TimeInterval
  public var decodingWordTimestamps: TimeInterval
  public var decodingNonPrediction: TimeInterval
  public var totalAudioProcessingRuns: Double
  public var totalLogmelRuns: Double
  public var totalEncodingRuns: Double
  public var totalDecodingLoops: Double
  public var totalKVUpdateRuns: Double
  public var totalTimestampAlignmentRuns: Double
  public var totalDecodingFallbacks: Double
  public var totalDecodingWindows: Double
  public var fullPipeline: TimeInterval

  public init(
    modelLoading: TimeInterval = 0,
    prewarmLoadTime: TimeInterval = 0,
    encoderLoadTime: TimeInterval = 0,
    decoderLoadTime: TimeInterval = 0,
    encoderSpecializationTime: TimeInterval = 0,
    decoderSpecializationTime: TimeInterval = 0,
    tokenizerLoadTime: TimeInterval = 0,
    audioLoading: TimeInterval = 0,
    audioProcessing: TimeInterval = 0,
    logmels: TimeInterval = 0,
    encoding: TimeInterval = 0,
    decodingInit: TimeInterval = 0,
    decodingLoop: TimeInterval = 0,
    decodingPredictions: TimeInterval = 0,
    decodingFiltering: TimeInterval = 0,
    decodingSampling: TimeInterval = 0,
    decodingFallback: TimeInterval = 0,
    decodingWindowing: TimeInterval = 0,
    decodingKvCaching: TimeInterval = 0,
    decodingTimestampAlignment: TimeInterval = 0,
    decodingNonPrediction: TimeInterval = 0,
    totalAudioProcessingRuns: Double = 0,
    totalLogmelRuns: Double = 0,
    totalEncodingRuns: Double = 0,
    totalDecodingLoops: Double = 0,
    totalKVUpdateRuns: Double = 0,
    totalTimestampAlignmentRuns: Double = 0,
    totalDecodingFallbacks: Double = 0,
    totalDecodingWindows: Double = 0,
    fullPipeline: TimeInterval = 0
  ) {
    self.inputAudioSeconds = 0.001
    self.modelLoading = modelLoading
    self.prewarmLoadTime = prewarmLoadTime
    self.encoderLoadTime = encoderLoadTime
    self.decoderLoadTime = decoderLoadTime
    self.encoderSpecializationTime = encoderSpecializationTime
    self.decoderSpecializationTime = decoderSpecializationTime
    self.tokenizerLoadTime = tokenizerLoadTime
    self.audioLoading = audioLoading
    self.audioProcessing = audioProcessing
    self.logmels = logmels
    self.encoding = encoding
    self.decodingInit = decodingInit
    self.decodingLoop = decodingLoop
    self.decodingPredictions = decodingPredictions
    self.decodingFiltering = decodingFiltering
    self.decodingSampling = decodingSampling
    self.decodingFallback = decodingFallback
    self.decodingWindowing = decodingWindowing
    self.decodingKvCaching = decodingKvCaching
    self.decodingWordTimestamps = decodingTimestampAlignment
    self.decodingNonPrediction = decodingNonPrediction
    self.totalAudioProcessingRuns = totalAudioProcessingRuns
    self.totalLogmelRuns = totalLogmelRuns
    self.totalEncodingRuns = totalEncodingRuns
    self.totalDecodingLoops = totalDecodingLoops
    self.totalKVUpdateRuns = totalKVUpdateRuns
    self.totalTimestampAlignmentRuns = totalTimestampAlignmentRuns
    self.totalDecodingFallbacks = totalDecodingFallbacks
    self.totalDecodingWindows = totalDecodingWindows
    self.fullPipeline = fullPipeline
  }
}
