//! The pump between two pairs of sockets.

use super::*;
use crate::channel::Channel;
use crate::dialect::ChannelKind;
use net::stream::Stream;
use std::cell::{Cell, RefCell};
use std::task::ready;
use tokio::net::UnixStream;

fn pair() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Stream::Unix(one), Stream::Unix(other))
}

/// A client that counts how often it is asked for bytes.
struct Client {
    stream: RefCell<Stream>,
    asked: Cell<usize>,
}

impl Tunnel for Client {
    fn poll_read(&self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.asked.set(self.asked.get() + 1);
        self.stream.borrow_mut().poll_read(cx, into)
    }

    fn still_waits(&self) -> bool {
        self.stream.borrow().still_waits()
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.borrow_mut().poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.borrow().shutdown_write())
    }
}

/// A tunnel, and the other ends of its connections.
struct Site {
    client: Client,
    upstream: RefCell<Box<UpstreamConnection>>,
    ways: RefCell<Ways>,
}

impl Site {
    fn new() -> (Site, Stream, Stream) {
        let ((client, user), (upstream, server)) = (pair(), pair());
        let upstream = UpstreamConnection::new(Channel::new(upstream, ChannelKind::Bytes), 0);
        let client = Client { stream: RefCell::new(client), asked: Cell::new(0) };
        (Site { client, upstream: RefCell::new(upstream), ways: RefCell::new(Ways::new(b"", 4096)) }, user, server)
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<End> {
        let mut upstream = self.upstream.borrow_mut();
        self.ways.borrow_mut().pump(cx, &self.client, &mut upstream).map_or_else(Poll::Ready, |_| Poll::Pending)
    }

    /// Carries bytes until the end, or as long as `other` takes.
    async fn carry<T>(&self, other: impl Future<Output = T>) -> (T, Option<End>) {
        let (mut other, mut end) = (std::pin::pin!(other), None);
        let done = std::future::poll_fn(|cx| {
            if end.is_none()
                && let Poll::Ready(ended) = self.poll(cx)
            {
                end = Some(ended);
            }
            Poll::Ready(ready!(other.as_mut().poll(cx)))
        })
        .await;
        (done, end)
    }
}

async fn expect(stream: &mut Stream, want: &[u8]) {
    let mut got = Vec::new();
    while got.len() < want.len() && stream.read(&mut got).await.unwrap() > 0 {}
    assert_eq!(got.len(), want.len());
    assert!(got == want);
}

#[tokio::test]
async fn who_is_silent_is_not_asked_again_for_what_the_other_side_says() {
    let (site, mut user, mut server) = Site::new();
    let talk = async {
        user.write_all(b"question").await.unwrap();
        expect(&mut server, b"question").await;
        let before = site.client.asked.get();
        for _ in 0..20 {
            server.write_all(b"word").await.unwrap();
            expect(&mut user, b"word").await;
        }
        assert_eq!(site.client.asked.get(), before);
        user.write_all(b"thanks").await.unwrap();
        expect(&mut server, b"thanks").await;
    };
    assert!(site.carry(talk).await.1.is_none());
}

#[tokio::test]
async fn all_bytes_arrive_whoever_speaks() {
    let long: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    // Longer than all the sockets between hold, so that each way has to wait for its reader.
    for (from_user, from_server) in [(&b"a"[..], &b"b"[..]), (&long, b"b"), (b"a", &long), (&long, &long)] {
        let (site, user, server) = Site::new();
        let (mut user, mut server) = (user, server);
        let talk = async {
            for _ in 0..3 {
                let (mut user_reads, mut server_reads) = (Vec::new(), Vec::new());
                let (mut user_wrote, mut server_wrote) = (0, 0);
                std::future::poll_fn(|cx| {
                    for (stream, bytes, wrote, reads) in [
                        (&mut user, from_user, &mut user_wrote, &mut user_reads),
                        (&mut server, from_server, &mut server_wrote, &mut server_reads),
                    ] {
                        while *wrote < bytes.len() {
                            match stream.poll_write_vectored(cx, &[IoSlice::new(&bytes[*wrote..])]) {
                                Poll::Ready(n) => *wrote += n.unwrap(),
                                Poll::Pending => break,
                            }
                        }
                        while let Poll::Ready(n) = stream.poll_read(cx, reads) {
                            assert!(n.unwrap() > 0);
                        }
                    }
                    let done = user_reads.len() == from_server.len() && server_reads.len() == from_user.len();
                    if done { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                assert!(user_reads == from_server && server_reads == from_user);
            }
        };
        assert!(site.carry(talk).await.1.is_none());
    }
}

#[tokio::test]
async fn the_end_of_one_side_is_the_end_after_its_last_bytes() {
    for user_leaves in [true, false] {
        let (site, mut user, mut server) = Site::new();
        // Both directions wait by now.
        let hello = async {
            user.write_all(b"hello").await.unwrap();
            expect(&mut server, b"hello").await;
        };
        site.carry(hello).await;
        let (leaving, staying) = if user_leaves { (&mut user, &mut server) } else { (&mut server, &mut user) };
        leaving.write_all(b"last").await.unwrap();
        leaving.shutdown_write().unwrap();
        let end = std::future::poll_fn(|cx| site.poll(cx)).await;
        assert!(matches!(end, End::Over));
        expect(staying, b"last").await;
    }
}

#[tokio::test]
async fn another_task_is_woken_too() {
    let (site, mut user, mut server) = Site::new();
    // It waits for a task that is never run again.
    assert!(site.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let talk = async {
        user.write_all(b"a").await.unwrap();
        expect(&mut server, b"a").await;
        server.write_all(b"b").await.unwrap();
        expect(&mut user, b"b").await;
    };
    site.carry(talk).await;
}

#[tokio::test]
async fn who_only_gave_way_is_not_taken_for_waiting() {
    let (site, _user, _server) = Site::new();
    std::future::poll_fn(|cx| {
        while let Poll::Ready(share) = tokio::task::coop::poll_proceed(cx) {
            share.made_progress();
        }
        assert!(site.poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    let ways = site.ways.borrow();
    assert!(!ways.up.waits && !ways.down.waits);
}
