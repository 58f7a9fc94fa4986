import SpeedtestProtocol

await Worker.serve(FluidAudioEngine())
