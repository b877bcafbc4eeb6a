//! `-t -w`: warnings about dangerous but valid configurations.

mod rules;
mod scope;

use self::scope::Scope;
use crate::diagnostics;
use crate::layout::Layout;
use crate::parsed;
use base::log::Level;
use conf::diagnostic;
use conf::tree::{Block, Error};
use daemon::Diagnostic;
use std::collections::BTreeSet;

/// The warnings about a configuration file.
pub(crate) fn advice(places: &Layout) -> Vec<Diagnostic> {
    let (parsed, files) = parsed::parse(places);
    let problem = |error: &Error| Diagnostic {
        level: Level::Warn,
        message: diagnostic::log_line(error, &files),
        position: diagnostics::position(error, &files),
    };
    warnings(&parsed.block).iter().map(problem).collect()
}

fn warnings(block: &Block) -> Vec<Error> {
    let mut tainted = BTreeSet::new();
    // What is made of a variable that is made of a client's word may stand before it.
    while scope::spread(block, &mut tainted) {}
    let mut found = Vec::new();
    visit(&Scope { name: "main", args: &[], block, above: None }, &tainted, &mut found);
    found
}

fn visit(scope: &Scope<'_>, tainted: &BTreeSet<String>, found: &mut Vec<Error>) {
    for directive in &scope.block.directives {
        for (message, span) in rules::check(directive, scope, tainted) {
            found.push(Error::new(message, span));
        }
        if let Some(body) = &directive.body {
            let name = directive.name.text();
            visit(&Scope { name: &name, args: &directive.args, block: body, above: Some(scope) }, tainted, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        warnings(&parsed::tree(text)).into_iter().map(|error| format!("{}:{}", error.span.column, error.message)).collect()
    }

    #[track_caller]
    fn is_dangerous(text: &str, words: &str) {
        let found = findings(text);
        assert!(found.len() == 1 && found[0].contains(words), "{text}: {found:?}");
    }

    #[track_caller]
    fn is_fine(text: &str) {
        assert_eq!(findings(text), [""; 0], "{text}");
    }

    #[test]
    fn alias_without_a_slash() {
        is_dangerous("location /img { alias /srv/img/; }", "\"/img../\" leads out of \"/srv/img/\"");
        is_dangerous("location ^~ /img { alias /srv/img/; }", "leads out");
        is_fine(
            "location /img/ { alias /srv/img/; } location /a { alias /srv/a; } location ~ ^/b { alias /srv/b/; } location = /c { alias /srv/c/; }",
        );
    }

    #[test]
    fn clients_that_choose_the_upstream() {
        let with = |conf: &str| format!("resolver 127.0.0.1; {conf}");
        is_dangerous(
            &with("location / { proxy_pass http://$arg_host/x; }"),
            "\"$arg_host\" lets clients choose where \"proxy_pass\" leads",
        );
        is_dangerous(&with("location ~ ^/(.*)$ { proxy_pass http://$1; }"), "\"$1\"");
        is_dangerous(&with("location / { proxy_pass http://a.$http_x.b; }"), "\"$http_x\"");
        is_dangerous(&with("set $b x$a; set $a ${cookie_to}; location / { fastcgi_pass $b:9000; }"), "\"$b\"");
        is_fine(&with("location / { proxy_pass http://app/$arg_x; } location /a { proxy_pass http://$backend; } set $backend a.example;"));
    }

    #[test]
    fn names_without_a_resolver() {
        is_dangerous("server { location / { proxy_pass http://$backend; } }", "no \"resolver\"");
        is_fine("server { resolver 127.0.0.1; location / { proxy_pass http://$backend; } location /a { proxy_pass http://app$uri; } }");
        is_fine("upstream a { server 127.0.0.1:1; } server { location / { proxy_pass http://$group; } }");
    }

    #[test]
    fn traps_of_if() {
        is_dangerous("location / { try_files $uri /i; if ($slow) { limit_rate 1k; } }", "\"try_files\" is not run when this \"if\" holds");
        is_fine("location / { try_files $uri /i; if ($a) { return 403; } } location /b { if ($a) { set $b 1; } }");
    }

    #[test]
    fn header_fields_that_are_lost() {
        let outer = "add_header X-Frame-Options DENY; add_header A b;";
        is_dangerous(
            &format!("server {{ {outer} location / {{ add_header A c; }} }}"),
            "of the level above is not sent here: X-Frame-Options",
        );
        is_fine(&format!("server {{ {outer} location / {{ add_header A c; add_header x-frame-options DENY; }} location /b {{ }} }}"));
        is_fine(&format!("add_header_inherit merge; server {{ {outer} location / {{ add_header A c; }} }}"));
    }

    #[test]
    fn other_dangers() {
        is_dangerous("proxy_set_header Host $http_host;", "\"$host\"");
        is_dangerous("set_real_ip_from 0.0.0.0/0;", "every client may say which address it has");
        is_dangerous("location /m { metrics; }", "everybody may read \"metrics\"");
        is_dangerous("root /;", "the whole file system");
        is_fine(
            "proxy_set_header Host $host; set_real_ip_from 10.0.0.0/8; location /m { stub_status; allow 127.0.0.1; deny all; } root /srv;",
        );
        is_fine("server { auth_basic x; location /m { metrics; } } location /i { internal; metrics; }");
        is_fine("content_by_lua_block { local t = \"$arg_x\" }");
    }
}
