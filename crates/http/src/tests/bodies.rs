//! Bodies of requests: how they come, where they are kept, and what is refused.

use super::*;
use crate::body::{self, Body, BodyState};
use crate::core::TempPath;
use crate::line::Version;

/// A directory for the bodies that do not fit into memory.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("lunette-bodies-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing is lost if it stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A request with a body of which these parts come.
fn sending(core: Core, length: Option<u64>, parts: impl IntoIterator<Item = Arrival>) -> Fixture {
    let made = setup(RequestSpec { core, ..RequestSpec::default() });
    made.request.body.replace(Rc::new(Body::on_wire(length)));
    made.client.body.borrow_mut().extend(parts);
    made
}

fn kept(directory: &Directory) -> Core {
    Core {
        client_body_buffer_size: Some(8),
        client_body_temp_path: Some(TempPath { path: directory.0.clone(), levels: [0; 3] }),
        ..Core::default()
    }
}

#[test]
fn bodies_stay_in_memory_while_they_fit() {
    let directory = Directory::new("fit");
    let rows: &[(Option<u64>, Version, &[&'static [u8]], bool)] = &[
        (Some(8), Version::Http11, &[b"12345678"], false),
        (Some(4), Version::Http11, &[b"12", b"34"], false),
        // A quarter more is no reason for a file where the length is known before, in HTTP/1.
        (Some(10), Version::Http11, &[b"1234567890"], false),
        (Some(11), Version::Http11, &[b"12345678901"], true),
        (Some(10), Version::Http2, &[b"1234567890"], true),
        (None, Version::Http11, &[b"1234", b"5678"], false),
        (None, Version::Http11, &[b"1234", b"5678", b"9"], true),
        (None, Version::Http11, &[], false),
    ];
    for (row, (length, version, parts, in_file)) in rows.iter().enumerate() {
        let made = sending(kept(&directory), *length, parts.iter().map(|part| Arrival::Bytes(part)));
        made.request.line.borrow_mut().version = *version;
        assert_eq!(outcome(body::read(&made.request)), Outcome::Ok, "row {row}");
        let body = made.request.body.borrow().clone();
        let whole = parts.concat();
        assert_eq!(
            (body.state(), body.length(), body.size()),
            (BodyState::Read, Some(whole.len() as u64), whole.len() as u64),
            "row {row}"
        );
        assert_eq!(body.to_vec().unwrap(), whole, "row {row}");
        assert_eq!(body.file().is_some(), *in_file, "row {row}");
        assert_eq!(made.lines.borrow().contains("is buffered to a temporary file"), *in_file, "row {row}");
    }
    assert_eq!(directory.files(), 0, "files go with their requests");
}

#[test]
fn files_that_were_asked_for_are_made_without_a_warning_and_stay_if_so_said() {
    for (in_file_only, left) in [(1, 1), (2, 0)] {
        let directory = Directory::new("only");
        let core = Core { client_body_in_file_only: Some(in_file_only), ..kept(&directory) };
        let made = sending(core, Some(2), [Arrival::Bytes(b"ab")]);
        assert_eq!(outcome(body::read(&made.request)), Outcome::Ok);
        let file = made.request.body.borrow().file().unwrap();
        assert_eq!(std::fs::read(&file.path).unwrap(), b"ab");
        assert_eq!(*made.lines.borrow(), "");
        drop((file, made));
        assert_eq!(directory.files(), left, "client_body_in_file_only {in_file_only}");
    }
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let small = || Core { client_max_body_size: Some(4), ..Core::default() };
    let rows = [
        (Core::default(), vec![Arrival::Fails(BodyError::Closed)], 400, "client prematurely closed connection"),
        (
            Core::default(),
            vec![Arrival::Bytes(b"a"), Arrival::Fails(BodyError::TimedOut)],
            408,
            "client timed out (110: Connection timed out)",
        ),
        (Core::default(), vec![Arrival::Nothing, Arrival::Fails(BodyError::Invalid)], 400, "client sent invalid chunked body"),
        (small(), vec![Arrival::Bytes(b"1234"), Arrival::Bytes(b"5")], 413, "client intended to send too large chunked body: 5 bytes"),
    ];
    for (core, parts, status, line) in rows {
        let made = sending(core, None, parts);
        assert_eq!(outcome(body::read(&made.request)), Outcome::Status(status), "{line}");
        assert!(made.lines.borrow().contains(line), "{}", made.lines.borrow());
        assert!(!made.request.body.borrow().is_being_read());
        if status == 413 {
            assert_eq!(made.request.body.borrow().state(), BodyState::Discarded);
            assert_eq!(made.request.body.borrow().with_data(<[u8]>::len), 0, "nothing of it is kept");
        } else {
            assert!(!made.request.flags.keepalive.get(), "{line}");
        }
        assert_eq!(made.request.flags.client_gone.get(), line.contains("prematurely"), "{line}");
    }
    for (left, version, line) in [
        (Some(0), Version::Http11, "too large chunked body: 3+3 bytes"),
        (Some(7), Version::Http11, "too large chunked body: 3+10 bytes"),
        (None, Version::Http2, "too large chunked body: 6 bytes"),
        (None, Version::Http3, "too large body: 3+3 bytes"),
    ] {
        let made = sending(small(), None, [Arrival::Bytes(b"abc"), Arrival::Announces(left), Arrival::Bytes(b"def")]);
        made.request.line.borrow_mut().version = version;
        assert_eq!(outcome(body::read(&made.request)), Outcome::Status(413), "{line}");
        assert!(made.lines.borrow().contains(line), "{}", made.lines.borrow());
    }
    let unlimited = Core { client_max_body_size: Some(0), ..Core::default() };
    let made = sending(unlimited, None, [Arrival::Bytes(b"12345")]);
    assert_eq!(outcome(body::read(&made.request)), Outcome::Ok);
}

#[test]
fn a_body_that_cannot_be_written_down_is_an_error_of_ours() {
    let core = Core {
        client_body_in_file_only: Some(2),
        client_body_temp_path: Some(TempPath { path: "/dev/null/none".into(), levels: [0; 3] }),
        ..Core::default()
    };
    let made = sending(core, Some(1), [Arrival::Bytes(b"a")]);
    assert_eq!(outcome(body::read(&made.request)), Outcome::Status(500));
    let line = "writing the client request body to a temporary file failed (20: Not a directory)";
    assert!(made.lines.borrow().contains(line), "{}", made.lines.borrow());
}

#[test]
fn a_client_that_waits_for_consent_gets_it_once() {
    let rows = [
        (true, Version::Http11, false, 1),
        (false, Version::Http11, false, 0),
        (true, Version::Http10, false, 0),
        // The response is on its way already.
        (true, Version::Http11, true, 0),
    ];
    for (expects, version, answered, times) in rows {
        let made = sending(Core::default(), Some(1), [Arrival::Nothing, Arrival::Bytes(b"a")]);
        made.request.flags.expects_continue.set(expects);
        made.request.flags.header_sent.set(answered);
        made.request.line.borrow_mut().version = version;
        assert_eq!(outcome(body::read(&made.request)), Outcome::Ok);
        assert_eq!(outcome(body::read(&made.request)), Outcome::Ok, "what was read is read");
        assert_eq!(made.client.interim.borrow().len(), times, "{version:?}");
    }
}

#[test]
fn a_body_is_read_once_and_code_may_give_another() {
    let made = sending(Core::default(), Some(1), [Arrival::Bytes(b"a"), Arrival::Fails(BodyError::Closed)]);
    // The end is not asked for again: it would fail.
    made.request.body.borrow().set_state(BodyState::Discarded);
    assert_eq!(outcome(body::read(&made.request)), Outcome::Ok);
    body::replace(&made.request, Body::from_bytes(b"own".to_vec()));
    let body = made.request.body.borrow().clone();
    assert_eq!((body.length(), body.size(), body.is_none()), (Some(3), 3, false));
    assert!(Body::none().is_none());
}

#[test]
fn a_file_as_a_body_goes_with_it_if_so_said() {
    let directory = Directory::new("given");
    let path = directory.0.join("body");
    std::fs::write(&path, b"content").unwrap();
    let lent = body::from_file(&path, false).unwrap();
    assert_eq!((lent.length(), lent.size(), lent.to_vec().unwrap()), (Some(7), 7, b"content".to_vec()));
    drop(lent);
    assert!(path.exists());
    drop(body::from_file(&path, true).unwrap());
    assert!(!path.exists());
    assert!(body::from_file(&path, true).is_err());
}

#[test]
fn names_of_files_are_spread_over_the_levels() {
    let directory = Directory::new("levels");
    let levels = TempPath { path: directory.0.clone(), levels: [1, 2, 0] };
    let file = crate::body::TempFile::create(&levels).unwrap();
    let name = file.path.file_name().unwrap().to_str().unwrap().to_owned();
    let (last, two) = (&name[name.len() - 1..], &name[name.len() - 3..name.len() - 1]);
    assert_eq!(file.path, directory.0.join(last).join(two).join(&name));
    assert_eq!(name.len(), 10);
}
