"""A process that records: ``python recording_writer.py FOLDER RECIPIENT [FILE_BYTES]``. Says each event that is kept.

The facts of finished segments go to ``FOLDER/ledger``, a line each. With FILE_BYTES no file can grow beyond: a full disk.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from gatebook.errors import RecordingError
from gatebook.recording.grec import Segment
from gatebook.recording.recorder import Recorder


def main() -> None:
    folder, recipient = Path(sys.argv[1]), sys.argv[2]
    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))

    def keep(segment: Segment) -> None:
        with (folder / "ledger").open("a") as file:
            file.write(json.dumps(asdict(segment)) + "\n")

    recorder = Recorder.open("0199a000-0000-7000-8000-000000000001", folder, [recipient], "demo/log/1/1", keep)
    for number in range(100_000):
        try:
            recorder.response(b"%d " % number + (os.urandom(200_000) if number % 10 == 0 else bytes(100)))
        except RecordingError as error:
            sys.stdout.write(f"refused: {error}\n")
            return
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
