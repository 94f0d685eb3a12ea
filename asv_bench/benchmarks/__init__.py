"""pooltk's speed, commit by commit, for asv. A benchmark calls the function it is named after.

`pooling` times every operation on arrays, `memory` sees what it allocates, `overhead` what a call
and an import cost, `limits` how far the contest's cases are from the limit of the machine.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # here is `contest`: its cases, arrays and clock
