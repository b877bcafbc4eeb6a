"""Calls through Lunette, each of a kind; an exception is a failure of the test."""
import queue
import sys
import time

import grpc

LIMITS = [("grpc.max_receive_message_length", 64 << 20)]
channel = grpc.insecure_channel("127.0.0.1:" + sys.argv[1], options=LIMITS)
TIME = 20


def fails(code, details, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code and details in error.details(), (error.code(), error.details())
        return
    raise AssertionError("no failure")


unary = channel.unary_unary("/test.Test/Unary")
for turn in range(5):
    answer, call = unary.with_call(b"abc", timeout=TIME, metadata=(("x-ask", str(turn)),))
    trailers = dict(call.trailing_metadata())
    assert answer == b"cba" and call.code() == grpc.StatusCode.OK, answer
    assert trailers == {"x-end": "unary", "x-asked": str(turn)}, trailers

download = channel.unary_stream("/test.Test/Download")
assert [int(message) for message in download(b"1000", timeout=TIME)] == list(range(1000))

upload = channel.stream_unary("/test.Test/Upload")
assert upload(iter([b"x" * 10_000] * 300), timeout=TIME) == b"3000000"

# Each message is answered before the next is sent.
waiting = queue.Queue()
answers = channel.stream_stream("/test.Test/Chat")(iter(waiting.get, None), timeout=TIME)
for word in (b"one", b"two", b"three"):
    waiting.put(word)
    assert next(answers) == b"<" + word + b">"
waiting.put(None)
assert list(answers) == []

assert len(channel.unary_unary("/test.Test/Big")(b"5000000", timeout=TIME)) == 5_000_000
fails(grpc.StatusCode.INVALID_ARGUMENT, "not this: x", lambda: channel.unary_unary("/test.Test/Fail")(b"x", timeout=TIME))
fails(grpc.StatusCode.UNIMPLEMENTED, "", lambda: channel.unary_unary("/test.Test/Nothing")(b"", timeout=TIME))
early = channel.stream_unary("/test.Test/Early")
fails(grpc.StatusCode.PERMISSION_DENIED, "not you", lambda: early(iter([b"x" * 1000] * 1000), timeout=TIME))

# Who gives a call up gives it up at the server, too: one whose messages are all sent, and one that could go on.
running = channel.unary_unary("/test.Test/Running")
for messages in (iter([b"x"]), iter(waiting.get, None)):
    call = channel.stream_stream("/test.Test/Endless")(messages, timeout=TIME)
    assert next(call) == b"begun" and running(b"", timeout=TIME) == b"1"
    call.cancel()
    end = time.monotonic() + TIME
    while running(b"", timeout=TIME) != b"0":
        assert time.monotonic() < end, "the call goes on"
        time.sleep(0.01)
waiting.put(None)

# Many at once, on one connection of the client and many of Lunette's.
calls = [unary.future(b"%d" % number, timeout=TIME) for number in range(200)]
assert [call.result() for call in calls] == [(b"%d" % number)[::-1] for number in range(200)]

# What Lunette answers by itself.
answer, call = channel.unary_unary("/lua.Test/Hello").with_call(b"you", timeout=TIME)
assert (answer, dict(call.trailing_metadata())) == (b"hello you", {"x-end": "lua"}), (answer, call.trailing_metadata())
fails(grpc.StatusCode.UNAVAILABLE, "nobody there", lambda: channel.unary_unary("/dead.Test/Hello")(b"", timeout=TIME))
print("good")
