//! What directives of HTTP's modules refuse, and in which words.

use conf::context::{Arity, Context};
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table};
use conf::scope::Frame;
use http::{Module, Variables};

const MODULES: &[Module] = &[
    crate::accept_gzip::MODULE,
    crate::access::MODULE,
    crate::array_var::MODULE,
    crate::auth_request::MODULE,
    crate::brotli::MODULE,
    crate::browser::MODULE,
    crate::charset::MODULE,
    crate::coolkit::MODULE,
    crate::encrypted_session::MODULE,
    crate::geo::MODULE,
    crate::gzip::MODULE,
    crate::headers::MODULE,
    crate::headers_more::MODULE,
    crate::http2::MODULE,
    crate::index::MODULE,
    crate::limit_conn::MODULE,
    crate::limit_req::MODULE,
    crate::log::MODULE,
    crate::map::MODULE,
    crate::referer::MODULE,
    crate::resolver::MODULE,
    crate::rewrite::MODULE,
    crate::secure_link::MODULE,
    crate::set_misc::MODULE,
    crate::split_clients::MODULE,
    crate::srcache::MODULE,
    crate::sub_filter::MODULE,
    crate::try_files::MODULE,
    crate::userid::MODULE,
    crate::variables::MODULE,
];

/// Reads what stands in `http`; `l { }` is a location.
fn read(text: &str) -> Result<(), String> {
    let mut table = Table::default();
    MODULES.iter().flat_map(|module| (module.rows)()).for_each(|row| table.add(row));
    let location = Row::new("l", Context::HTTP, Arity::exactly(0), "", |cx| {
        let frame = cx.frame.enter_location();
        cx.read_block(Context::LOCATION, &frame)
    });
    table.add(location.with_block());
    let frame = Frame::default();
    MODULES.iter().for_each(|module| (module.variables)(&mut frame.global.get::<Variables>()));
    let block = Parser::new(Text(text.into()), "/").parse_file(b"/conf/nginx.conf").into_result().map_err(|error| error.message)?;
    table.read(&block, Context::HTTP, &frame).map_err(|error| error.message)
}

/// Each text is refused in these words; the first of a pair of texts is one that is right, so that it is the fault that counts.
#[track_caller]
fn refused(rows: &[(&str, &str, &str)]) {
    for (right, wrong, message) in rows {
        assert_eq!(read(right), Ok(()), "{right}");
        assert_eq!(read(wrong), Err((*message).to_owned()), "{wrong}");
    }
}

#[test]
fn limits() {
    let zone = "limit_req_zone $uri zone=z:64k rate=1r/s;";
    let with = |rest: &str| format!("{zone} {rest}");
    refused(&[
        (&with(""), "limit_req_zone $uri zone=z rate=1r/s;", "invalid zone size \"zone=z\""),
        (&with(""), "limit_req_zone $uri zone=z:k rate=1r/s;", "invalid zone size \"zone=z:k\""),
        (&with(""), "limit_req_zone $uri zone=z:1k rate=1r/s;", "zone \"zone=z:1k\" is too small"),
        (&with(""), "limit_req_zone $uri rate=1r/s rate=2r/s;", "\"limit_req_zone\" must have \"zone\" parameter"),
        (&with(""), "limit_req_zone $uri zone=z:64k rate=0r/s;", "invalid rate \"rate=0r/s\""),
        (&with(""), "limit_req_zone $uri zone=z:64k rate=1r/h;", "invalid rate \"rate=1r/h\""),
        (&with(""), "limit_req_zone $uri zone=z:64k rate=18446744073709551615r/s;", "invalid rate \"rate=18446744073709551615r/s\""),
        (&with(""), "limit_req_zone $uri zone=z:64k burst=1;", "invalid parameter \"burst=1\""),
        (&with(""), &with(zone), "limit_req_zone \"z\" is already bound to key \"$uri\""),
        (&with("limit_req zone=z burst=2 delay=1;"), &with("limit_req zone=z burst=0;"), "invalid burst value \"burst=0\""),
        (&with("limit_req zone=z nodelay;"), &with("limit_req zone=z delay=x;"), "invalid delay value \"delay=x\""),
        (&with("limit_req zone=z;"), &with("limit_req burst=1;"), "\"limit_req\" must have \"zone\" parameter"),
        (&with("limit_req zone=z;"), &with("limit_req zone=z; limit_req zone=z burst=1;"), "\"limit_req\" directive is duplicate"),
        ("limit_req_status 429;", "limit_req_status 200;", "value must be between 400 and 599"),
        ("limit_conn_status 599;", "limit_conn_status 600;", "value must be between 400 and 599"),
        ("limit_req_log_level warn;", "limit_req_log_level debug;", "invalid value \"debug\""),
        ("limit_conn z 65535;", "limit_conn z 65536;", "connection limit must be less 65536"),
        ("limit_conn z 1;", "limit_conn z 0;", "invalid number of connections \"0\""),
        ("limit_conn z 1;", "limit_conn z -1;", "invalid number of connections \"-1\""),
    ]);
}

