"""A gRPC server without generated code: messages are bytes."""
import sys
import time
from concurrent import futures

import grpc

# One for each call that goes on.
CALLS = []


def unary(request, context):
    context.set_trailing_metadata((("x-end", "unary"), ("x-asked", dict(context.invocation_metadata()).get("x-ask", "-"))))
    return request[::-1]


def download(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def upload(requests, context):
    return b"%d" % sum(len(message) for message in requests)


def chat(requests, context):
    for message in requests:
        yield b"<" + message + b">"


def fail(request, context):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this: " + request.decode())


def early(requests, context):
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")


def endless(requests, context):
    CALLS.append(None)
    context.add_callback(CALLS.pop)
    yield b"begun"
    while context.is_active():
        time.sleep(0.01)


def running(request, context):
    return b"%d" % len(CALLS)


def big(request, context):
    return b"x" * int(request)


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Download": grpc.unary_stream_rpc_method_handler(download),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Early": grpc.stream_unary_rpc_method_handler(early),
    "Endless": grpc.stream_stream_rpc_method_handler(endless),
    "Running": grpc.unary_unary_rpc_method_handler(running),
    "Big": grpc.unary_unary_rpc_method_handler(big),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", HANDLERS),))
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
server.wait_for_termination()
