import SpeedtestProtocol

await Worker.serve(EchoEngine())
