"""TF Serving's REST interface around an `Inference`."""

import asyncio
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tfdrift.serving.inference import SIGNATURE_FIELD, Inference
from tfdrift.serving.json_tensors import read_predict, write_predict
from tfdrift.serving.monitoring import CONTENT_TYPE, Monitoring
from tfdrift.serving.refusal import Refusal, invalid
from tfdrift.serving.versions import LARGEST_VERSION

LARGEST_BODY_BYTES = 64 * 2**20
