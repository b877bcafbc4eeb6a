//! Answers on their way through filters to the wire.

use super::*;
use crate::body::{Body, BodyState};
use crate::chain::FilePiece;
use crate::line::Version;
use std::io::Write;

#[test]
fn answers_without_a_body_send_none() {
    let rows = [
        (Method::GET, 200, false),
        (Method::HEAD, 200, true),
        (Method::GET, 204, true),
        (Method::GET, 304, true),
        (Method::GET, 205, false),
        (Method::POST, 404, false),
        (Method::HEAD, 404, true),
    ];
    for (method, status, bodiless) in rows {
        let made = setup(RequestSpec::default());
        made.request.line.borrow_mut().method = method;
        assert_eq!(outcome(made.request.respond(status, b"text/plain", "body")), Outcome::Ok);
        assert_eq!(*made.client.heads.borrow(), [status]);
        assert_eq!(made.client.answer().is_empty(), bodiless, "{method:?} {status}");
        assert_eq!(made.request.response.borrow().content_length, Some(4), "{method:?} {status}");
    }
}

#[test]
fn a_head_leaves_once_and_not_in_http_0_9() {
    let made = setup(RequestSpec::default());
    assert_eq!(outcome(made.request.send_header()), Outcome::Ok);
    assert_eq!(outcome(made.request.send_header()), Outcome::Error);
    assert!(made.lines.borrow().contains("[alert]") && made.lines.borrow().contains("header already sent"));
    assert_eq!(*made.client.heads.borrow(), [200]);
    let old = setup(RequestSpec::default());
    old.request.line.borrow_mut().version = Version::Http09;
    assert_eq!(outcome(old.request.respond(200, b"text/plain", "body")), Outcome::Ok);
    assert_eq!((old.client.heads.borrow().len(), old.client.answer().as_str()), (0, "body"));
}

#[test]
fn after_the_request_nothing_is_sent() {
    let made = setup(RequestSpec::default());
    made.request.flags.post_action.set(true);
    assert_eq!(outcome(made.request.respond(200, b"text/plain", "body")), Outcome::Ok);
    assert!(made.client.heads.borrow().is_empty() && made.client.parts.borrow().is_empty());
}

#[test]
fn the_status_of_an_error_stays_on_its_page() {
    for (error, set, expected) in [(0, 0, 200), (0, 201, 201), (503, 0, 503), (503, 200, 503)] {
        let made = setup(RequestSpec::default());
        made.request.error_status.set(error);
        made.request.response.borrow_mut().status = set;
        assert_eq!(outcome(made.request.send_header()), Outcome::Ok);
        assert_eq!(*made.client.heads.borrow(), [expected], "{error} {set}");
    }
}

#[test]
fn a_body_that_is_none_is_refused_before_anything_is_answered() {
    let rows = [
        (None, BodyState::Unread, 0, true),
        (Some(3), BodyState::Unread, 0, false),
        (None, BodyState::Read, 0, false),
        (None, BodyState::Unread, 400, false),
    ];
    for (length, state, error, refused) in rows {
        let made = setup(RequestSpec::default());
        let body = Body::on_wire(length);
        body.set_state(state);
        made.request.body.replace(Rc::new(body));
        made.request.error_status.set(error);
        made.client.bad_body.set(true);
        let expected = if refused { Outcome::Status(400) } else { Outcome::Ok };
        assert_eq!(outcome(made.request.send_header()), expected, "{length:?} {state:?} {error}");
        assert_eq!(made.lines.borrow().contains("client sent invalid chunked body"), refused);
        if refused {
            assert!(!made.request.flags.keepalive.get());
            assert_eq!(outcome(made.request.send_header()), Outcome::Ok, "the error itself can be answered");
        }
    }
}

/// A filter that puts brackets around each piece, at once, later or in parts.
fn brackets(how: &'static str) -> BodyFilter {
    filter(move |chain| {
        let last = chain.last;
        let text = |chain: Chain| -> Vec<u8> {
            let pieces = chain.pieces.iter().filter_map(|piece| if let Piece::Bytes(bytes) = piece { Some(bytes.to_vec()) } else { None });
            pieces.flat_map(|bytes| [b"[".to_vec(), bytes, b"]".to_vec()].concat()).collect()
        };
        let made = Chain { last, ..Chain::bytes(text(chain)) };
        match how {
            "now" => Filtered::Now(Ok(made)),
            "later" => Filtered::Wait(Box::pin(async move { Ok(made) })),
            "parts" => Filtered::Parts(Box::new(move |below| {
                Box::pin(async move {
                    let Chain { pieces, last, .. } = made;
                    below.send(Chain { pieces, ..Chain::default() }).await?;
                    Ok(Chain { last, ..Chain::default() })
                })
            })),
            _ => Filtered::Now(Err(Outcome::Error)),
        }
    })
}

