// Declarations only. Values are kept, so that a bridge's mapping can be tested on any system.
import Foundation

public protocol AudioProcessing {}
public protocol FeatureExtracting {}
public protocol AudioEncoding {}
public protocol TextDecoding {}
public protocol LogitsFiltering {}
public protocol SegmentSeeking {}
open class VoiceActivityDetector: @unchecked Sendable {}
public struct AudioInputOptions: Sendable {}

/// What to load, from where, and how.
open class WhisperKitConfig {
  public var modelFolder: String?
  public var tokenizerFolder: URL?
  public var computeOptions: ModelComputeOptions?
  public var verbose: Bool
  public var logLevel: Logging.LogLevel
  public var prewarm: Bool?
  public var load: Bool?
  public var download: Bool

  public init(
    model: String? = nil,
    downloadBase: URL? = nil,
    modelRepo: String? = nil,
    modelToken: String? = nil,
    modelEndpoint: String? = nil,
    modelFolder: String? = nil,
    tokenizerFolder: URL? = nil,
    computeOptions: ModelComputeOptions? = nil,
    audioInputConfig: AudioInputOptions? = nil,
    audioProcessor: (any AudioProcessing)? = nil,
    featureExtractor: (any FeatureExtracting)? = nil,
    audioEncoder: (any AudioEncoding)? = nil,
    textDecoder: (any TextDecoding)? = nil,
    logitsFilters: [any LogitsFiltering]? = nil,
    segmentSeeker: (any SegmentSeeking)? = nil,
    voiceActivityDetector: VoiceActivityDetector? = nil,
    verbose: Bool = true,
    logLevel: Logging.LogLevel = .info,
    prewarm: Bool? = nil,
    load: Bool? = nil,
    download: Bool = true,
    useBackgroundDownloadSession: Bool = false
  ) {
    self.modelFolder = modelFolder
    self.tokenizerFolder = tokenizerFolder
    self.computeOptions = computeOptions
    self.verbose = verbose
    self.logLevel = logLevel
    self.prewarm = prewarm
    self.load = load
    self.download = download
  }
}

/// How to decode.
public struct DecodingOptions: Codable, Sendable {
  public var verbose: Bool
  public var task: DecodingTask
  public var language: String?
  public var temperature: Float
  public var temperatureIncrementOnFallback: Float
  public var temperatureFallbackCount: Int
  public var sampleLength: Int
  public var topK: Int
  public var usePrefillPrompt: Bool
  public var detectLanguage: Bool
  public var skipSpecialTokens: Bool
  public var withoutTimestamps: Bool
  public var wordTimestamps: Bool
  public var maxInitialTimestamp: Float?
  public var maxWindowSeek: Int?
  public var clipTimestamps: [Float]
  public var windowClipTime: Float
  public var promptTokens: [Int]?
  public var prefixTokens: [Int]?
  public var suppressBlank: Bool
  public var suppressTokens: [Int]
  public var compressionRatioThreshold: Float?
  public var logProbThreshold: Float?
  public var firstTokenLogProbThreshold: Float?
  public var noSpeechThreshold: Float?
  public var concurrentWorkerCount: Int
  public var chunkingStrategy: ChunkingStrategy?

  public init(
    verbose: Bool = false,
    task: DecodingTask = .transcribe,
    language: String? = nil,
    temperature: Float = 0.0,
    temperatureIncrementOnFallback: Float = 0.2,
    temperatureFallbackCount: Int = 5,
    sampleLength: Int = Constants.maxTokenContext,
    topK: Int = 5,
    usePrefillPrompt: Bool = true,
    detectLanguage: Bool? = nil,
    skipSpecialTokens: Bool = false,
    withoutTimestamps: Bool = false,
    wordTimestamps: Bool = false,
    maxInitialTimestamp: Float? = nil,
    maxWindowSeek: Int? = nil,
    clipTimestamps: [Float] = [],
    windowClipTime: Float = 1.0,
    promptTokens: [Int]? = nil,
    prefixTokens: [Int]? = nil,
    suppressBlank: Bool = false,
    suppressTokens: [Int]? = nil,
    compressionRatioThreshold: Float? = 2.4,
    logProbThreshold: Float? = -1.0,
    firstTokenLogProbThreshold: Float? = -1.5,
    noSpeechThreshold: Float? = 0.6,
    concurrentWorkerCount: Int? = nil,
    chunkingStrategy: ChunkingStrategy? = nil
  ) {
    self.verbose = verbose
    self.task = task
    self.language = language
    self.temperature = temperature
    self.temperatureIncrementOnFallback = temperatureIncrementOnFallback
    self.temperatureFallbackCount = temperatureFallbackCount
    self.sampleLength = sampleLength
    self.topK = topK
    self.usePrefillPrompt = usePrefillPrompt
    self.detectLanguage = detectLanguage ?? !usePrefillPrompt
    self.skipSpecialTokens = skipSpecialTokens
    self.withoutTimestamps = withoutTimestamps
    self.wordTimestamps = wordTimestamps
    self.maxInitialTimestamp = maxInitialTimestamp
    self.maxWindowSeek = maxWindowSeek
    self.clipTimestamps = clipTimestamps
    self.windowClipTime = windowClipTime
    self.promptTokens = promptTokens
    self.prefixTokens = prefixTokens
    self.suppressBlank = suppressBlank
    self.suppressTokens = suppressTokens ?? []
    self.compressionRatioThreshold = compressionRatioThreshold
    self.logProbThreshold = logProbThreshold
    self.firstTokenLogProbThreshold = firstTokenLogProbThreshold
    self.noSpeechThreshold = noSpeechThreshold
    self.concurrentWorkerCount = concurrentWorkerCount ?? 16  // what a Mac gets
    self.chunkingStrategy = chunkingStrategy
  }
}
