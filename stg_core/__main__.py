import os
import sys

from stg_core.cli.main import main
from stg_core.system import guard

if guard.PARENT in os.environ:
    guard.end_with_parent()
sys.exit(main())
