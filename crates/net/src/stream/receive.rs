//! Receiving from a socket that the event loop knows, of either kind.

/// Receives from a registered socket, within the task's share of its turn. `$make_room` runs when something may be there, before a look.
///
/// A read that gets less than it has room for has taken all there was. The loop is told so, which saves the call that would only say it: what
/// comes later is reported as new.
macro_rules! poll_receive {
    ($stream:expr, $cx:expr, $into:expr, $most:expr, $make_room:expr) => {{
        loop {
            ready!($stream.poll_read_ready($cx))?;
            $make_room($into);
            let room = ($into.capacity() - $into.len()).min($most);
            let mut received = None;
            let all_taken = $stream.try_io(Interest::READABLE, || match sys::descriptor::receive_at_most($stream.as_fd(), $into, room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                result => {
                    let is_all = matches!(result, Ok(count) if count > 0 && count < room);
                    received = Some(result);
                    if is_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
                }
            });
            // What it says is known.
            drop(all_taken);
            if let Some(result) = received {
                break Poll::Ready(result);
            }
        }
    }};
}
pub(super) use poll_receive;
