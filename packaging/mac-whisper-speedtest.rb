# A Homebrew formula for a tap of one's own. .github/workflows/release.yml fills in the words in
# capitals, and puts the file beside the release. Python libraries come as wheels: to build av and
# numpy from source, as Homebrew's own repository asks, takes an hour. Not tried with brew yet.
class MacWhisperSpeedtest < Formula
  desc "Which Whisper is fastest on this machine, and is it still right?"
  homepage "HOMEPAGE"
  url "SDIST_URL"
  sha256 "SDIST_SHA256"
  license "MIT"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@3.13"

  def install
    system Formula["python@3.13"].opt_libexec/"bin/python", "-m", "venv", libexec
    system libexec/"bin/pip", "install", "--no-compile", "#{buildpath}[demo]"
    bin.install_symlink libexec/"bin/speedtest", libexec/"bin/mac-whisper-speedtest"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mac-whisper-speedtest --version")
    assert_match "tiny.en", shell_output("#{bin}/mac-whisper-speedtest models list")
  end
end
