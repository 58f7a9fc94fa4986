# ruff: noqa: A005  (users look for this name)
"""Are the intervals and verdicts right?

    python benchmarks/statistics.py [--reps 1000] [--json FILE.json]

The program is simulation.py in this folder; its simulated machines are in tests/fakes/worlds.py.
The standard library has a module of this name too, and Python searches a script's folder first. A
script in this folder that imports ``statistics`` finds this file, which returns the standard one.
"""

import importlib.util
import runpy
import sys
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    runpy.run_path(str(Path(__file__).with_name("simulation.py")), run_name="__main__")
else:
    path = Path(sysconfig.get_path("stdlib"), "statistics.py")
    spec = importlib.util.spec_from_file_location(__name__, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[__name__] = module  # the result of the import
    spec.loader.exec_module(module)
