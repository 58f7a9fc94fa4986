// The system's calls under other names: in a type with a method of the same name they would call it.
// Foundation is not imported here: through it, `stdout` counts as shared state without protection.
#if canImport(Darwin)
  @preconcurrency import Darwin
#else
  @preconcurrency import Glibc
#endif

func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
  read(descriptor, buffer.baseAddress, buffer.count)
}

func systemWrite(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer) -> Int {
  write(descriptor, buffer.baseAddress, buffer.count)
}

/// The offset of the first byte of that value.
func systemFind(_ byte: UInt8, in bytes: UnsafeRawBufferPointer) -> Int? {
  guard let start = bytes.baseAddress, let found = memchr(start, Int32(byte), bytes.count) else { return nil }
  return UnsafeRawPointer(found) - start
}

/// Which of these events there are after at most so many milliseconds; -1 waits for one.
func systemPoll(_ descriptor: Int32, for event: Int32, milliseconds: Int32) -> Int32 {
  var asked = pollfd(fd: descriptor, events: Int16(event), revents: 0)
  return poll(&asked, 1, milliseconds) > 0 ? Int32(asked.revents) : 0
}

/// Makes every printed line leave the process at once: else what came before a crash would be lost.
func bufferPrintedLinesOnly() {
  setvbuf(stdout, nil, _IOLBF, 0)
}
