"""Serves functions to a Velas Sphere node over gRPC. Copy it with your plugin; docs/plugins.md of the node says what it does and why."""

import hmac
import inspect
import os
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
LEVELS = {"trace": 1, "debug": 2, "info": 3, "warn": 4, "error": 5}

_functions = {}


class Call:
    """One run of a function: its input, and what it may say in between."""

    def __init__(self, start, requests, context):
        self.content_type = start.content_type
        self.limits = start.limits
        self._requests = requests
        self._context = context
        self._said = []

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
        """Adds a line to the task's log. It goes out with the next piece of output, or at the end."""
        self._said.append(pb.ExecuteResponse(log=pb.LogEvent(level=LEVELS[level], message=message)))

    def progress(self, fraction, message=""):
        """Says how far the function is, from 0 to 1."""
        self._said.append(pb.ExecuteResponse(progress=pb.ProgressEvent(fraction=fraction, message=message)))

    def take_said(self):
        said, self._said = self._said, []
        return said


def function(input_type="", output_type=""):
    """Makes a function one that tasks can name. It gets a Call, and returns bytes or text, or yields bytes."""

    def add(run):
        _functions[run.__name__] = (run, input_type, output_type)
        return run

    return add


class _Service(plugin_pb2_grpc.PluginServiceServicer):
    def __init__(self, name, version, description):
        self._description = pb.DescribePluginResponse(
            name=name,
            version=version,
            description=description,
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
        try:
            output = run(call)
            for piece in output if inspect.isgenerator(output) else [output]:
                yield from call.take_said()
                piece = piece.encode() if isinstance(piece, str) else piece
                for at in range(0, len(piece), PIECE_BYTES):
                    yield pb.ExecuteResponse(chunk=piece[at : at + PIECE_BYTES])
            yield from call.take_said()
        except Exception as error:  # whatever a function raises is its task's failure, not the plugin's
            context.abort(grpc.StatusCode.UNKNOWN, str(error) or type(error).__name__)
        yield pb.ExecuteResponse(result=pb.ExecuteResult(content_type=output_type))

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


def serve(name, version, description):
    """Serves until the node is gone: on its socket when a node runs the program, else on the address in the arguments."""
    socket = os.environ.get("VELAS_SPHERE_PLUGIN_SOCKET", "")
    secret = os.environ.get("VELAS_SPHERE_PLUGIN_SECRET", "")
    if socket and not secret:
        sys.exit("VELAS_SPHERE_PLUGIN_SOCKET is set without VELAS_SPHERE_PLUGIN_SECRET")
    address = f"unix:{socket}" if socket else (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8082")
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=WORKERS),
        interceptors=[_OnlyWithSecret(secret)] if socket else [],
    )
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(_Service(name, version, description), server)
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
