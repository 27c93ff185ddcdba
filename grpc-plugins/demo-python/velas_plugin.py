"""Serves functions to a Velas Sphere node over gRPC. Copy it with your plugin; docs/plugins.md of the node says what it does and why."""

import hmac
import inspect
import os
import queue
import signal
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

import plugin_pb2 as pb
import plugin_pb2_grpc

PIECE_BYTES = 1 << 20  # gRPC takes messages of up to 4 MiB
GRACE_SECONDS = 4  # the node kills after five
WORKERS = 8
WAITING = 64  # messages of a function that the node has not read yet
LEVELS = {"trace": 1, "debug": 2, "info": 3, "warn": 4, "error": 5}

_functions = {}


class Canceled(Exception):
    """Nobody waits for the result any more."""


class Call:
    """One run of a function: its input, and what it may say in between."""

    def __init__(self, start, requests, context):
        self.content_type = start.content_type
        self.limits = start.limits
        self._requests = requests
        self._context = context
        self._messages = queue.Queue(WAITING)
        self.gpu_micros = 0

    def chunks(self):
        """The input, in pieces as they come."""
        for request in self._requests:
            if request.WhichOneof("message") == "chunk":
                yield request.chunk

    def bytes(self):
        """The whole input."""
        return b"".join(self.chunks())

    def text(self):
        """The whole input as UTF-8 text. Raises ValueError when it is none."""
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise ValueError("The input is not UTF-8 text") from None

    @property
    def canceled(self):
        """Whether nobody waits for the result any more: stop then."""
        return not self._context.is_active()

    def log(self, message, level="info"):
        """Adds a line to the task's log, at once. Raises Canceled when nobody waits any more."""
        self.send(pb.ExecuteResponse(log=pb.LogEvent(level=LEVELS[level], message=message)))

    def progress(self, fraction, message=""):
        """Says how far the function is, from 0 to 1."""
        self.send(pb.ExecuteResponse(progress=pb.ProgressEvent(fraction=fraction, message=message)))

    def used_gpu(self, seconds):
        """Adds to the time that the function worked on the GPU. Only a plugin that is served with gpu=True is paid for it."""
        self.gpu_micros += max(0, round(seconds * 1e6))

    def send(self, message):
        """Hands a message to the thread that answers the node, and waits while that is behind."""
        while not self.canceled:
            try:
                return self._messages.put(message, timeout=0.2)
            except queue.Full:
                pass
        raise Canceled("Canceled")

    def take(self):
        """The next message; None when there is none for a moment."""
        try:
            return self._messages.get(timeout=1)
        except queue.Empty:
            return None


def function(input_type="", output_type=""):
    """Makes a function one that tasks can name. It gets a Call, and returns bytes or text, or yields bytes."""

    def add(run):
        _functions[run.__name__] = (run, input_type, output_type)
        return run

    return add


class _Service(plugin_pb2_grpc.PluginServiceServicer):
    def __init__(self, name, version, description, gpu):
        self._description = pb.DescribePluginResponse(
            name=name,
            version=version,
            description=description,
            gpu=gpu,
            max_concurrency=WORKERS - 2,  # the rest answers questions about health
            functions=[
                pb.FunctionInfo(
                    name=name,
                    input_content_type=input_type,
                    output_content_type=output_type,
                    description=inspect.getdoc(run) or "",
                )
                for name, (run, input_type, output_type) in _functions.items()
            ],
        )

    def Describe(self, request, context):
        return self._description

    def Execute(self, requests, context):
        first = next(requests, None)
        if first is None or first.WhichOneof("message") != "start":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The first message must be start")
        found = _functions.get(first.start.function)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"There is no function {first.start.function!r}")
        run, _, output_type = found
        call = Call(first.start, requests, context)
        # In a thread of its own, so that what it says goes out while it runs.
        threading.Thread(target=self._run, args=(run, output_type, call), daemon=True).start()
        while not call.canceled:
            message = call.take()
            if isinstance(message, Exception):
                context.abort(grpc.StatusCode.UNKNOWN, str(message) or type(message).__name__)
            if message is None:
                continue
            yield message
            if message.WhichOneof("message") == "result":
                return

    def _run(self, run, output_type, call):
        try:
            try:
                output = run(call)
                for piece in output if inspect.isgenerator(output) else [output]:
                    piece = piece.encode() if isinstance(piece, str) else piece
                    for at in range(0, len(piece), PIECE_BYTES):
                        call.send(pb.ExecuteResponse(chunk=piece[at : at + PIECE_BYTES]))
                result = pb.ExecuteResult(content_type=output_type, gpu_micros=call.gpu_micros)
                call.send(pb.ExecuteResponse(result=result))
            except Exception as error:  # whatever a function raises is its task's failure, not the plugin's
                call.send(error)
        except Canceled:
            pass

    def Cancel(self, request, context):
        return pb.CancelExecutionResponse()  # gRPC has canceled the call itself


class _OnlyWithSecret(grpc.ServerInterceptor):
    def __init__(self, secret):
        self._secret = secret

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        given = dict(details.invocation_metadata).get("velas-plugin-secret", "")
        if handler is None or hmac.compare_digest(given.encode(), self._secret.encode()):
            return handler

        def refuse(_, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call does not carry this plugin's secret")

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(refuse)
        return grpc.unary_unary_rpc_method_handler(refuse)


def serve(name, version, description, gpu=False):
    """Serves until the node is gone: on its socket when a node runs the program, else on the address in the arguments.

    With gpu=True the node executes one function at a time of all plugins that work on its GPU."""
    socket = os.environ.get("VELAS_SPHERE_PLUGIN_SOCKET", "")
    secret = os.environ.get("VELAS_SPHERE_PLUGIN_SECRET", "")
    if socket and not secret:
        sys.exit("VELAS_SPHERE_PLUGIN_SOCKET is set without VELAS_SPHERE_PLUGIN_SECRET")
    address = f"unix:{socket}" if socket else (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8082")
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=WORKERS),
        interceptors=[_OnlyWithSecret(secret)] if socket else [],
    )
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(_Service(name, version, description, gpu), server)
    state = health.HealthServicer()
    state.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    server.add_insecure_port(address)
    server.start()
    print(f"{name} {version} serves on {address}", flush=True)
    over = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: over.set())
    if socket:

        def watch():
            sys.stdin.buffer.read()  # ends when the node does
            over.set()

        threading.Thread(target=watch, daemon=True).start()
    over.wait()
    server.stop(GRACE_SECONDS).wait()
    os._exit(0)  # a function that does not end must not keep the program
