import sys
from pathlib import Path

# Worker processes import what they run: `executor_tasks` must be found by its name there too.
sys.path.append(str(Path(__file__).parent))
