"""Runs a task, and puts and gets a file, by gRPC. Usage: client.py HOST:PORT (README.md tells how the messages are generated)."""

import sys

import grpc
from velas.sphere.v1 import file_pb2, file_pb2_grpc, task_pb2, task_pb2_grpc

PIECE_BYTES = 1 << 18


def run_task(channel, text):
    tasks = task_pb2_grpc.TaskServiceStub(channel)
    task = task_pb2.TaskSpec(plugin="demo", input=text.encode())
    return tasks.Run(task_pb2.RunTaskRequest(task=task), timeout=30).output.decode()


def put_file(channel, name, content):
    def messages():
        order = file_pb2.PutFileOrder(name=name, size_bytes=len(content), allow_fewer=True)
        yield file_pb2.PutFileRequest(order=order)
        for at in range(0, len(content), PIECE_BYTES):
            yield file_pb2.PutFileRequest(chunk=content[at : at + PIECE_BYTES])
        # Without it, what came counts as the beginning of an upload that broke off.
        yield file_pb2.PutFileRequest(end=file_pb2.PutFileEnd())

    for answer in file_pb2_grpc.FileServiceStub(channel).Put(messages(), timeout=60):
        if answer.WhichOneof("message") == "file":
            return answer.file
    raise RuntimeError("the node ended the upload without a record")


def get_file(channel, name):
    request = file_pb2.GetFileRequest(file=file_pb2.FileRef(name=name))
    answers = file_pb2_grpc.FileServiceStub(channel).Get(request, timeout=60)
    return b"".join(answer.chunk for answer in answers)


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        print(run_task(channel, "hello"))
        content = bytes(range(256)) * 4096
        stored = put_file(channel, "examples/python.bin", content)
        assert get_file(channel, stored.name) == content
        print(f"{stored.name} {stored.size_bytes} {stored.sha256.hex()}")


if __name__ == "__main__":
    main()
