//! Rows against nginx's errors, and the values that they store.

use super::*;
use conf::context::Context;
use conf::include::Text;
use conf::parser::Parser;
use conf::scope::Frame;
use http::core::Core;
use http::root::MainContext;
use http::root::Paths;

fn read(text: &str, context: Context) -> (Frame, Result<(), String>) {
    let modules: Rc<[Module]> = Rc::from([]);
    let block = Parser::new(Text(text.into()), "/").parse_file(b"/conf/nginx.conf").into_result().unwrap();
    let frame = Frame::default();
    frame.global.get::<MainContext>().paths = Rc::new(Paths { prefix: "/srv/".into(), conf_prefix: "/conf/".into() });
    let result = table(&modules, &Rc::from([]), Vec::new()).read(&block, context, &frame);
    let missing = frame.global.take::<conf::row::Unsupported>().list;
    let result = missing.into_iter().next().map_or(result, Err);
    (frame, result.map_err(|error| error.message))
}

fn error(text: &str) -> String {
    read(text, Context::LOCATION).1.unwrap_err()
}

#[test]
fn errors_are_nginxs() {
    let table = [
        ("root a; root b;", "\"root\" directive is duplicate"),
        ("alias a; root b;", "\"root\" directive is duplicate, \"alias\" directive was specified earlier"),
        ("root $document_root/x;", "the $document_root variable cannot be used in the \"root\" directive"),
        ("alias ${realpath_root};", "the $realpath_root variable cannot be used in the \"alias\" directive"),
        ("error_page 499 /x;", "invalid value \"499\""),
        ("error_page 200 /x;", "value \"200\" must be between 300 and 599"),
        ("error_page =200 /x;", "invalid value \"=200\""),
        ("error_log a b;", "invalid log level \"b\""),
        ("error_log a warn info;", "duplicate log level \"info\""),
        ("keepalive_timeout x;", "\"keepalive_timeout\" directive invalid value"),
        ("satisfy some;", "invalid value \"some\""),
        ("sendfile maybe;", "invalid value \"maybe\" in \"sendfile\" directive, it must be \"on\" or \"off\""),
        ("open_file_cache inactive=2s;", "\"open_file_cache\" must have the \"max\" parameter"),
        ("open_file_cache max=0;", "invalid \"open_file_cache\" parameter \"max=0\""),
        ("disable_symlinks from=/a;", "\"disable_symlinks\" must have \"off\", \"on\" or \"if_not_owner\" parameter"),
        ("disable_symlinks off from=/a;", "\"from=\" cannot be used with \"off\" parameter"),
        ("disable_symlinks on off;", "duplicate parameters \"on off\""),
        ("limit_rate 1x;", "\"limit_rate\" directive invalid value"),
        ("client_body_temp_path /t 0;", "\"client_body_temp_path\" directive invalid value"),
        ("types_hash_max_size 1; types_hash_max_size 1;", "\"types_hash_max_size\" directive is duplicate"),
        ("mail { }", "\"mail\" directive is not supported yet, see spec/core/not_supported.md"),
        ("output_buffers 0 1k;", "\"output_buffers\" directive invalid value"),
        ("internal on;", "invalid number of arguments in \"internal\" directive"),
        ("merge_slashes on;", "\"merge_slashes\" directive is not allowed here"),
    ];
    for (text, message) in table {
        assert_eq!(error(text), message, "{text}");
    }
    let server = |text| read(text, Context::SERVER).1.unwrap_err();
    assert_eq!(server("large_client_header_buffers 0 1k;"), "\"large_client_header_buffers\" directive invalid value");
    assert_eq!(server("request_pool_size 100;"), "the pool size must be no less than 112");
    assert_eq!(server("alias a;"), "\"alias\" directive is not allowed here");
}

#[test]
fn values_are_stored() {
    let text = "root html/; error_page 404 405 =200 /x?a=b; error_page 497 @n; keepalive_timeout 5 7; types { a/b X y; } types { c/d z; }
        error_log a.log warn; error_log stderr debug_http; limit_rate $arg_r; client_body_temp_path tmp/ 1 2; server_tokens off;";
    let (frame, result) = read(text, Context::LOCATION);
    result.unwrap();
    let core = frame.location.get::<Core>();
    assert_eq!(core.root.as_ref().unwrap().path.literal(), Some(&b"/srv/html"[..]));
    let pages = core.error_pages.clone().unwrap();
    let seen: Vec<_> = pages.iter().map(|p| (p.status, p.overwrite, p.target.source(), p.args.is_some())).collect();
    assert_eq!(seen, [(404, Some(200), &b"/x"[..], true), (405, Some(200), b"/x", true), (497, Some(400), b"@n", false)]);
    assert_eq!((core.keepalive_timeout, core.keepalive_header), (Some(5000), Some(7)));
    let types = core.types.clone().unwrap();
    assert_eq!(types.get(&b"x"[..]).map(|t| t.to_vec()), Some(b"a/b".to_vec()));
    assert_eq!(types.len(), 3);
    let log = core.error_log.clone().unwrap();
    assert_eq!((log.targets().len(), log.level()), (2, base::log::Level::Debug));
    assert_eq!(core.client_body_temp_path.as_ref().unwrap().levels, [1, 2, 0]);
    assert_eq!(frame.global.get::<http::resources::ErrorFiles>().paths(), [std::path::PathBuf::from("/srv/a.log")]);
    assert_eq!(frame.global.get::<session::directories::Directories>().list(), [std::path::PathBuf::from("/srv/tmp")]);
}

#[test]
fn unknown_pools_are_found() {
    let (frame, result) = read("aio threads=x;", Context::LOCATION);
    result.unwrap();
    assert_eq!(threads::check(&frame.global).unwrap_err().message, "unknown thread pool \"x\"");
    let (frame, result) = read("thread_pool x threads=2;", Context::MAIN);
    result.unwrap();
    assert!(threads::check(&frame.global).is_ok());
}

#[test]
fn a_name_has_one_row_in_a_place() {
    let modules: Rc<[Module]> = Rc::from([]);
    let table = table(&modules, &Rc::from([]), Vec::new());
    let mut seen = std::collections::BTreeSet::new();
    for row in table.rows() {
        assert!(!row.doc.is_empty(), "{}", row.name);
        assert!(seen.insert((row.name.to_string(), row.contexts.bits())), "{} stands twice", row.name);
    }
}
