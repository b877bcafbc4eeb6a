//! Streams against each other.

use super::read::ROOM;
use super::*;
use std::io::IoSlice;
use std::task::{Context, Poll};

fn pair() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Stream::Unix(one), Stream::Unix(other))
}

#[tokio::test]
async fn bytes_cross_and_the_end_is_seen() {
    let (mut one, mut other) = pair();
    let mut buffer = Vec::new();
    assert_eq!(other.try_read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(one.try_write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]).unwrap(), 3);
    assert_eq!(other.read(&mut buffer).await.unwrap(), 3);
    one.write_all(b"de").await.unwrap();
    one.shutdown_write().unwrap();
    assert_eq!(other.read(&mut buffer).await.unwrap(), 2);
    assert_eq!(other.read(&mut buffer).await.unwrap(), 0);
    assert_eq!(buffer, b"abcde");
}

#[tokio::test]
async fn a_file_goes_out_whole() {
    let path = std::env::temp_dir().join(format!("lunette-stream-{}", std::process::id()));
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &content).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut one, mut other) = pair();
    let sending = async {
        let mut offset = 0;
        loop {
            let sent = std::future::poll_fn(|cx| one.poll_send_file(cx, &file, offset, 1 << 20)).await.unwrap();
            if sent == 0 {
                break;
            }
            offset += sent as u64;
        }
        one.shutdown_write().unwrap();
    };
    let mut got = Vec::new();
    let receiving = async { while other.read(&mut got).await.unwrap() > 0 {} };
    tokio::join!(sending, receiving);
    assert!(got == content);
}

#[tokio::test]
async fn quiet_ends_with_a_byte_or_the_peer() {
    let (mut one, other) = pair();
    tokio::task::yield_now().await;
    assert!(one.is_quiet());
    drop(other);
    one.readable().await.unwrap();
    assert!(!one.is_quiet());
}

#[tokio::test]
async fn a_socket_leaves_the_loop_and_comes_back() {
    let (one, mut other) = pair();
    let transport = one.transport();
    let mut one = Stream::from_fd(one.into_fd().unwrap(), transport);
    other.write_all(b"x").await.unwrap();
    let mut buffer = Vec::new();
    assert_eq!(one.read(&mut buffer).await.unwrap(), 1);
}

/// Two ends that the event loop does not know yet.
fn fresh_pair() -> (Stream, Stream) {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    (Stream::from_fd(one.into(), Transport::Unix), Stream::from_fd(other.into(), Transport::Unix))
}

#[tokio::test]
async fn whose_bytes_are_there_is_served_without_the_loop() {
    let (mut client, mut server) = fresh_pair();
    assert_eq!(client.try_write(b"request").unwrap(), 7);
    let mut input = Vec::new();
    assert_eq!(server.read(&mut input).await.unwrap(), 7);
    assert_eq!(server.try_write_vectored(&[IoSlice::new(b"ans"), IoSlice::new(b"wer")]).unwrap(), 6);
    assert!(matches!((&client, &server), (Stream::Fresh(_), Stream::Fresh(_))));
    assert!(!client.is_quiet() && server.is_quiet());
    drop(server);
    assert_eq!(client.read(&mut input).await.unwrap(), 6);
    assert_eq!(client.read(&mut input).await.unwrap(), 0);
    assert_eq!(input, b"requestanswer");
}

#[tokio::test]
async fn who_must_wait_is_registered_and_woken() {
    let (mut client, mut server) = fresh_pair();
    let mut input = Vec::new();
    for word in [&b"one"[..], b"two"] {
        // Before the wait, and during it.
        let read = async { server.read(&mut input).await.unwrap() };
        let write = async {
            tokio::task::yield_now().await;
            client.write_all(word).await.unwrap();
        };
        assert_eq!(tokio::join!(read, write).0, 3);
    }
    // Who only writes, and finds room, need not wait.
    assert!(matches!((&client, &server), (Stream::Fresh(_), Stream::Unix(_))));
    assert_eq!(input, b"onetwo");
}

