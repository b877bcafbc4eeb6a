"""A gRPC server without generated code: messages are bytes."""
import sys
from concurrent import futures

import grpc


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


def big(request, context):
    return b"x" * int(request)


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Download": grpc.unary_stream_rpc_method_handler(download),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Early": grpc.stream_unary_rpc_method_handler(early),
    "Big": grpc.unary_unary_rpc_method_handler(big),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", HANDLERS),))
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
server.wait_for_termination()
