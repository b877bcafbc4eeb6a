//! Bytes sent to a port and the bytes that come back, for examples of `stream`.

use crate::rig::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};

/// The bytes that a block shows: its text without the last line end, where `\\r`, `\\n`, `\\t`, `\\\\` and `\\xHH` stand for bytes.
pub(crate) fn unescape(block: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = block.strip_suffix('\n').unwrap_or(block);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, length) = match rest.as_bytes().get(at + 1) {
            Some(b'r') => (b'\r', 2),
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(b'x') => (rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'?'), 4),
            _ => (b'\\', 2),
        };
        bytes.push(byte);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Sends to a port and reads until the other side closes. Once all that is expected has come, this side closes too.
///
/// # Errors
/// Those of the connection.
pub(crate) fn exchange(port: u16, sent: &[u8], expected: usize) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(sent)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let mut is_open = true;
    loop {
        if is_open && answer.len() >= expected {
            // The other side may have been faster.
            drop(stream.shutdown(Shutdown::Write));
            is_open = false;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // Who refuses may reset the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(answer),
            Err(error) => return Err(error),
        }
    }
}

/// Sends a datagram to a port and receives one.
///
/// # Errors
/// Those of the socket.
pub(crate) fn datagram(port: u16, sent: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(sent)?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}
