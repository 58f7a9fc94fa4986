/// What a bridge implements: one speech engine behind the five calls of docs/reference/protocol.md.
///
/// The worker calls one method at a time, in the order of the calls it reads.
public protocol Engine: Sendable {
  /// The engine, as results name it. Not empty.
  static var name: String { get }
  /// Its version. Not empty; results of different versions are never mixed.
  static var version: String { get }
  /// Everything else that can change a result: libraries, the system.
  static var versions: [String: String] { get }

  /// Loads these weights completely, so that later calls load nothing.
  ///
  /// The worker measures the time. No model is loaded when it is called.
  func load(_ request: LoadRequest) async throws -> Loaded

  /// Transcribes 16 kHz mono samples (full scale at ±1) with these settings.
  ///
  /// `Transcript.seconds` starts with this call and ends when the whole text is ready: the engine
  /// measures it with a ``Stopwatch``, and fills in the other fields afterwards.
  func transcribe(_ samples: [Float], _ contract: Contract) async throws -> Transcript

  /// Drops the model and releases its memory; also called after a failed load.
  func unload() async throws
}

/// Weights to load. `path` is a file or a folder; empty only for engines without weights.
public struct Model: Decodable, Sendable, Equatable {
  public var name, path, format, precision: String

  public init(name: String, path: String, format: String, precision: String = "auto") {
    (self.name, self.path, self.format, self.precision) = (name, path, format, precision)
  }

  public init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: CodingKeys.self)
    name = try members.decode(String.self, forKey: .name)
    path = try members.decode(String.self, forKey: .path)
    format = try members.decode(String.self, forKey: .format)
    precision = try members.decodeIfPresent(String.self, forKey: .precision) ?? "auto"
  }

  private enum CodingKeys: String, CodingKey { case name, path, format, precision }
}

/// The parameters of `load`: `device` is `auto` or a name of the engine's, `threads` are of the CPU.
public struct LoadRequest: Sendable, Equatable {
  public var model: Model
  public var device: String
  public var threads: Int

  public init(model: Model, device: String = "auto", threads: Int = 1) {
    (self.model, self.device, self.threads) = (model, device, threads)
  }
}

/// What is in use after `load`. `details` are facts for the record.
public struct Loaded: Sendable, Equatable {
  public var device, precision: String
  public var details: [String: String]

  public init(device: String, precision: String, details: [String: String] = [:]) {
    (self.device, self.precision, self.details) = (device, precision, details)
  }
}

/// The settings for decoding. The engine chooses a setting that is `nil`, as all are in `as-shipped`.
public struct Contract: Decodable, Sendable, Equatable {
  /// ISO 639-1 code of the speech.
  public var language: String?
  public var task: String?
  /// 1 is greedy search.
  public var beamSize: Int?
  /// Candidates per window above temperature 0.
  public var bestOf: Int?
  /// Used in turn after failures; one entry means no fallback.
  public var temperatures: [Double]?
  public var conditionOnPreviousText, vad, timestamps: Bool?
  /// How audio beyond one window is divided, such as `sequential-30s`.
  public var window: String?
  /// Windows decoded at once.
  public var batchSize: Int?

  public init(
    language: String? = nil, task: String? = nil, beamSize: Int? = nil, bestOf: Int? = nil,
    temperatures: [Double]? = nil, conditionOnPreviousText: Bool? = nil, vad: Bool? = nil,
    timestamps: Bool? = nil, window: String? = nil, batchSize: Int? = nil
  ) {
    (self.language, self.task, self.beamSize, self.bestOf) = (language, task, beamSize, bestOf)
    (self.temperatures, self.conditionOnPreviousText) = (temperatures, conditionOnPreviousText)
    (self.vad, self.timestamps, self.window, self.batchSize) = (vad, timestamps, window, batchSize)
  }

  /// Whether every setting is left to the engine.
  public var isAsShipped: Bool { self == Contract() }

  private enum CodingKeys: String, CodingKey {
    case language, task, temperatures, vad, timestamps, window
    case beamSize = "beam_size"
    case bestOf = "best_of"
    case batchSize = "batch_size"
    case conditionOnPreviousText = "condition_on_previous_text"
  }
}

