"""The first file a worker process runs: ``python -P bootstrap.py module:Class [folder ...]``.

It runs in a backend's environment, where this package is not installed. It therefore makes the
package importable from its location, without adding the tool's site-packages (with other versions
of numpy) to the import path. First it reserves the real stdin and stdout for the protocol and
points file descriptor 1 at stderr, because backends print.
"""

import os
import sys


def main() -> int:
    """Move the protocol off file descriptors 0 and 1, then run the worker's loop."""
    protocol_in, protocol_out = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    import importlib.util

    package = "mac_whisper_speedtest"
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    spec = importlib.util.spec_from_file_location(
        package, f"{folder}/__init__.py", submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)

    from mac_whisper_speedtest.worker.child import serve
    from mac_whisper_speedtest.worker.offline import block_network_if_requested

    block_network_if_requested()
    sys.path[:0] = sys.argv[2:]
    return serve(protocol_in, protocol_out, sys.argv[1])


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Libraries take up to a second to shut down, in every round.
    os._exit(status)
