"""The stubs are as what they stand for: `bridges/swift/stubs/check.py` and its record."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

STUBS = Path(__file__).resolve().parents[2] / "bridges" / "swift" / "stubs"
PARSER = pytest.mark.skipif(
    subprocess.run(
        [sys.executable, "-c", "import tree_sitter, tree_sitter_swift"],
        capture_output=True,
        check=False,
    ).returncode
    != 0,
    reason="tree-sitter and tree-sitter-swift (extra: test) are not installed",
)


def _check(*options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STUBS / "check.py"), *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_stub_has_changed_since_it_was_compared_and_the_pins_are_those_compared() -> None:
    done = _check()
    assert done.returncode == 0, done.stdout + done.stderr


def _differences(stub: str) -> list[str]:
    from stub_check.compare import differences
    from stub_check.declarations import read_module

    mine, real = read_module({"Kit.swift": stub.encode()}), read_module({"A.swift": REAL.encode()})
    assert not mine.unreadable
    return [str(each) for each in differences(mine, real)]


# What a caller sees, and what no caller sees.

REAL = """
import Foundation

@frozen
public enum Mode: String, Sendable {
  case fast, slow = "slowly"
}

/// A tool.
open class Tool: Base, @unchecked Sendable {
  public private(set) var state: Mode = .fast
  public var name: String { didSet { print(name) } }
  public let limit = 3
  public static var all: [Tool] { get async throws { [] } }
  @discardableResult
  open func work(
    _ samples: [Float], // mono
    with options: Options? = nil,
    scale: Float = 1.0,
    then: @escaping @Sendable (_ text: String) -> Void
  ) async throws -> [String] { [] }
  public func wait() async {}
  public init?(folder: URL, load: Bool = true) {}
  func hidden() {}
  private struct Secret {}
}

public struct Options: Codable, Sendable {
  public static let most = Int(448 / 2)
  public var tokens: [Int]?
}

extension Options: Equatable {}

public actor Keeper {
  public func keep<S: AsyncSequence & Sendable>(_ items: S) async where S.Element == Int {}
}

public extension Tool {
  static func shared() -> Tool { fatalError() }
}

