import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// The resources that this process has used so far.
struct Usage {
  /// Processor seconds of all threads.
  var cpuS: Double
  /// The highest resident memory; `nil` if unknown.
  var peakBytes: Int?

  static func now() -> Usage {
    var usage = rusage()
    #if canImport(Glibc)
      let status = getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    #else
      let status = getrusage(RUSAGE_SELF, &usage)
    #endif
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    return Usage(
      cpuS: seconds(usage.ru_utime) + seconds(usage.ru_stime),
      peakBytes: peakOnLinux() ?? (status == 0 ? Int(usage.ru_maxrss) : nil))
  }

  /// `VmHWM` if it exists. `ru_maxrss` is in bytes on macOS; on Linux it is in KiB and includes the size
  /// of the parent from before this program was started.
  private static func peakOnLinux() -> Int? {
    guard let status = FileManager.default.contents(atPath: "/proc/self/status") else { return nil }
    let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("VmHWM:") }
    return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 * 1024 }
  }
}
