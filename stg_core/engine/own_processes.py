"""A scheduler and one worker on this machine, which nobody else can reach."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from stg_core.system.errors import UserError
from stg_core.system.guard import environment
from stg_core.system.home import data_folder

if TYPE_CHECKING:
    from distributed import Security

START_SECONDS = 60


class OwnProcesses:
    """Both processes, which end with this one; `folder` is the results folder, and has their log.

    They listen on loopback only, behind TLS with certificates made at the start.

    door: environment variables by which a process of the same user gets in; empty before the start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.door: dict[str, str] = {}
        self._secrets: tempfile.TemporaryDirectory[str] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "engine.log"

    @property
    def any_ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def start(self) -> tuple[str, Security]:
        """The scheduler's address, and what opens it; UserError where it does not start."""
        from distributed import Security

        self._secrets = tempfile.TemporaryDirectory(prefix="stg-engine-")  # of mode 0700
        folder = Path(self._secrets.name)
        made = Security.temporary()
        written = {}
        for option, pem in {
            "tls-ca-file": made.tls_ca_file,
            "tls-cert": made.tls_scheduler_cert,
            "tls-key": made.tls_scheduler_key,
        }.items():
            written[option] = folder / f"{option}.pem"
            written[option].write_text(str(pem))
            written[option].chmod(0o600)
        door = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
        door += [word for option, path in written.items() for word in (f"--{option}", str(path))]
        address_file = folder / "scheduler.json"
        options = "--port 0 --protocol tls --preload stg_core.system.guard"
        self._spawn(
            "dask_scheduler", *options.split(), "--scheduler-file", str(address_file), *door
        )
        address = self._wait_for_address(address_file)
        self.door = _door(address, written)
        options = "--nthreads 1 --nworkers 1 --nanny --preload-nanny stg_core.system.guard"
        options += " --resources device=1 --memory-limit 0"
        self._spawn(
            "dask_worker", address, *options.split(), "--local-directory", str(folder), *door
        )
        return address, made

    def _spawn(self, program: str, *words: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
        # first what depends on the home of this process, which need not be that of its store
        folders = {"STG_DATA": str(data_folder()), "STG_HOME": str(self.folder)}
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                command,
                env={**environment(), **folders},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)

    def _wait_for_address(self, path: Path) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                return str(json.loads(path.read_text())["address"])
            except (OSError, ValueError):
                time.sleep(0.05)
            if self.any_ended:
                break
        raise UserError(f"the background engine did not start; see {self.log}.")

    def end(self) -> None:
        """At once: a training loses nothing but the epoch it is in."""
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
        self.processes.clear()
        self.door = {}
        if self._secrets is not None:
            self._secrets.cleanup()
            self._secrets = None


def _door(address: str, written: Mapping[str, Path]) -> dict[str, str]:
    """As Dask reads it: where its scheduler is, and the files with what opens it."""
    prefix = "DASK_DISTRIBUTED__COMM__TLS"
    return {
        "STG_SCHEDULER": address,
        f"{prefix}__CA_FILE": str(written["tls-ca-file"]),
        f"{prefix}__CLIENT__CERT": str(written["tls-cert"]),
        f"{prefix}__CLIENT__KEY": str(written["tls-key"]),
    }
