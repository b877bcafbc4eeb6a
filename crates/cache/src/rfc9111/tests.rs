use super::*;

const NOW: i64 = 1_000_000;

fn judged(status: u16, lines: &[(&str, &str)], given: ResponseContext) -> Option<Storage> {
    let fields = lines.iter().map(|(name, value)| (Known::of(name.as_bytes()), name.as_bytes(), value.as_bytes()));
    evaluate(status, fields, &ResponseContext { request_time: NOW, now: NOW, ..given })
}

fn left(status: u16, lines: &[(&str, &str)]) -> Option<i64> {
    judged(status, lines, ResponseContext::default()).map(|verdict| verdict.valid - NOW)
}

fn date(time: i64) -> String {
    String::from_utf8(wire::date::http(time).to_vec()).unwrap()
}

#[test]
fn how_long_answers_are_fresh() {
    let (now, before, later) = (date(NOW), date(NOW - 1000), date(NOW + 60));
    let table: &[(&[(&str, &str)], Option<i64>)] = &[
        (&[], None),
        (&[("Cache-Control", "max-age=60")], Some(60)),
        (&[("Cache-Control", "max-age=60, s-maxage=10")], Some(10)),
        (&[("Cache-Control", "max-age=60"), ("Cache-Control", "max-age=1")], Some(60)),
        (&[("Cache-Control", "max-age=\"60\"")], Some(60)),
        (&[("Cache-Control", "x=\"max-age=60\", max-age=1")], Some(1)),
        (&[("Cache-Control", "max-age=0")], None),
        (&[("Cache-Control", "max-age=0"), ("ETag", "\"a\"")], Some(0)),
        (&[("Cache-Control", "max-age=6x"), ("ETag", "\"a\"")], Some(0)),
        (&[("Cache-Control", "max-age=99999999999")], Some(FOREVER)),
        (&[("Cache-Control", "max-age=60"), ("Age", "20")], Some(40)),
        (&[("Cache-Control", "max-age=60"), ("Age", "90, 0")], Some(-30)),
        (&[("Cache-Control", "max-age=60"), ("Age", "-20")], Some(60)),
        (&[("Cache-Control", "max-age=6000"), ("Date", &before)], Some(5000)),
        (&[("Expires", &later), ("Date", &now)], Some(60)),
        (&[("Expires", &later), ("Date", &later)], None),
        (&[("Expires", "0")], None),
        (&[("Expires", "Thu, 18 Aug 2050 02:01:18 UTC")], None),
        (&[("Expires", "0"), ("Cache-Control", "max-age=9")], Some(9)),
        (&[("Last-Modified", &before)], Some(100)),
        (&[("Last-Modified", &before), ("Cache-Control", "private")], None),
        (&[("Cache-Control", "no-store, max-age=60")], None),
        (&[("Cache-Control", "no-store, max-age=60, must-understand")], Some(60)),
        (&[("Cache-Control", "max-age=60"), ("Vary", "Accept, *")], None),
        (&[("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "max-age=5")], Some(5)),
        (&[("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "max-age =5")], Some(60)),
        (&[("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "no-store")], None),
        (&[("Cache-Control", "no-store"), ("X-Accel-Expires", "7")], Some(7)),
        (&[("Cache-Control", "max-age=60"), ("X-Accel-Expires", "0")], None),
        (&[("Set-Cookie", "a=b"), ("Last-Modified", &before)], None),
        (&[("Set-Cookie", "a=b"), ("Cache-Control", "max-age=9")], Some(9)),
    ];
    for (lines, wanted) in table {
        assert_eq!(left(200, lines), *wanted, "{lines:?}");
    }
    assert_eq!(left(599, &[("Last-Modified", &before)]), None);
    assert_eq!(left(599, &[("Last-Modified", &before), ("Cache-Control", "public")]), Some(100));
    assert_eq!(left(599, &[("Cache-Control", "no-store, max-age=60, must-understand")]), None);
}

#[test]
fn who_may_get_it() {
    let authorized = ResponseContext { authorized: true, ..ResponseContext::default() };
    for (rules, kept) in [("max-age=9", false), ("max-age=9, public", true), ("s-maxage=9", true), ("max-age=9, must-revalidate", true)] {
        assert_eq!(judged(200, &[("Cache-Control", rules)], authorized).is_some(), kept, "{rules}");
    }
    let verdict =
        judged(200, &[("Cache-Control", "max-age=9, private=\"Set-Cookie\", no-cache=\"A, b\"")], ResponseContext::default()).unwrap();
    assert_eq!(verdict.omitted, [&b"Set-Cookie"[..], b"A", b"b"].map(Box::from));
    assert!(!verdict.must_validate);
    let default = ResponseContext { default: Some(30), ..ResponseContext::default() };
    assert_eq!(judged(200, &[], default).map(|verdict| verdict.valid), Some(NOW + 30));
}

#[test]
fn what_a_request_may_have() {
    let fresh = Head { valid: NOW + 50, date: NOW - 10, age: 5, ..Head::default() };
    let stale = Head { valid: NOW - 20, ..fresh.clone() };
    let strict = Head { must_revalidate: true, ..stale.clone() };
    let guarded = Head { must_validate: true, ..fresh.clone() };
    let table: &[(&Head, &str, Reuse)] = &[
        (&fresh, "", Reuse::Fresh),
        (&fresh, "no-cache", Reuse::Unconfirmed),
        (&fresh, "max-age=15", Reuse::Fresh),
        (&fresh, "max-age=14", Reuse::Unconfirmed),
        (&fresh, "min-fresh=50", Reuse::Fresh),
        (&fresh, "min-fresh=51", Reuse::Unconfirmed),
        (&stale, "", Reuse::Expired),
        (&stale, "max-stale", Reuse::Stale),
        (&stale, "max-stale=20", Reuse::Stale),
        (&stale, "max-stale=19", Reuse::Expired),
        (&strict, "max-stale", Reuse::Unconfirmed),
        (&guarded, "max-stale", Reuse::Unconfirmed),
        (&Head { valid: NOW, ..fresh.clone() }, "", Reuse::Expired),
    ];
    for (head, wishes, wanted) in table {
        assert_eq!(usable(head, &RequestDirectives::of(std::iter::once(wishes.as_bytes())), NOW), *wanted, "{wishes}");
    }
    assert_eq!(current_age(&fresh, NOW), 15);
}
