import sys

from stg_core.cli import main

sys.exit(main())
