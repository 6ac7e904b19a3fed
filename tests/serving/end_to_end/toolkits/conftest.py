"""Only where tools/toolkits.sh has installed what is compared with: elsewhere each module here is skipped."""

from __future__ import annotations

import os
from importlib.util import find_spec

if find_spec("sagemaker_containers"):
    # Its protobuf code is of 2019, which only protobuf's part in Python still reads.
    os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
