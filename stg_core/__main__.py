import os
import sys

from stg_core import guard
from stg_core.cli import main

if guard.PARENT in os.environ:
    guard.end_with_parent()
sys.exit(main())