#[test]
fn logs() {
    let format = "log_format f '$uri';";
    let with = |rest: &str| format!("{format} {rest}");
    refused(&[
        (format, "log_format combined '$uri';", "duplicate \"log_format\" name \"combined\""),
        (format, &with(format), "duplicate \"log_format\" name \"f\""),
        ("access_log off;", "access_log off f;", "invalid parameter \"f\""),
        (&with("access_log a f;"), "access_log a f;", "unknown log format \"f\""),
        (&with("access_log a f buffer=1k;"), &with("access_log a f buffer=0;"), "invalid buffer size \"0\""),
        (&with("access_log a f buffer=1k flush=1s;"), &with("access_log a f buffer=1k flush=soon;"), "invalid flush time \"soon\""),
        (&with("access_log a f gzip=9;"), &with("access_log a f gzip=10;"), "invalid compression level \"10\""),
        (&with("access_log a f gzip flush=1s;"), &with("access_log a f flush=1s;"), "no buffer is defined for access_log \"a\""),
        (&with("access_log a f if=$uri;"), &with("access_log a f unless=$uri;"), "invalid parameter \"unless=$uri\""),
        (&with("access_log $uri f;"), &with("access_log $uri f buffer=1k;"), "buffered logs cannot have variables in name"),
        (
            &with("access_log syslog:server=127.0.0.1 f;"),
            &with("access_log syslog:server=127.0.0.1 f buffer=1k;"),
            "logs to syslog cannot be buffered",
        ),
        (
            &with("access_log a f buffer=1k; access_log a f buffer=1k;"),
            &with("access_log a f buffer=1k; access_log a f buffer=2k;"),
            "access_log \"a\" already defined with conflicting parameters",
        ),
        ("open_log_file_cache max=1;", "open_log_file_cache inactive=1s;", "\"open_log_file_cache\" must have \"max\" parameter"),
        ("open_log_file_cache max=1;", "open_log_file_cache max=x;", "invalid \"open_log_file_cache\" parameter \"max=x\""),
        ("open_log_file_cache off;", "open_log_file_cache max=1 often;", "invalid \"open_log_file_cache\" parameter \"often\""),
    ]);
}

#[test]
fn conditions_and_rewrites() {
    refused(&[
        ("l { if ($a) { } set $a 1; }", "l { if $a { } set $a 1; }", "invalid condition \"$a\""),
        ("l { if ($a) { } set $a 1; }", "l { if ($a { } set $a 1; }", "invalid condition \"($a\""),
        ("l { if ( $a = b ) { } set $a 1; }", "l { if ($a == b) { } set $a 1; }", "unexpected \"==\" in condition"),
        ("l { if ($a !~* b) { } set $a 1; }", "l { if ($a < b) { } set $a 1; }", "unexpected \"<\" in condition"),
        ("l { if ($a = b) { } set $a 1; }", "l { if ($a = b c) { } set $a 1; }", "invalid condition \"$a\""),
        ("l { if (-f /a) { } }", "l { if (-z /a) { } }", "invalid condition \"-z\""),
        ("l { if (!-x /a) { } }", "l { if (!f /a) { } }", "invalid condition \"!f\""),
        ("l { if ($a ~ b) { } set $a 1; }", "l { if (a ~ b) { } set $a 1; }", "invalid condition \"a\""),
        (
            "l { if ($a ~ [b]) { } set $a 1; }",
            "l { if ($a ~ [b) { } set $a 1; }",
            "pcre2_compile() failed: missing terminating ] for character class in \"[b\"",
        ),
        ("l { rewrite a /b; }", "l { rewrite a \"\"; }", "empty replacement"),
        ("l { rewrite a /b last; }", "l { rewrite a /b first; }", "invalid parameter \"first\""),
        ("l { return 404; }", "l { return 1000; }", "invalid return code \"1000\""),
        ("l { return 301 /a; }", "l { return moved /a; }", "invalid return code \"moved\""),
        ("l { set $a 1; }", "l { set a 1; }", "invalid variable name \"a\""),
        ("l { set $a 1; }", "l { set $ 1; }", "invalid variable name \"$\""),
        ("l { try_files /a =404; }", "l { try_files /a =1000; }", "invalid code \"1000\""),
        ("index a;", "index a \"\";", "index \"\" in \"index\" directive is invalid"),
    ]);
}