/// The settings that were really used, in the contract's types. `nil`: does not apply, or unknown.
public struct EffectiveSettings: Encodable, Sendable, Equatable {
  public var language, task: String?
  public var beamSize, bestOf: Int?
  public var temperatures: [Double]?
  public var conditionOnPreviousText, vad, timestamps: Bool?
  public var window: String?
  public var batchSize: Int?

  public init(
    language: String? = nil, task: String? = nil, beamSize: Int? = nil, bestOf: Int? = nil,
    temperatures: [Double]? = nil, conditionOnPreviousText: Bool? = nil, vad: Bool? = nil,
    timestamps: Bool? = nil, window: String? = nil, batchSize: Int? = nil
  ) {
    (self.language, self.task, self.beamSize, self.bestOf) = (language, task, beamSize, bestOf)
    (self.temperatures, self.conditionOnPreviousText) = (temperatures, conditionOnPreviousText)
    (self.vad, self.timestamps, self.window, self.batchSize) = (vad, timestamps, window, batchSize)
  }

  /// Every setting by name: an omitted one would be a deviation without a value.
  public func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: CodingKeys.self)
    try members.encode(language, forKey: .language)
    try members.encode(task, forKey: .task)
    try members.encode(beamSize, forKey: .beamSize)
    try members.encode(bestOf, forKey: .bestOf)
    try members.encode(temperatures, forKey: .temperatures)
    try members.encode(conditionOnPreviousText, forKey: .conditionOnPreviousText)
    try members.encode(vad, forKey: .vad)
    try members.encode(timestamps, forKey: .timestamps)
    try members.encode(window, forKey: .window)
    try members.encode(batchSize, forKey: .batchSize)
  }

  private enum CodingKeys: String, CodingKey {
    case language, task, temperatures, vad, timestamps, window
    case beamSize = "beam_size"
    case bestOf = "best_of"
    case batchSize = "batch_size"
    case conditionOnPreviousText = "condition_on_previous_text"
  }
}

/// A piece of a transcript; times are seconds from the start of the audio.
public struct Segment: Encodable, Sendable, Equatable {
  public var startS, endS: Double
  public var text: String

  public init(startS: Double, endS: Double, text: String) {
    (self.startS, self.endS, self.text) = (startS, endS, text)
  }

  private enum CodingKeys: String, CodingKey {
    case text
    case startS = "start_s"
    case endS = "end_s"
  }
}

/// An engine's result: the text, the time it took, and the work done.
public struct Transcript: Sendable, Equatable {
  /// From samples in memory to all of the text, by a ``Stopwatch``.
  public var seconds: Double
  /// The whole transcript, as the engine made it.
  public var text: String
  public var segments: [Segment]
  /// The language that was used for decoding.
  public var language: String?
  /// Decoded tokens of text.
  public var tokens: Int?
  public var effective: EffectiveSettings
  /// The settings in `effective`, by their names in JSON, that were read back from the engine.
  public var observed: [String]
  /// Differences that no setting expresses.
  public var remarks: [String]
  /// Segments decoded again because the first temperature's text was rejected.
  public var fallbacks: Int?
  /// Seconds until the first segment; only if segments are streamed.
  public var firstSegmentS: Double?
  /// Seconds by stage (`mel`, `encode`, `decode`, or its own names).
  public var stagesS: [String: Double]

  public init(
    seconds: Double, text: String, segments: [Segment] = [], language: String? = nil,
    tokens: Int? = nil, effective: EffectiveSettings = EffectiveSettings(), observed: [String] = [],
    remarks: [String] = [], fallbacks: Int? = nil, firstSegmentS: Double? = nil,
    stagesS: [String: Double] = [:]
  ) {
    (self.seconds, self.text, self.segments, self.language) = (seconds, text, segments, language)
    (self.tokens, self.effective, self.observed, self.remarks) = (tokens, effective, observed, remarks)
    (self.fallbacks, self.firstSegmentS, self.stagesS) = (fallbacks, firstSegmentS, stagesS)
  }
}
