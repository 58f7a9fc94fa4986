// Declarations only, so that a bridge type-checks where there is no Speech framework. Written after Apple's
// public reference of macOS 26; the framework's source is not public.
import AVFAudio
import CoreMedia
import Foundation

/// What every result of a module has.
@available(macOS 26.0, *)
public protocol SpeechModuleResult {
  var range: CMTimeRange { get }
  var resultsFinalizationTime: CMTime { get }
}

@available(macOS 26.0, *)
extension SpeechModuleResult {
  public var isFinal: Bool { fatalError("declaration only") }
}

/// Something an analyzer can do with audio.
@available(macOS 26.0, *)
public protocol SpeechModule: AnyObject, Sendable {
  associatedtype Result: SpeechModuleResult & Sendable where Self.Result == Self.Results.Element
  associatedtype Results: Sendable & AsyncSequence where Self.Results.Failure == any Error
  var availableCompatibleAudioFormats: [AVAudioFormat] { get async }
  var results: Self.Results { get }
}

/// A module whose assets depend on a locale.
@available(macOS 26.0, *)
public protocol LocaleDependentSpeechModule: SpeechModule {
  static var supportedLocales: [Locale] { get async }
  static func supportedLocale(equivalentTo locale: Locale) async -> Locale?
  var selectedLocales: [Locale] { get }
}

/// Audio for an analyzer, which never converts it.
@available(macOS 26.0, *)
public struct AnalyzerInput: @unchecked Sendable {
  public let buffer: AVAudioPCMBuffer
  public let bufferStartTime: CMTime?
  public init(buffer: AVAudioPCMBuffer) { fatalError("declaration only") }
  public init(buffer: AVAudioPCMBuffer, bufferStartTime: CMTime?) { fatalError("declaration only") }
}

/// Speech to text.
@available(macOS 26.0, *)
public final class SpeechTranscriber: LocaleDependentSpeechModule {
  public enum TranscriptionOption: CaseIterable, Sendable, Hashable {
    case etiquetteReplacements
  }

  public enum ReportingOption: CaseIterable, Sendable, Hashable {
    case volatileResults
    case alternativeTranscriptions
    case fastResults
  }

  public enum ResultAttributeOption: CaseIterable, Sendable, Hashable {
    case audioTimeRange
    case transcriptionConfidence
  }

  public struct Result: SpeechModuleResult, Sendable, Hashable, CustomStringConvertible {
    public let range: CMTimeRange
    public let resultsFinalizationTime: CMTime
    public let alternatives: [AttributedString]
    public var text: AttributedString { fatalError("declaration only") }
    public var description: String { fatalError("declaration only") }
  }

  public convenience init(
    locale: Locale,
    transcriptionOptions: Set<SpeechTranscriber.TranscriptionOption>,
    reportingOptions: Set<SpeechTranscriber.ReportingOption>,
    attributeOptions: Set<SpeechTranscriber.ResultAttributeOption>
  ) {
    fatalError("declaration only")
  }

  // What holds where there is no Speech framework, so that a bridge can say so.
  public static var isAvailable: Bool { false }
  public static var supportedLocales: [Locale] { get async { [] } }
  public static var installedLocales: [Locale] { get async { [] } }

  public static func supportedLocale(equivalentTo locale: Locale) async -> Locale? {
    fatalError("declaration only")
  }

  public var availableCompatibleAudioFormats: [AVAudioFormat] { get async { fatalError("declaration only") } }
  public var selectedLocales: [Locale] { fatalError("declaration only") }
  public var results: some Sendable & AsyncSequence<SpeechTranscriber.Result, any Error> {
    AsyncThrowingStream<SpeechTranscriber.Result, any Error> { fatalError("declaration only") }
  }
}

/// A request to download and install assets; made by `AssetInventory` only.
@available(macOS 26.0, *)
public final class AssetInstallationRequest: NSObject, ProgressReporting, Sendable {
  public var progress: Progress { fatalError("declaration only") }
  public func downloadAndInstall() async throws { fatalError("declaration only") }
}

/// Which assets the system has.
@available(macOS 26.0, *)
public final class AssetInventory {
  public enum Status: Comparable, Hashable {
    case unsupported
    case supported
    case downloading
    case installed
  }

  public static func status(forModules modules: [any SpeechModule]) async -> AssetInventory.Status {
    fatalError("declaration only")
  }
  public static func assetInstallationRequest(
    supporting modules: [any SpeechModule]
  ) async throws -> AssetInstallationRequest? {
    fatalError("declaration only")
  }
  @discardableResult
  public static func reserve(locale: Locale) async throws -> Bool { fatalError("declaration only") }
  public static func release(reservedLocale: Locale) async -> Bool { fatalError("declaration only") }
  public static var reservedLocales: [Locale] { get async { fatalError("declaration only") } }
  public static var maximumReservedLocales: Int { fatalError("declaration only") }
}

/// A session of analysis. A finished one accepts no more audio.
@available(macOS 26.0, *)
public final actor SpeechAnalyzer {
  public struct Options: Sendable, Equatable {
    public enum ModelRetention: CaseIterable, Sendable, Hashable {
      case whileInUse
      case lingering
      case processLifetime
    }

    public let priority: TaskPriority
    public let modelRetention: SpeechAnalyzer.Options.ModelRetention
    public init(priority: TaskPriority, modelRetention: SpeechAnalyzer.Options.ModelRetention) {
      self.priority = priority
      self.modelRetention = modelRetention
    }
  }

  public init(modules: [any SpeechModule], options: SpeechAnalyzer.Options? = nil) {
    fatalError("declaration only")
  }

  public static func bestAvailableAudioFormat(
    compatibleWith modules: [any SpeechModule]
  ) async -> AVAudioFormat? {
    fatalError("declaration only")
  }

  public func prepareToAnalyze(in audioFormat: AVAudioFormat?) async throws { fatalError("declaration only") }
  public func analyzeSequence<InputSequence>(_ inputSequence: InputSequence) async throws -> CMTime?
  where InputSequence: Sendable, InputSequence: AsyncSequence, InputSequence.Element == AnalyzerInput {
    fatalError("declaration only")
  }
  public func finalizeAndFinish(through: CMTime) async throws { fatalError("declaration only") }
  public func cancelAndFinishNow() async { fatalError("declaration only") }
}

/// The models that retained analyzers hold.
@available(macOS 26.0, *)
public enum SpeechModels {
  public static func endRetention() async { fatalError("declaration only") }
}

@available(macOS 26.0, *)
extension AttributeScopes {
  /// What a transcriber adds to a run of its text. The keys work, so that mappings from them can be tested.
  public struct SpeechAttributes: AttributeScope {
    public let audioTimeRange: AttributeScopes.SpeechAttributes.TimeRangeAttribute
    public let transcriptionConfidence: AttributeScopes.SpeechAttributes.ConfidenceAttribute

    /// Where in the audio a run was spoken.
    public struct TimeRangeAttribute: CodableAttributedStringKey {
      public typealias Value = CMTimeRange
      public static let name: String = "Speech.TimeRange"
      public static func encode(
        _ value: AttributeScopes.SpeechAttributes.TimeRangeAttribute.Value,
        to encoder: any Encoder
      ) throws {
        fatalError("declaration only")
      }
      public static func decode(
        from decoder: any Decoder
      ) throws -> AttributeScopes.SpeechAttributes.TimeRangeAttribute.Value {
        fatalError("declaration only")
      }
    }

    /// From 0 to 1.
    public struct ConfidenceAttribute: CodableAttributedStringKey {
      public typealias Value = Double
      public static let name: String = "Speech.Confidence"
    }
  }
}
