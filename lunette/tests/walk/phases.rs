//! What Lua code may do in which phase, and what becomes of what it may not.

use crate::rig::{Prefix, exchange, free_port, get, until};
use crate::serve;

#[test]
fn a_body_that_a_filter_has_ended_ends_once() {
    let prefix = Prefix::new();
    let locations = |waiting: &str| {
        format!(
            "location /{waiting} {{ lua_yield_in_all_phases {waiting};\n\
             content_by_lua_block {{ ngx.say('first') ngx.flush(true) ngx.say('second') ngx.flush(true) ngx.say('third') }}\n\
             body_filter_by_lua_block {{ if ngx.arg[1] == 'second\\n' then ngx.arg[2] = true end }} }}\n"
        )
    };
    let port = serve(&prefix, "", &[locations("on"), locations("off"), "location /next { return 200 next; }".to_owned()].concat());
    for path in ["/on", "/off"] {
        let requests = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answers = String::from_utf8(exchange(port, requests.as_bytes()).unwrap()).unwrap();
        assert!(answers.contains("6\r\nfirst\n\r\n7\r\nsecond\n\r\n0\r\n\r\nHTTP/1.1 200 OK"), "{path}: {answers}");
    }
}

#[test]
fn an_exit_of_a_header_filter_with_an_error_breaks_the_answer_off() {
    let prefix = Prefix::new();
    let filter = "header_filter_by_lua_block { ngx.exit(ngx.ERROR) }";
    let port = serve(
        &prefix,
        "",
        &format!(
            "location /lua {{ {filter} content_by_lua_block {{ ngx.say(1) ngx.say(2) }} }} location /plain {{ {filter} return 200 x; }}"
        ),
    );
    for path in ["/lua", "/plain"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(port, request.as_bytes()).unwrap(), b"", "{path}");
    }
}

/// Code that catches what it is told of waiting where nothing can wait.
const CATCHES: &str = "local told = { select(2, pcall(coroutine.yield)), tostring(coroutine.isyieldable()),
    coroutine.wrap(function() return (coroutine.yield('within')) end)(), select(2, pcall(ngx.sleep, 1)), select(2, ngx.on_abort(print)) }
    for i, text in ipairs(told) do told[i] = text:gsub('^.-: ', '') end";

#[test]
fn code_that_cannot_wait_catches_what_it_is_told() {
    let prefix = Prefix::new();
    let inside = format!(
        "location / {{\n\
         set_by_lua_block $told {{ {CATCHES} return table.concat(told, '; ') }}\n\
         header_filter_by_lua_block {{ {CATCHES} ngx.header.x_head = table.concat(told, '; ') }}\n\
         body_filter_by_lua_block {{ {CATCHES} ngx.ctx.body = table.concat(told, '; ') }}\n\
         log_by_lua_block {{ {CATCHES} ngx.log(ngx.ERR, 'body ', ngx.ctx.body) ngx.log(ngx.ERR, 'log ', table.concat(told, '; ')) }}\n\
         return 200 $told; }}"
    );
    let port = serve(&prefix, "", &inside);
    let answer = get(port, "/").unwrap();
    let expected = |phase: &str| {
        format!(
            "attempt to yield across C-call boundary; false; within; API disabled in the context of {phase}*; lua_check_client_abort is off"
        )
    };
    assert_eq!(answer.text(), expected("set_by_lua"), "{}", prefix.read("logs/error.log"));
    assert_eq!(answer.header("x-head"), Some(expected("header_filter_by_lua").as_str()));
    let log = || prefix.read("logs/error.log");
    until("the log phase", || log().contains(&format!("log {} while logging request, client: ", expected("log_by_lua"))));
    assert!(log().contains(&format!("body {}", expected("body_filter_by_lua"))), "{}", log());
}

#[test]
fn an_error_of_code_that_cannot_wait_has_its_traceback() {
    let prefix = Prefix::new();
    let inside = "location / { log_by_lua_block { local function deep() error('in the log') end deep() } return 200 x; }\n\
                  location /table { log_by_lua_block { error({}) } return 200 x; }";
    let port = serve(&prefix, "", inside);
    assert_eq!(get(port, "/").unwrap().status, 200);
    assert_eq!(get(port, "/table").unwrap().status, 200);
    let log = || prefix.read("logs/error.log");
    until("both lines", || log().contains("GET /table"));
    let (first, second) = ("log_by_lua(nginx.conf:8):1: in the log\nstack traceback:\n\t[C]: in function 'error'\n", "in function 'deep'");
    assert!(log().contains(first) && log().contains(second), "{}", log());
    assert!(log().contains("failed to run log_by_lua*: unknown reason while logging request"), "{}", log());
}

