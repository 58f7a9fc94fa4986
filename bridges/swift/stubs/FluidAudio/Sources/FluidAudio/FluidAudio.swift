// What the bridge uses of FluidAudio 0.15.6: signatures only. What loads or computes ends the process;
// values hold what they are given, so that mappings can be tested where there is no Core ML.
@preconcurrency import CoreML
import Foundation

// MARK: the network

public enum ModelHub {
  public static var offlineMode: Bool {
    get { isOffline }
    set { isOffline = newValue }
  }

  nonisolated(unsafe) private static var isOffline = false
}

public struct DownloadProgress: Sendable {}

public typealias ProgressHandler = @Sendable (DownloadProgress) -> Void

// MARK: models

public enum AsrModelVersion: Sendable {
  case v2
  case v3
  case tdtCtc110m
  case tdtJa

  public var decoderLayers: Int { fatalError("declaration only") }
}

public enum ParakeetEncoderPrecision: String, Sendable, CaseIterable {
  case int8
  case int4
}

public struct AsrModels: Sendable {
  public static func load(
    from directory: URL,
    configuration: MLModelConfiguration? = nil,
    version: AsrModelVersion = .v3,
    encoderPrecision: ParakeetEncoderPrecision = .int8,
    encoderComputeUnits: MLComputeUnits? = nil,
    progressHandler: ProgressHandler? = nil
  ) async throws -> AsrModels { fatalError("declaration only") }

  public static func defaultConfiguration() -> MLModelConfiguration { fatalError("declaration only") }
}

// MARK: configuration

public enum ASRConstants {
  public static let maxModelSamples: Int = 240_000
  public static let encoderHiddenSize: Int = 1024
}

public struct TdtConfig: Sendable {
  public let includeTokenDuration: Bool
  public let maxSymbolsPerStep: Int
  public let durationBins: [Int]
  public let blankId: Int
  public let boundarySearchFrames: Int
  public let maxTokensPerChunk: Int
  public let consecutiveBlankLimit: Int

  public static let `default` = TdtConfig()

  public init(
    includeTokenDuration: Bool = true,
    maxSymbolsPerStep: Int = 10,
    durationBins: [Int] = [0, 1, 2, 3, 4],
    blankId: Int = 8192,
    boundarySearchFrames: Int = 20,
    maxTokensPerChunk: Int = 150,
    consecutiveBlankLimit: Int = 5
  ) {
    self.includeTokenDuration = includeTokenDuration
    self.maxSymbolsPerStep = maxSymbolsPerStep
    self.durationBins = durationBins
    self.blankId = blankId
    self.boundarySearchFrames = boundarySearchFrames
    self.maxTokensPerChunk = maxTokensPerChunk
    self.consecutiveBlankLimit = consecutiveBlankLimit
  }
}

public struct ASRConfig: Sendable {
  public let sampleRate: Int
  public let tdtConfig: TdtConfig
  public let encoderHiddenSize: Int
  public let parallelChunkConcurrency: Int
  public let streamingEnabled: Bool
  public let streamingThreshold: Int
  public let melChunkContext: Bool
  public let dualDecodeArbitration: Bool
  public let seamGapRepair: Bool
  public let seamGapRepairMinGapSeconds: Double

  public static let `default` = ASRConfig()

  public init(
    sampleRate: Int = 16000,
    tdtConfig: TdtConfig = .default,
    encoderHiddenSize: Int = ASRConstants.encoderHiddenSize,
    parallelChunkConcurrency: Int = 4,
    streamingEnabled: Bool = true,
    streamingThreshold: Int = 480_000,
    melChunkContext: Bool = true,
    dualDecodeArbitration: Bool = false,
    seamGapRepair: Bool = true,
    seamGapRepairMinGapSeconds: Double = 1.5
  ) {
    self.sampleRate = sampleRate
    self.tdtConfig = tdtConfig
    self.encoderHiddenSize = encoderHiddenSize
    self.parallelChunkConcurrency = parallelChunkConcurrency
    self.streamingEnabled = streamingEnabled
    self.streamingThreshold = streamingThreshold
    self.melChunkContext = melChunkContext
    self.dualDecodeArbitration = dualDecodeArbitration
    self.seamGapRepair = seamGapRepair
    self.seamGapRepairMinGapSeconds = seamGapRepairMinGapSeconds
  }
}

public enum Language: String, Sendable, CaseIterable {
  case english = "en"
  case spanish = "es"
  case french = "fr"
  case german = "de"
  case italian = "it"
  case portuguese = "pt"
  case romanian = "ro"
  case dutch = "nl"
  case danish = "da"
  case swedish = "sv"
  case finnish = "fi"
  case hungarian = "hu"
  case estonian = "et"
  case latvian = "lv"
  case lithuanian = "lt"
  case maltese = "mt"
  case polish = "pl"
  case czech = "cs"
  case slovak = "sk"
  case slovenian = "sl"
  case croatian = "hr"
  case bosnian = "bs"
  case russian = "ru"
  case ukrainian = "uk"
  case belarusian = "be"
  case bulgarian = "bg"
  case serbian = "sr"
  case greek = "el"
}

// MARK: transcribing

public struct TdtDecoderState: Sendable {
  public init(decoderLayers: Int = 2) throws { fatalError("declaration only") }
}

public struct TokenTiming: Codable, Sendable {
  public let token: String
  public let tokenId: Int
  public let startTime: TimeInterval
  public let endTime: TimeInterval
  public let confidence: Float

  public init(
    token: String, tokenId: Int, startTime: TimeInterval, endTime: TimeInterval,
    confidence: Float
  ) {
    self.token = token
    self.tokenId = tokenId
    self.startTime = startTime
    self.endTime = endTime
    self.confidence = confidence
  }
}

public struct ASRPerformanceMetrics: Codable, Sendable {}

public struct ASRResult: Codable, Sendable {
  public let text: String
  public let confidence: Float
  public let duration: TimeInterval
  public let processingTime: TimeInterval
  public let tokenTimings: [TokenTiming]?
  public let performanceMetrics: ASRPerformanceMetrics?
  public let ctcDetectedTerms: [String]?
  public let ctcAppliedTerms: [String]?

  public init(
    text: String, confidence: Float, duration: TimeInterval, processingTime: TimeInterval,
    tokenTimings: [TokenTiming]? = nil,
    performanceMetrics: ASRPerformanceMetrics? = nil,
    ctcDetectedTerms: [String]? = nil,
    ctcAppliedTerms: [String]? = nil
  ) {
    self.text = text
    self.confidence = confidence
    self.duration = duration
    self.processingTime = processingTime
    self.tokenTimings = tokenTimings
    self.performanceMetrics = performanceMetrics
    self.ctcDetectedTerms = ctcDetectedTerms
    self.ctcAppliedTerms = ctcAppliedTerms
  }
}

public enum ASRError: Error, LocalizedError {
  case notInitialized
  case invalidAudioData
  case modelLoadFailed
  case processingFailed(String)
  case modelCompilationFailed
  case unsupportedPlatform(String)
  case streamingConversionFailed(Error)
  case fileAccessFailed(URL, Error)
  case encoderInstantiationFailed(String)

  public var errorDescription: String? { fatalError("declaration only") }
}

public actor AsrManager {
  public init(config: ASRConfig = .default, models: AsrModels? = nil) { fatalError("declaration only") }

  public func transcribe(
    _ audioSamples: [Float],
    decoderState: inout TdtDecoderState,
    language: Language? = nil
  ) async throws -> ASRResult { fatalError("declaration only") }

  public func cleanup() { fatalError("declaration only") }
}