#if os(iOS)
public func elsewhere() {}
#else
public func here() {}
#endif
"""


def _world(folder: Path, stub: str) -> list[str]:
    """A bridge that pins a package, its stub, and a repository with the package's source."""
    files = {
        "swift/bridge/Package.swift": '(url: "https://example.org/Kit", exact: "1.2.3")',
        "swift/stubs/Kit/Package.swift": 'Package(name: "Kit", products: [.library(name: "Kit")])',
        "swift/stubs/Kit/Sources/Kit/Kit.swift": stub,
        "Kit/Package.swift": 'Package(\n  name: "Kit",\n  products: [.library(\n  name: "Kit")])',
        "Kit/Sources/Kit/A.swift": REAL,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    _git(folder / "Kit", "init", "--quiet")
    _git(folder / "Kit", "add", ".")
    _git(folder / "Kit", *who, "commit", "--quiet", "--message", "a")
    _git(folder / "Kit", *who, "tag", "v1.2.3")
    return ["--stubs", str(folder / "swift" / "stubs"), "--source", f"Kit={folder / 'Kit'}"]


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


STUB = """
import Foundation
@frozen public enum Mode: String, Sendable { case fast; case slow = "slowly" }
open class Tool: Base, @unchecked Sendable {
  public private(set) var state: Mode
  public var name: String
  public let limit: Int
  public static var all: [Tool] { get async throws { fatalError() } }
  @discardableResult open func work(
    _ x: [Float], with o: Options? = nil, scale: Float = 1.0,
    then: @escaping @Sendable (String) -> Void
  ) async throws -> [String] { fatalError() }
  public func wait() async { fatalError() }
  public init?(folder: URL, load: Bool = true) { fatalError() }
  public static func shared() -> Tool { fatalError() }
}
public struct Options: Sendable, Codable {
  public static let most = Int(448/2)
  public var tokens: [Int]?
}
public actor Keeper {
  public func keep<Items>(_ items: Items) async
  where Items: Sendable, Items: AsyncSequence, Items.Element == Int { fatalError() }
}
public func here() { fatalError() }
"""


@PARSER
def test_a_stub_that_says_the_same_in_other_words_passes(tmp_path: Path) -> None:
    done = _check(*_world(tmp_path, STUB))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Kit 1\.2\.3 \([0-9a-f]{12}\): 18 declarations in Kit, 0 diff", done.stdout)


@PARSER
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("with o:", "using o:", "using in the stub only; with in the source only"),
        ("scale: Float = 1.0,", "", "Tool.work: labels: scale in the source only"),
        ("_ x: [Float], with o: Options? = nil", "with o: Options? = nil, _ x: [Float]", "labels:"),
        ("scale: Float", "scale: Double", "type of scale: Double in the stub, Float in the source"),
        ("load: Bool = true", "load: Bool = false", "default of load: false in the stub, true"),
        ("load: Bool = true", "load: Bool", "default of load: none in the stub, true in the"),
        ("func wait() async", "func wait()", "effects: none in the stub, async in the source"),
        (") async throws ->", ") async ->", "effects: async in the stub, async throws in the"),
        ("-> [String]", "-> [String]?", "result: [String]? in the stub, [String] in the source"),
        ("@discardableResult", "", "attributes: none in the stub, @discardableResult in the"),
        ("@escaping @Sendable", "@escaping", "type of then: @escaping(String) -> Void in the stub"),
        ('slow = "slowly"', "slow", 'raw value: "slow" in the stub, "slowly" in the source'),
        ("case fast;", "case quick;", "Mode: cases missing in the stub: fast"),
        ("case fast;", "case fast, faster;", "Mode.faster: is not public in the real module"),
        ("@frozen public", "public", "attributes: none in the stub, @frozen in the source"),
        (", @unchecked Sendable", "", "conforms to: @unchecked Sendable missing in the stub"),
        ("Sendable, Codable", "Sendable, Codable, Hashable", "Hashable in the stub only"),
        ("let limit", "var limit", "use: get set in the stub, let in the source"),
        ("448/2", "224", "Options.most: value: Int(224) in the stub, Int(448/2) in the source"),
        ("private(set) var state", "var state", "use: get set in the stub, get in the source"),
        ("get async throws", "get async", "use: get async in the stub, get async throws in the"),
        ("open class", "public class", "access: public in the stub, open in the source"),
        ("open class", "public final class", "kind: final class in the stub, class in the source"),
        ("init?(", "init(", "kind: init in the stub, init? in the source"),
        ("static func shared", "func shared", "attributes: none in the stub, static in the source"),
        ("Items: Sendable, ", "", "constraints: T1.Element == Int; T1: AsyncSequence in the stub"),
        ("public actor", "public struct", "kind: struct in the stub, actor in the source"),
        ("func here", "func elsewhere", "elsewhere: is not public in the real module"),
        ("func wait", "func hidden", "Tool.hidden: is not public in the real module"),
    ],
)
def test_a_wrong_stub_is_caught_and_both_places_are_named(
    right: str, wrong: str, message: str
) -> None:
    assert STUB.count(right) == 1
    (line,) = [line for line in _differences(STUB.replace(right, wrong)) if message in line]
    assert re.match(r"Kit\.swift:\d+: ", line)
    assert "not public" in line or re.search(r", A\.swift:\d+$", line), line


@PARSER
def test_a_stub_that_does_not_parse_or_differs_is_refused(tmp_path: Path) -> None:
    done = _check(*_world(tmp_path, STUB.replace("func wait() async {", "func wait() async ({")))
    assert done.returncode == 1
    assert re.search(r"Kit/Sources/Kit/Kit\.swift:\d+: cannot be parsed", done.stdout)
    (tmp_path / "swift/stubs/Kit/Sources/Kit/Kit.swift").write_text(STUB.replace("let l", "var l"))
    options = ["--stubs", str(tmp_path / "swift/stubs"), "--source", f"Kit={tmp_path / 'Kit'}"]
    assert "Kit/Sources/Kit/Kit.swift:7: Tool.limit: use: get set" in _check(*options).stdout


@PARSER
def test_a_product_or_a_feature_that_the_real_package_does_not_have_is_caught(
    tmp_path: Path,
) -> None:
    options = _world(tmp_path, STUB)
    manifest = tmp_path / "swift/stubs/Kit/Package.swift"
    manifest.write_text(
        manifest.read_text().replace('.library(name: "Kit"', '.library(name: "Kits"')
    )
    done = _check(*options)
    assert done.returncode == 1
    assert "Kit/Package.swift: .library Kits is not in every manifest" in done.stdout
    manifest.write_text(f'{manifest.read_text()} .enableUpcomingFeature("InferIsolated")')
    assert "InferIsolated is enabled here only" in _check(*options).stdout