#[test]
fn a_handshake_has_no_request() {
    let prefix = Prefix::new();
    let made = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    prefix.write("conf/a.crt", &made.cert.pem());
    prefix.write("conf/a.key", &made.signing_key.serialize_pem());
    let secure = free_port();
    let code = "local told = {}
        for i, call in ipairs { function() return ngx.var.uri end, function() ngx.var.x = 1 end, ngx.req.get_method, ngx.req.get_headers,
            function() ngx.req.set_header('a', 'b') end, function() return ngx.status end, function() ngx.header.a = 1 end, ngx.req.get_uri_args,
            function() return ngx.is_subrequest end, ngx.req.get_body_data } do
            told[i] = select(2, pcall(call)):gsub('^.-: ', '') == 'API disabled in the current context' and 'refused' or 'let pass'
        end
        ngx.shared.told:set(ngx.get_phase(), table.concat(told, ' ') .. ' ' .. type(ngx.req.start_time()) .. ' ' .. tostring(ngx.ctx.none))";
    let main = format!(
        "lua_shared_dict told 100k;\nserver {{ listen {secure} ssl; ssl_certificate a.crt; ssl_certificate_key a.key; set $x 0;\n\
         ssl_client_hello_by_lua_block {{ {code} }} ssl_certificate_by_lua_block {{ {code} }} return 200 x; }}"
    );
    let inside = format!(
        "location / {{ content_by_lua_block {{ local sock = ngx.socket.tcp() assert(sock:connect('127.0.0.1', {secure}))\n\
         assert(sock:sslhandshake(nil, 'a.example.com', false)) local told = ngx.shared.told\n\
         ngx.print(told:get('ssl_client_hello'), '\\n', told:get('ssl_cert')) }} }}"
    );
    let port = serve(&prefix, &main, &inside);
    let expected = format!("{} number nil", ["refused"; 10].join(" "));
    assert_eq!(get(port, "/").unwrap().text(), format!("{expected}\n{expected}"), "{}", prefix.read("logs/error.log"));
}

#[test]
fn fields_of_a_captured_error_fit_another_body() {
    let prefix = Prefix::new();
    let inside = "default_type text/x-mine; location = /none { return 404; } location = /away { return 302 /x; } location = /empty { return 204; }
        location = /code { content_by_lua_block { ngx.exit(403) } } location = /text { return 200 text; }
        location / { content_by_lua_block {
            local told = {}
            for _, uri in ipairs { '/none', '/away', '/code', '/empty', '/text' } do
                for _, method in ipairs { ngx.HTTP_GET, ngx.HTTP_HEAD } do
                    local res = ngx.location.capture(uri, { method = method })
                    for name, value in pairs(res.header) do ngx.header[name] = value end
                    told[#told + 1] = table.concat({ res.status, tostring(res.header['Content-Type']), tostring(res.header['Content-Length']), tostring(res.truncated) }, ' ')
                end
            end
            ngx.header.content_length = nil
            ngx.print(table.concat(told, '\\n')) } }
        location = /pass { content_by_lua_block {
            for name, value in pairs(ngx.location.capture('/none').header) do ngx.header[name] = value end
            ngx.print('a body of its own') } }";
    let port = serve(&prefix, "", inside);
    let pair = |status: u16| format!("{status} text/x-mine nil true\n{status} text/x-mine nil true\n");
    let expected = [pair(404), pair(302), pair(403)].concat()
        + "204 text/x-mine 0 false\n204 text/x-mine 0 true\n200 text/x-mine 4 false\n200 text/x-mine 4 true";
    assert_eq!(get(port, "/").unwrap().text(), expected);
    let answer = get(port, "/pass").unwrap();
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("a body of its own", None));
}

/// A filter that ends the request replaces error pages, too; the page in their place passes it.
#[test]
fn header_filters_may_replace_an_error_page() {
    let prefix = Prefix::new();
    let exit = |code: u16| format!("header_filter_by_lua_block {{ ngx.exit({code}) }}");
    let port = serve(
        &prefix,
        "",
        &format!(
            "location = /same {{ rewrite_by_lua_block {{ ngx.exit(419) }} {same} }}\n\
             location = /other {{ rewrite_by_lua_block {{ ngx.exit(419) }} {other} }}\n\
             location = /return {{ return 404; {other} }}\n\
             location = /page {{ error_page 419 /same; content_by_lua_block {{ ngx.say('x') }} {same} }}\n\
             location @named {{ return 200 'named'; }}\n\
             location = /after {{ post_action @named; return 404; {other} }}\n\
             location = /endless {{ return 404; header_filter_by_lua_block {{ ngx.exit(ngx.status + 1) }} }}",
            same = exit(419),
            other = exit(503)
        ),
    );
    for (path, status) in [("/same", 419), ("/other", 503), ("/return", 503), ("/page", 419), ("/after", 503)] {
        assert_eq!(get(port, path).unwrap().status, status, "{path}");
    }
    assert!(!prefix.read("logs/error.log").contains("refused"), "{}", prefix.read("logs/error.log"));
    assert!(get(port, "/endless").is_err(), "it cannot be answered");
}
