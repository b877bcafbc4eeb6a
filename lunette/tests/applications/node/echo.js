// A WebSocket server without a library: it sends messages back, and pongs for pings.
const crypto = require('crypto');
const http = require('http');

const server = http.createServer((request, response) => {
    response.end('plain ' + request.url);
});

function frame(first, payload) {
    const size = payload.length;
    let head;
    if (size < 126) {
        head = Buffer.from([first, size]);
    } else if (size < 65536) {
        head = Buffer.alloc(4);
        head.writeUInt16BE(size, 2);
        head[1] = 126;
    } else {
        head = Buffer.alloc(10);
        head.writeBigUInt64BE(BigInt(size), 2);
        head[1] = 127;
    }
    head[0] = first;
    return Buffer.concat([head, payload]);
}

// A frame that is whole: its first byte, its payload, and how long it was.
function parse(bytes) {
    if (bytes.length < 2) return null;
    let [size, at] = [bytes[1] & 127, 2];
    if (size === 126) {
        if (bytes.length < 4) return null;
        [size, at] = [bytes.readUInt16BE(2), 4];
    } else if (size === 127) {
        if (bytes.length < 10) return null;
        [size, at] = [Number(bytes.readBigUInt64BE(2)), 10];
    }
    if (bytes.length < at + 4 + size) return null;
    const mask = bytes.subarray(at, at + 4);
    const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + size));
    for (let i = 0; i < size; i++) payload[i] ^= mask[i % 4];
    return { first: bytes[0], payload, end: at + 4 + size };
}

server.on('upgrade', (request, socket, head) => {
    if (request.headers['x-refuse']) {
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n');
        return;
    }
    const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
    const accept = crypto.createHash('sha1').update(key).digest('base64');
    let greeting = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n';
    greeting += `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${request.headers['sec-websocket-protocol']}\r\n\r\n`;
    // The first message comes with the head, in one packet.
    socket.write(Buffer.concat([Buffer.from(greeting), frame(0x81, Buffer.from('hello ' + request.url))]));
    let pending = head;
    const take = () => {
        for (let one = parse(pending); one; one = parse(pending)) {
            pending = pending.subarray(one.end);
            const kind = one.first & 15;
            socket.write(frame(kind === 9 ? 0x8a : one.first, one.payload));
            if (kind === 8) socket.end();
        }
    };
    socket.on('data', (data) => {
        pending = Buffer.concat([pending, data]);
        take();
    });
    socket.on('error', () => {});
    take();
});

server.listen(Number(process.argv[2]), '127.0.0.1');