@PARSER
def test_a_source_without_the_pinned_tag_or_with_a_moved_one_is_refused(tmp_path: Path) -> None:
    options = _world(tmp_path, STUB)
    assert _check(*options, "--write").returncode == 0
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    _git(tmp_path / "Kit", *who, "commit", "--allow-empty", "--quiet", "--message", "b")
    _git(tmp_path / "Kit", *who, "tag", "--annotate", "--message", "c", "--force", "v1.2.3")
    moved = _check(*options)
    assert (moved.returncode, "Kit 1.2.3 was " in moved.stderr) == (2, True)
    _git(tmp_path / "Kit", "tag", "--delete", "v1.2.3")
    missing = _check(*options)
    assert (missing.returncode, "has no tag 1.2.3" in missing.stderr) == (2, True)
    assert _check(*options[:2], "--source", f"Kit={tmp_path / 'Kit'}@HEAD").returncode == 0


# The record.


@pytest.fixture
def recorded(tmp_path: Path) -> Sequence[str]:
    """Options for a world whose stubs were compared and recorded."""
    options = _world(tmp_path, STUB)
    done = _check(*options, "--write")
    assert done.returncode == 0, done.stdout + done.stderr
    return options


@PARSER
def test_a_record_says_what_was_compared(tmp_path: Path, recorded: Sequence[str]) -> None:
    package = json.loads((tmp_path / "swift/stubs/checked.json").read_text())["packages"]["Kit"]
    assert (package["version"], package["declarations"]) == ("1.2.3", {"Kit": 18})
    assert re.fullmatch("[0-9a-f]{40}", package["commit"])
    assert list(package["files"]) == ["Kit/Package.swift", "Kit/Sources/Kit/Kit.swift"]
    assert _check(*recorded[:2]).returncode == 0


@PARSER
def test_a_stub_changed_after_its_check_fails_and_the_command_is_named(
    tmp_path: Path, recorded: Sequence[str]
) -> None:
    (tmp_path / "swift/stubs/Kit/Sources/Kit/Kit.swift").write_text(STUB + "\n")
    done = _check(*recorded[:2])
    assert done.returncode == 1
    assert "Kit/Sources/Kit/Kit.swift has changed since it was compared" in done.stdout
    assert "uv run bridges/swift/stubs/check.py --write --source" in done.stdout


@PARSER
def test_another_pin_than_the_compared_one_fails(tmp_path: Path, recorded: Sequence[str]) -> None:
    manifest = tmp_path / "swift/bridge/Package.swift"
    manifest.write_text(manifest.read_text().replace("1.2.3", "1.2.4"))
    done = _check(*recorded[:2])
    assert (done.returncode, "Kit: 1.2.3 was compared" in done.stdout) == (1, True)


@PARSER
def test_a_wrong_stub_is_not_recorded(tmp_path: Path) -> None:
    options = _world(tmp_path, STUB.replace("let limit", "var limit"))
    assert _check(*options, "--write").returncode == 1
    assert not (tmp_path / "swift/stubs/checked.json").exists()


# Apple's frameworks: an interface of an SDK instead of sources.

INTERFACE = """\
// swift-interface-format-version: 1.0
// swift-compiler-version: Apple Swift version 6.2 effective-5.10
import AVFAudio
import Swift
@available(macOS 26.0, iOS 26.0, *)
public protocol Module : AnyObject, Swift.Sendable {
  associatedtype Result : Swift.Hashable, Swift.Sendable where Self.Result == Self.Results.Element
  associatedtype Results : Swift.Sendable, _Concurrency.AsyncSequence
  static func supported(equivalentTo locale: Foundation.Locale) async -> Foundation.Locale?
  var results: Self.Results { get }
}
@available(macOS 26.0, iOS 26.0, *)
@available(tvOS, unavailable)
final public class Heard : ObjectiveC.NSObject, Speech.Module, Swift.Sendable {
  public enum Option : Swift.CaseIterable, Swift.Sendable, Swift.Equatable {
    case first
    case second
    public static var allCases: [Speech.Heard.Option] {
      get
    }
  }
  convenience public init(locale: Foundation.Locale, options: Swift.Set<Speech.Heard.Option> = [])
  public static var supported: [Foundation.Locale] {
    get async
  }
  final public var results: some Swift.Sendable & _Concurrency.AsyncSequence {
    get
  }
  final public func analyze<S>(_ sequence: S) async throws -> CoreMedia.CMTime? WHERE
  @available(macOS 26.0, iOS 26.0, *)
  public typealias Results = @_opaqueReturnTypeOf("$s6Speech5HeardC7resultsQrvp", 0) __
  @objc deinit
}
@available(macOS 26.0, iOS 26.0, *)
extension Speech.Heard.Option : Swift.Hashable {}
""".replace(  # in one line, as all declarations of an interface
    "WHERE",
    "where S : Swift.Sendable, S : _Concurrency.AsyncSequence, "
    "S.Element == AVFAudio.AVAudioPCMBuffer",
)

