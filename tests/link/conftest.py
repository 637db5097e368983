"""The firmware of the stub model as processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import firmware
from tests.link.devices import BOARD


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The firmware as processes, by kind."""
    kinds = {
        "plain": firmware.stub(),
        "profiled": firmware.stub("KWS_PROFILE"),
        "faulty": firmware.stub("STUB_FAULTS"),
        "pushed": firmware.stub("KWS_PROFILE", push=True),
    }
    return {
        kind: firmware.host_program(model, BOARD, "arduino", tmp_path_factory.mktemp(kind), reference_port=True)
        for kind, model in kinds.items()
    }