#[test]
fn fields_of_heads() {
    refused(&[
        ("more_set_headers 'A: b';", "more_set_headers ': b';", "more_set_headers: no key found in the header argument: : b"),
        ("more_clear_headers 'A*';", "more_clear_headers '*';", "more_clear_headers: wildcard key too short: *"),
        (
            "more_set_headers -s '404 500' 'A: b';",
            "more_set_headers -s '4x4' 'A: b';",
            "more_set_headers: invalid digit \"x\" found in the status code list \"4x4\"",
        ),
        ("more_set_headers -t text/html 'A: b';", "more_set_headers 'A: b' -t;", "more_set_headers: option -t takes an argument."),
        ("more_set_input_headers -r 'A: b';", "more_set_headers -r 'A: b';", "more_set_headers: invalid option name: \"-r\""),
        ("more_set_headers -a 'A: b';", "more_clear_headers -a 'A';", "more_clear_headers: invalid option name: \"-a\""),
        ("expires 1d;", "expires 1q;", "\"expires\" directive invalid value"),
        ("expires @1h;", "expires @25h;", "\"expires\" directive daily time value must be less than 24 hours"),
        ("expires -1;", "expires -x;", "\"expires\" directive invalid value"),
        ("expires modified 1d;", "expires changed 1d;", "\"expires\" directive invalid value"),
        ("userid_mark A;", "userid_mark AB;", "\"userid_mark\" directive value must be \"off\" or a single letter, digit or \"=\""),
        ("userid_mark =;", "userid_mark -;", "\"userid_mark\" directive value must be \"off\" or a single letter, digit or \"=\""),
        ("userid v1;", "userid v3;", "invalid value \"v3\""),
        ("userid_flags secure samesite=lax;", "userid_flags secure samesite;", "invalid value \"samesite\""),
        ("userid_service 4294967295;", "userid_service 4294967296;", "\"userid_service\" directive invalid value"),
        ("userid_expires max;", "userid_expires never;", "\"userid_expires\" directive invalid value"),
    ]);
}

#[test]
fn filters() {
    refused(&[
        ("gzip_comp_level 9;", "gzip_comp_level 10;", "value must be between 1 and 9"),
        ("brotli_comp_level 11;", "brotli_comp_level 12;", "value must be between 0 and 11"),
        ("gzip_proxied any;", "gzip_proxied some;", "invalid value \"some\""),
        ("gzip_disable msie6 a;", "gzip_disable '(a';", "pcre2_compile() failed: missing closing parenthesis in \"(a\""),
        ("sub_filter a b;", "sub_filter '' b;", "empty search pattern"),
        ("charset_map a b { 41 42; }", "charset_map a A { 41 42; }", "\"charset_map\" between the same charsets \"a\" and \"A\""),
        ("charset_map a b { }", "charset_map a b { } charset_map B A { }", "duplicate \"charset_map\" between \"B\" and \"A\""),
        ("charset_map a b { 41 42; }", "charset_map a b { 4142 42; }", "invalid value \"4142\""),
        ("charset_map a utf-8 { 41 C3A4; }", "charset_map a b { 41 C3A4; }", "invalid value \"C3A4\""),
        ("charset_map a b { 41 42; }", "charset_map a b { 41 4x; }", "invalid value \"4x\""),
        ("charset_map a b { 41 42; }", "charset_map a b { 41; }", "invalid parameters number"),
    ]);
}