HEARD = """
@available(macOS 26, *)
public protocol Module: AnyObject, Sendable {
  associatedtype Result: Hashable, Sendable where Self.Result == Self.Results.Element
  associatedtype Results: Sendable, AsyncSequence
  static func supported(equivalentTo locale: Locale) async -> Locale?
  var results: Self.Results { get }
}
@available(macOS 26, *)
public final class Heard: NSObject, Module {
  public enum Option: CaseIterable, Sendable, Hashable { case first, second }
  public convenience init(locale: Locale, options: Set<Heard.Option> = []) { fatalError() }
  public static var supported: [Locale] { get async { fatalError() } }
  public var results: some Sendable & AsyncSequence { Never.none }
  public func analyze<Sequence: AsyncSequence & Sendable>(_ s: Sequence) async throws -> CMTime?
  where Sequence.Element == AVAudioPCMBuffer { fatalError() }
}
"""


def _interface(folder: Path, stub: str, module: str = "Speech") -> list[str]:
    file = folder / "stubs/apple/Sources" / module / f"{module}.swift"
    file.parent.mkdir(parents=True)
    file.write_text(stub)
    (folder / "stubs/apple/Package.swift").write_text("")
    (folder / "arm64e-apple-macos.swiftinterface").write_text(INTERFACE)
    return [
        *("--stubs", str(folder / "stubs"), "--module", module),
        *("--interface", str(folder / "arm64e-apple-macos.swiftinterface")),
    ]


@PARSER
def test_a_stub_is_compared_with_an_interface_of_an_sdk(tmp_path: Path) -> None:
    done = _check(*_interface(tmp_path, HEARD))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Speech: 11 declarations, 0 differences; 0 are not in the interface" in done.stdout


@PARSER
@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("@available(macOS 26, *)\npublic final", "public final", "none in the stub, @available("),
        ("AnyObject, Sendable {", "AnyObject {", "Module: conforms to: Sendable missing in the"),
        ("NSObject, Module {", "NSObject {", "Heard: conforms to: Module, Sendable missing in"),
        ("results: Self.Results { get }", "results: Self.Results { get async }", "use: get async"),
        ("case first, second", "case first", "Heard.Option: cases missing in the stub: second"),
        ("{ get async {", "{ get {", "use: get in the stub, get async in the source"),
        ("locale: Locale", "for locale: Locale", "labels: for in the stub only; locale in the"),
        ("public func analyze", "public func analyse", "Heard.analyse: is not public in the real"),
    ],
)
def test_a_stub_unlike_an_interface_is_caught(right: str, wrong: str, message: str) -> None:
    from stub_check.compare import differences
    from stub_check.declarations import read_interface, read_module

    assert right in HEARD
    stub = read_module({"Speech.swift": HEARD.replace(right, wrong).encode()})
    found = differences(stub, read_interface("Speech.swiftinterface", INTERFACE.encode()))
    assert any(message in str(each) for each in found), found


@PARSER
def test_a_module_counts_as_compared_until_its_stub_changes(tmp_path: Path) -> None:
    options = _interface(tmp_path, HEARD)
    record = tmp_path / "stubs/checked.json"

    def recorded() -> str:
        module = json.loads(record.read_text())["packages"]["apple"]["modules"]["Speech"]
        return ", ".join(sorted(module))

    assert _check(*options[:2], "--write").returncode == 0
    assert recorded() == "not compared"
    assert _check(*options, "--write").returncode == 0
    assert recorded() == "compared, compiler, declarations, interface"
    (tmp_path / "stubs/apple/Package.swift").write_text("// another product")
    changed = _check(*options[:2])
    assert changed.returncode == 1
    assert "python bridges/swift/stubs/check.py --write   (Apple" in changed.stdout
    assert _check(*options[:2], "--write").returncode == 0
    assert recorded() == "compared, compiler, declarations, interface"
    (tmp_path / "stubs/apple/Sources/Speech/Speech.swift").write_text(HEARD + "//")
    assert _check(*options[:2], "--write").returncode == 0
    assert recorded() == "not compared"


@PARSER
def test_what_headers_declare_is_counted_and_not_called_wrong(tmp_path: Path) -> None:
    done = _check(*_interface(tmp_path, "open class MLModel: NSObject {}", "CoreML"))
    assert done.returncode == 0
    assert "CoreML: 1 declarations, 0 differences; 1 are not in the interface" in done.stdout
