"""docs/inference_script.md: the script on the page answers as it shows."""

from __future__ import annotations

import re
from pathlib import Path

from byo_container.testing import endpoint_of_script

TEXT = (Path(__file__).parents[2] / "docs/inference_script.md").read_text()


def test_the_script_answers_as_the_page_says(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    requests = re.findall(r"^> application/json: (.*)\n< (.*)$", TEXT, re.MULTILINE)
    assert len(requests) == 2
    (tmp_path / "inference.py").write_text(code)
    with endpoint_of_script(tmp_path / "inference.py") as endpoint:
        for body, shown in requests:
            answer = endpoint.raw(body.encode(), "application/json")
            assert (f"{answer.status} {answer.error}" if answer.error else answer.text) == shown