#[test]
fn blocks_of_values() {
    refused(&[
        ("split_clients $uri $a { 50% a; * b; }", "split_clients $uri $a { 50% a; 50.01% b; }", "percent total is greater than 100%"),
        ("split_clients $uri $a { 0.01% a; }", "split_clients $uri $a { 0% a; }", "invalid percent value \"0%\""),
        ("split_clients $uri $a { 1% a; }", "split_clients $uri $a { 1.001% a; }", "invalid percent value \"1.001%\""),
        ("split_clients $uri $a { * a; }", "split_clients $uri a { * a; }", "invalid variable name \"a\""),
        ("map $uri $a { a b; }", "map $uri a { a b; }", "invalid variable name \"a\""),
        ("map $uri $a { a b; }", "map $uri $uri { a b; }", "the duplicate \"uri\" variable"),
        ("map $uri $a { ~a b; }", "map $uri $a { ~(a b; }", "pcre2_compile() failed: missing closing parenthesis in \"(a\""),
        ("geo $a { default 1; }", "geo a { default 1; }", "invalid variable name \"a\""),
    ]);
}

#[test]
fn functions_and_lists_of_variables() {
    refused(&[
        ("l { set_md5 $a b; }", "l { set_md5 a b; }", "invalid variable name \"a\""),
        (
            "set_base32_alphabet 0123456789abcdefghijklmnopqrstuv;",
            "set_base32_alphabet abc;",
            "\"set_base32_alphabet\" directive takes an alphabet of 3 bytes but 32 expected",
        ),
        ("l { array_split , $a to=$b; }", "l { array_split , $a to=b; }", "invalid variable name \"b\""),
        ("l { array_split , $a 2 to=$b; }", "l { array_split , $a to=$b 2; }", "array_split: unexpected argument \"2\""),
        (
            "l { array_split , $a 2 to=$b; }",
            "l { array_split , $a 2 $b; }",
            "array_split: expecting the \"to\" option at the 4th argument: \"$b\"",
        ),
        (
            "encrypted_session_key 'abcdefghijklmnopqrstuvwxyz123456';",
            "encrypted_session_key short;",
            "encrypted_session_key: the key must be of 32 bytes long",
        ),
        (
            "encrypted_session_iv 12345678;",
            "encrypted_session_iv abcdefghijklmnopq;",
            "encrypted_session_iv: the init vector must NOT be longer than 16 bytes",
        ),
        (
            "l { override_method GET $uri; }",
            "l { override_method BREW $uri; }",
            "coolkit: invalid method \"BREW\" in \"override_method\" directive",
        ),
        (
            "l { secure_link_secret a; }",
            "l { secure_link_secret a; secure_link_md5 b; }",
            "\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\"",
        ),
    ]);
}

#[test]
fn clients_and_protocols() {
    refused(&[
        ("l { valid_referers none a.test; }", "l { valid_referers ''; }", "invalid referer \"\""),
        ("l { valid_referers ~a; }", "l { valid_referers ~; }", "empty regex in \"~\""),
        ("modern_browser gecko 1.9;", "modern_browser mosaic 1;", "unknown browser name \"mosaic\""),
        ("modern_browser msie 5.5;", "modern_browser msie 5x;", "invalid browser version \"5x\""),
        ("modern_browser unlisted;", "modern_browser listed;", "invalid parameter \"listed\""),
        ("http2_chunk_size 1k;", "http2_chunk_size 0;", "the http2 chunk size cannot be zero"),
        (
            "http2_body_preread_size 2147483647;",
            "http2_body_preread_size 2147483648;",
            "the maximum body preread buffer size is 2147483647",
        ),
        ("resolver 127.0.0.1 ipv6=off;", "resolver 127.0.0.1 ipv4=off ipv6=off;", "\"ipv4\" and \"ipv6\" cannot both be \"off\""),
        ("resolver 127.0.0.1 valid=1s;", "resolver 127.0.0.1 valid=soon;", "invalid parameter: valid=soon"),
        ("resolver 127.0.0.1:53;", "resolver 127.0.0.1:99999;", "invalid port in resolver \"127.0.0.1:99999\""),
        ("srcache_methods POST;", "srcache_methods BREW;", "invalid value \"BREW\""),
        ("l { srcache_fetch GET /a; }", "l { srcache_fetch PATCH /a; }", "srcache_fetch specifies bad HTTP method PATCH"),
        ("srcache_store_statuses 200 404;", "srcache_store_statuses 200 ok;", "status code \"ok\" is an invalid number"),
    ]);
}
