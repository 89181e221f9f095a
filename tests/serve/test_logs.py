from __future__ import annotations

import json
import logging
import subprocess
import sys

from serve.logs import JsonFormatter


def line(record: logging.LogRecord) -> dict[str, object]:
    found = json.loads(JsonFormatter().format(record))
    assert isinstance(found, dict)
    return found


def test_record_is_one_object_with_its_extra_fields() -> None:
    record = logging.makeLogRecord(
        {"name": "serve.x", "levelname": "INFO", "msg": "swap %s", "args": ("now",), "release": "a"}
    )
    found = line(record)
    assert found.pop("time")
    expected = {"level": "info", "logger": "serve.x", "message": "swap now", "release": "a"}
    assert found == expected


def test_traceback_is_a_field_of_the_same_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": info})
    assert "ValueError" in str(line(record)["traceback"])
    assert "\n" not in JsonFormatter().format(record)


def test_level_is_kept_and_lines_go_to_standard_error() -> None:
    code = (
        "import logging; from serve import logs; logs.set_up('warning');"
        "logging.getLogger('a').info('no'); logging.getLogger('b').warning('yes')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert [json.loads(row)["message"] for row in done.stderr.splitlines()] == ["yes"]
