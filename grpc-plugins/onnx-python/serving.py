"""Serves functions as velas.sphere.v1.PluginService, with a health service, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from call import MAX_INPUT_BYTES, Models
from model import Execution, Refused

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER / "gen"))  # what build.sh makes of proto/

from velas.sphere.v1 import node_pb2, plugin_pb2, plugin_pb2_grpc  # noqa: E402

CHUNK_BYTES = 64 << 10  # 64 KiB
MAX_MESSAGE_BYTES = 16 << 20  # 16 MiB
GRACE_SECONDS = 5


Function = Callable[[bytes, Execution], dict]


class Plugin(plugin_pb2_grpc.PluginServiceServicer):
    """Offers what `manifest` describes; the first of its functions runs when a call names none."""

    def __init__(self, name: str, manifest: dict, functions: dict[str, Function]) -> None:
        self._description = plugin_pb2.DescribePluginResponse(
            name=name,
            version=manifest["version"],
            description=manifest["description"],
            functions=[
                node_pb2.FunctionInfo(
                    name=function["name"],
                    output_content_type=function["outputContentType"],
                    description=function["description"],
                )
                for function in manifest["functions"]
            ],
            max_concurrency=1,
        )
        self._functions = functions
        self._first = manifest["functions"][0]["name"]
        self._running: dict[str, Execution] = {}
        # Models run here, so that the thread of a call is free to send progress and to see the caller go.
        self._pool = ThreadPoolExecutor(max_workers=1)

    def Describe(self, request, context):  # noqa: N802
        return self._description

    def Cancel(self, request, context):  # noqa: N802
        execution = self._running.get(request.execution_id)
        if execution is not None:
            execution.stop()
        return plugin_pb2.CancelExecutionResponse()

    def Execute(self, requests, context):  # noqa: N802
        first = next(requests, None)
        if first is None or first.WhichOneof("message") != "start":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The first message has to be start")
        start = first.start
        function = self._functions.get(start.function or self._first)
        if function is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f'There is no function "{start.function}"')
        try:
            data = _read_input(requests)
            progress: SimpleQueue = SimpleQueue()
            execution = Execution(progress.put)
            self._running[start.execution_id] = execution
            # Called at the end of the call, whatever ends it: deadline, cancellation, a lost connection.
            context.add_callback(execution.stop)
            answer: Future[dict] = self._pool.submit(function, data, execution)
            answer.add_done_callback(lambda _: progress.put(None))
            for fraction in iter(progress.get, None):
                yield plugin_pb2.ExecuteResponse(progress={"fraction": fraction})
            output = json.dumps(answer.result(), separators=(",", ":")).encode()
        except Refused as error:
            # A status without a meaning of its own is plugin_failed, as the same refusal of the plugin in Rust.
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        finally:
            self._running.pop(start.execution_id, None)
        for begin in range(0, len(output), CHUNK_BYTES):
            yield plugin_pb2.ExecuteResponse(chunk=output[begin : begin + CHUNK_BYTES])
        yield plugin_pb2.ExecuteResponse(result={"content_type": "application/json"})


def _read_input(requests: Iterator) -> bytes:
    data = bytearray()
    size = 0
    for request in requests:
        size += len(request.chunk)
        if size <= MAX_INPUT_BYTES:
            data += request.chunk
    if size > MAX_INPUT_BYTES:
        # Read to its end, so that the message can say how large it is.
        raise Refused(f"The input of {size} bytes is too large: send at most {MAX_INPUT_BYTES}")
    return bytes(data)


def serve(name: str, manifest_path: Path, make: Callable[[Models], dict[str, Function]]) -> None:
    """Runs until it is told to stop. `make` gets what the command line says of models, and gives the functions by name."""
    manifest = json.loads(manifest_path.read_text())
    parser = argparse.ArgumentParser(description=manifest["description"])
    parser.add_argument("--listen", default="127.0.0.1:8082", metavar="HOST:PORT", help="port 0 draws one")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="where the models lie that calls may name")
    parser.add_argument("--take-models", action="store_true", help="run models that calls bring: for callers you trust")
    options = parser.parse_args()
    if options.models is not None and not options.models.is_dir():
        parser.error(f"--models {options.models} is no folder")

    limits = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=limits)
    functions = make(Models(options.models, options.take_models))
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(Plugin(name, manifest, functions), server)
    status = health.HealthServicer()
    status.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    host = options.listen.rpartition(":")[0]
    port = server.add_insecure_port(options.listen)

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server.start()
    print(f"{name} listens on {host}:{port}", flush=True)
    stopping.wait()
    status.enter_graceful_shutdown()
    server.stop(GRACE_SECONDS).wait()
    print(f"{name} has ended", flush=True)
