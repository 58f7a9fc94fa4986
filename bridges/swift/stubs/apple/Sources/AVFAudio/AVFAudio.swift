// Declarations only, so that a bridge type-checks where there is no AVFAudio.
import Foundation

public typealias AVAudioFrameCount = UInt32
public typealias AVAudioChannelCount = UInt32

/// How a sample is stored.
public enum AVAudioCommonFormat: UInt, Sendable {
  case otherFormat = 0
  case pcmFormatFloat32 = 1
  case pcmFormatFloat64 = 2
  case pcmFormatInt16 = 3
  case pcmFormatInt32 = 4
}

/// Rate, channels and storage of audio.
open class AVAudioFormat: NSObject {
  public init?(
    commonFormat format: AVAudioCommonFormat,
    sampleRate: Double,
    channels: AVAudioChannelCount,
    interleaved: Bool
  ) {
    fatalError("declaration only")
  }

  open var commonFormat: AVAudioCommonFormat { fatalError("declaration only") }
  open var sampleRate: Double { fatalError("declaration only") }
  open var channelCount: AVAudioChannelCount { fatalError("declaration only") }
  open var isInterleaved: Bool { fatalError("declaration only") }
}

/// Audio with its format.
open class AVAudioBuffer: NSObject {
  open var format: AVAudioFormat { fatalError("declaration only") }
}

/// Uncompressed audio in memory.
open class AVAudioPCMBuffer: AVAudioBuffer {
  public init?(pcmFormat format: AVAudioFormat, frameCapacity: AVAudioFrameCount) {
    fatalError("declaration only")
  }

  open var frameCapacity: AVAudioFrameCount { fatalError("declaration only") }
  open var frameLength: AVAudioFrameCount {
    get { fatalError("declaration only") }
    set { fatalError("declaration only") }
  }
  open var floatChannelData: UnsafePointer<UnsafeMutablePointer<Float>>? { fatalError("declaration only") }
  open var int16ChannelData: UnsafePointer<UnsafeMutablePointer<Int16>>? { fatalError("declaration only") }
}
