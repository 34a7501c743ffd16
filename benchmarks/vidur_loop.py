"""Run Vidur's event loop under Vidur's own Python and print what it took, as one line of JSON.

    cd VIDUR; PYTHONPATH=. PYTHON vidur_loop.py OPTIONS OF vidur.main

Only the loop counts: reading the trace and predicting execution times come before it, metrics after it.
"""

import json
import time

from vidur.config import SimulationConfig
from vidur.simulator import Simulator
from vidur.utils.random import set_seeds


def main() -> None:
    """Make the simulator as vidur.main does, time its run."""
    config = SimulationConfig.create_from_cli_args()
    set_seeds(config.seed)
    simulator = Simulator(config)
    requests = len(simulator._event_queue)
    begin = time.perf_counter()
    simulator.run()
    print(json.dumps({"requests": requests, "wall_s": time.perf_counter() - begin, "simulated_s": simulator._time}))


if __name__ == "__main__":
    main()