#[tokio::test]
async fn what_comes_between_the_last_read_and_registering_is_seen() {
    let (client, mut server) = fresh_pair();
    let mut input = Vec::new();
    client.try_write(b"a").unwrap();
    assert_eq!(server.read(&mut input).await.unwrap(), 1);
    // The next read does not ask the socket again before it is registered.
    client.try_write(b"b").unwrap();
    assert_eq!(server.read(&mut input).await.unwrap(), 1);
    assert_eq!(input, b"ab");
}

#[tokio::test]
async fn a_full_fresh_socket_takes_the_rest_later() {
    let (mut client, mut server) = fresh_pair();
    let data = vec![7; 1 << 20];
    let first = client.try_write(&data).unwrap();
    assert!(first > 0 && first < data.len());
    let rest = data.get(first..).unwrap().to_vec();
    let sending = async {
        client.write_all(&rest).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let receiving = async { while server.read(&mut got).await.unwrap() > 0 {} };
    tokio::join!(sending, receiving);
    assert!(got == data);
}

#[tokio::test]
async fn a_read_that_fills_the_buffer_is_followed_by_another() {
    let (mut one, mut other) = pair();
    let data: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let sending = async {
        for part in data.chunks(7000) {
            one.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        one.shutdown().await.unwrap();
    };
    let (mut got, mut buffer) = (Vec::new(), Vec::with_capacity(ROOM));
    let receiving = async {
        while other.read(&mut buffer).await.unwrap() > 0 {
            got.append(&mut buffer);
            buffer.reserve_exact(ROOM);
        }
    };
    tokio::join!(sending, receiving);
    assert!(got == data);
}

#[tokio::test]
async fn who_always_has_bytes_gives_way() {
    let (one, mut other) = pair();
    let (mut reads, mut gave_way) = (0, false);
    std::future::poll_fn(|cx| {
        while reads < 1000 && !gave_way {
            // Blocked or not, something is there.
            let _ = one.try_write(&[1; ROOM]);
            match other.poll_read(cx, &mut Vec::with_capacity(ROOM)) {
                Poll::Ready(read) => reads += usize::from(read.unwrap() > 0),
                Poll::Pending if reads > 0 => gave_way = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    })
    .await;
    assert!(gave_way && reads < 1000, "{reads}");
}

/// Others must have their turn, however much is there.
#[tokio::test]
async fn a_fresh_socket_that_is_always_full_comes_to_the_event_loop() {
    let (client, mut server) = fresh_pair();
    let sent = client.try_write(&[b'x'; 64 * 1024]).unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let (mut buffer, mut got, mut reads) = (Vec::with_capacity(2048), 0, 0);
    while let Poll::Ready(read) = server.poll_read(&mut cx, &mut buffer) {
        got += read.unwrap();
        reads += 1;
        buffer.clear();
    }
    assert!(reads <= 4 && got < sent, "{reads} reads, {got} of {sent} bytes");
    assert!(!matches!(server, Stream::Fresh(_)));
    while got < sent {
        got += server.read(&mut buffer).await.unwrap();
        buffer.clear();
    }
}

#[tokio::test]
async fn a_read_waits_until_the_loop_reports_something() {
    fn arrive(other: &Stream) {
        other.try_write(b"a").unwrap();
    }
    fn leave(other: &Stream) {
        other.shutdown_write().unwrap();
    }
    for (happens, want) in [(arrive as fn(&Stream), 1), (leave, 0)] {
        let (mut one, other) = pair();
        let mut bytes = Vec::new();
        // The loop reports first that the socket can be written.
        tokio::task::yield_now().await;
        assert!(std::future::poll_fn(|cx| Poll::Ready(one.poll_read(cx, &mut bytes))).await.is_pending());
        assert!(one.still_waits());
        happens(&other);
        one.readable().await.unwrap();
        assert!(!one.still_waits());
        assert_eq!(one.read(&mut bytes).await.unwrap(), want);
    }
}
