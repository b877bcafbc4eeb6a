"""Asks a server for things side by side with the h2 library, and prints "good"."""
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["h2"])
raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
stream = context.wrap_socket(raw, server_hostname="localhost")
assert stream.selected_alpn_protocol() == "h2"
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
connection.initiate_connection()


def head(method, path):
    return [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]


wanted = {}
for number in range(100):
    identifier = connection.get_next_available_stream_id()
    connection.send_headers(identifier, head("GET", f"/i/{number}.png"), end_stream=True)
    wanted[identifier] = "image"
upload = connection.get_next_available_stream_id()
connection.send_headers(upload, head("POST", "/length"))
left = b"x" * 200000
wanted[upload] = "200000"
trailers = connection.get_next_available_stream_id()
connection.send_headers(trailers, head("GET", "/trailers"), end_stream=True)
wanted[trailers] = "body"
bodies, statuses, fields, ended = {}, {}, {}, set()
while len(ended) < len(wanted):
    while left is not None and connection.local_flow_control_window(upload) > 0:
        size = min(connection.local_flow_control_window(upload), connection.max_outbound_frame_size, len(left))
        connection.send_data(upload, left[:size], end_stream=size == len(left))
        left = left[size:] or None
    stream.sendall(connection.data_to_send())
    data = stream.recv(65536)
    assert data, "closed"
    for event in connection.receive_data(data):
        if isinstance(event, h2.events.ResponseReceived):
            statuses[event.stream_id] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.DataReceived):
            bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            fields[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            ended.add(event.stream_id)
        else:
            assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)), event
for identifier, text in wanted.items():
    assert statuses[identifier] == "200", (identifier, statuses[identifier])
    assert bodies[identifier].startswith(b"\x89PNG") if text == "image" else bodies[identifier] == text.encode(), identifier
assert fields[trailers] == {"x-sum": "42"}, fields
print("good")
