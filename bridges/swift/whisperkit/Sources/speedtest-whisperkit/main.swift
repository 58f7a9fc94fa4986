import SpeedtestProtocol

await Worker.serve(WhisperKitEngine())