#[test]
fn filters_follow_each_other_whether_they_wait_or_not() {
    let rows: &[(&[&'static str], &str)] = &[
        (&[], "body"),
        (&["now"], "[body]"),
        (&["later"], "[body]"),
        (&["parts"], "[body]"),
        (&["now", "later", "parts", "now"], "[[[[body]]]]"),
        (&["parts", "parts"], "[[body]]"),
    ];
    for (how, expected) in rows {
        let made = setup(RequestSpec { filters: how.iter().map(|how| brackets(how)).collect(), ..RequestSpec::default() });
        assert_eq!(outcome(made.request.respond(200, b"text/plain", "body")), Outcome::Ok);
        // A chain without pieces goes through the filters too, and makes an empty piece.
        assert_eq!(made.client.answer().replace("[]", ""), *expected, "{how:?}");
        assert!(made.client.ended.get(), "{how:?}");
        assert!(!made.request.flags.filter_failed.get(), "{how:?}");
    }
}

#[test]
fn a_filter_that_fails_ends_the_answer() {
    for how in [&["bad"][..], &["now", "bad"], &["later", "bad"], &["parts", "bad"]] {
        let made = setup(RequestSpec { filters: how.iter().map(|how| brackets(how)).collect(), ..RequestSpec::default() });
        assert_eq!(outcome(made.request.respond(200, b"text/plain", "body")), Outcome::Error, "{how:?}");
        assert!(made.request.flags.filter_failed.get(), "{how:?}");
        assert_eq!((made.client.answer().as_str(), made.client.ended.get()), ("", false), "{how:?}");
    }
    let gone = setup(RequestSpec { filters: vec![brackets("parts")], ..RequestSpec::default() });
    gone.client.broken.set(true);
    assert_eq!(outcome(gone.request.respond(200, b"text/plain", "body")), Outcome::Error);
}

#[test]
fn a_filter_with_a_mark_sees_only_what_was_meant_for_it() {
    for (demanded, expected) in [(0, "body"), (2, "body"), (4, "[body]"), (6, "[body]")] {
        let marked = BodyFilter { mark: 4, ..brackets("now") };
        let made = setup(RequestSpec { filters: vec![marked], ..RequestSpec::default() });
        made.request.demand_body_filter(demanded);
        assert_eq!(outcome(made.request.respond(200, b"text/plain", "body")), Outcome::Ok);
        assert_eq!(made.client.answer(), expected, "{demanded}");
    }
}

#[test]
fn large_files_go_in_pieces_through_filters_that_read_them() {
    let path = std::env::temp_dir().join(format!("lunette-pieces-{}", std::process::id()));
    let content: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all(&content).unwrap();
    std::fs::remove_file(&path).unwrap();
    let file = Rc::new(file);
    // What is read, and the sizes of the pieces that the filter sees.
    let rows: &[(bool, (u64, u64), &[u64])] = &[
        (false, (0, 100_000), &[100_000]),
        (true, (0, 100_000), &[32_768, 32_768, 32_768, 1_696]),
        (true, (5, 32_773), &[32_768]),
        (true, (5, 32_774), &[32_768, 1]),
        (true, (7, 7), &[0]),
    ];
    for (reads, (start, end), sizes) in rows {
        let seen: Rc<RefCell<Vec<(Vec<u64>, bool)>>> = Rc::default();
        let to = seen.clone();
        let watch = filter(move |chain| {
            to.borrow_mut().push((chain.pieces.iter().map(Piece::len).collect(), chain.last));
            Filtered::Now(Ok(chain))
        });
        let made = setup(RequestSpec { filters: vec![watch], ..RequestSpec::default() });
        made.request.flags.reads_body.set(*reads);
        let piece = Piece::File(FilePiece { file: file.clone(), start: *start, end: *end });
        assert_eq!(outcome(made.request.output(Chain { pieces: vec![piece], last: true, ..Chain::default() })), Outcome::Ok);
        let found: Vec<u64> = seen.borrow().iter().flat_map(|(sizes, _)| sizes.clone()).collect();
        assert_eq!(found, *sizes, "{start} to {end}");
        let marks: Vec<bool> = seen.borrow().iter().map(|(_, last)| *last).collect();
        assert!(marks.split_last().is_some_and(|(last, before)| *last && !before.contains(&true)), "only the last is the last: {marks:?}");
        assert_eq!(made.client.parts.borrow().concat(), content[*start as usize..*end as usize]);
        assert!(made.client.ended.get());
    }
}

#[test]
fn early_hints_go_to_clients_that_can_read_them() {
    let says = |values: &[&str]| Core { early_hints: Some(Rc::new(values.iter().map(|text| complex(text)).collect())), ..Core::default() };
    let rows = [
        (says(&["1"]), Version::Http11, true),
        (says(&["1"]), Version::Http2, true),
        (says(&["1"]), Version::Http10, false),
        (says(&["", "0"]), Version::Http11, false),
        (says(&["0", "yes"]), Version::Http11, true),
        (says(&[]), Version::Http11, false),
        (Core::default(), Version::Http11, false),
    ];
    for (row, (core, version, takes)) in rows.into_iter().enumerate() {
        let made = setup(RequestSpec { core, ..RequestSpec::default() });
        made.request.line.borrow_mut().version = version;
        assert_eq!(made.request.takes_early_hints(), takes, "row {row}");
        made.request.flags.header_sent.set(true);
        assert!(!made.request.takes_early_hints(), "row {row}: the answer is on its way");
    }
}

#[test]
fn what_stands_in_for_an_answer_does_not_say_when_it_was_changed() {
    for (status, dated) in [(200, true), (206, true), (304, true), (404, false), (503, false)] {
        let made = setup(RequestSpec::default());
        {
            let mut response = made.request.response.borrow_mut();
            response.set_status(status);
            response.last_modified = Some(1);
        }
        assert_eq!(outcome(made.request.send_header()), Outcome::Ok);
        assert_eq!(made.request.response.borrow().last_modified.is_some(), dated, "{status}");
    }
}
