//! Pages with commands that are asked for again and again.

use crate::rig::{Prefix, free_port, get, until};

const PAGE: &str = "<!--#set var=\"name\" value=\"${arg_name}\\$\" -->a<!--#if expr=\"$arg_name = /^b/\" -->[<!--#echo var=\"NAME\" -->]\
                    <!--#else -->none<!--#endif -->|<!--#include virtual=\"/part?$arg_name\" -->|<!--#frob -->|<!--#echo var=\"x\" default=\"y\" -->z<!--#";

fn expected(name: &str) -> String {
    let chosen = if name.starts_with('b') { format!("[{name}$]") } else { "none".to_owned() };
    format!("a{chosen}|part {name}|[an error occurred while processing the directive]|yz")
}

#[test]
fn a_page_that_comes_again_is_carried_out_anew() {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1;\nerror_log logs/error.log;\nevents {{ }}\nhttp {{ server {{ listen {port}; default_type text/html; ssi on;\n\
             location / {{ root html; }} location = /part {{ ssi off; return 200 \"part $args\"; }} }} }}"
        ),
    );
    prefix.write("html/page", PAGE);
    prefix.write("html/plain", "<p>no commands</p>");
    assert!(prefix.run(&[]).status.success());
    // From the third time on its commands are those that were found before.
    for name in ["bob", "al", "b", "", "bill", "zoe", "bob"] {
        assert_eq!(get(port, &format!("/page?name={name}")).unwrap().text(), expected(name), "{name}");
        assert_eq!(get(port, "/plain").unwrap().text(), "<p>no commands</p>");
    }
    prefix.write("html/page", "<!--#echo var=\"arg_name\" -->");
    until("the changed page", || get(port, "/page?name=new").unwrap().text() == "new");
}

/// In text that is not shown a condition is nothing, so that the first `endif` ends the outer one.
#[test]
fn conditions_do_not_nest() {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!("worker_processes 1;\nevents {{ }}\nhttp {{ server {{ listen {port}; default_type text/html; ssi on; ssi_silent_errors on; }} }}"),
    );
    let [yes, no, or, end] = ["if expr=\"a = a\"", "if expr=\"a = b\"", "else", "endif"].map(|command| format!("<!--#{command} -->"));
    let rows =
        [(format!("{no}x{yes}y{end}z{or}w{end}e"), "zwe"), (format!("{no}x{or}y{end}z"), "yz"), (format!("{no}x{no}y{or}w{end}z"), "wz")];
    for (row, (page, _)) in rows.iter().enumerate() {
        prefix.write(&format!("html/{row}"), page);
    }
    assert!(prefix.run(&[]).status.success());
    for (row, (page, shown)) in rows.iter().enumerate() {
        assert_eq!(get(port, &format!("/{row}")).unwrap().text(), *shown, "{page}");
    }
}

#[test]
fn what_is_written_wrong_is_told_in_nginxs_words() {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1;\nerror_log logs/error.log;\nevents {{ }}\nhttp {{ server {{ listen {port}; default_type text/html; ssi on; }} }}"
        ),
    );
    let wrong = "[an error occurred while processing the directive]";
    let cases = [
        (
            "a<!--#echo var=x \"-->b<!--#echo var=\"uri\" -->c",
            format!("a{wrong}b/pagec"),
            "unexpected \"x\" symbol before value of \"var\" parameter in \"echo\" SSI command",
        ),
        ("a<!--#echo var=\"uri\"--->b-->c", format!("a{wrong}c"), "unexpected \"-\" symbol in \"echo\" SSI command"),
        ("a<!--#ECHO var=\"uri\" -->b", format!("a{wrong}b"), "invalid SSI command: \"ECHO\""),
        ("a<!--#echo VAR=\"uri\" -->b", format!("a{wrong}b"), "invalid parameter name: \"VAR\" in \"echo\" SSI command"),
        // Where nothing is shown the message is.
        (
            "a<!--#if expr=\"$no\" -->x<!--#bad x --><!--#endif -->b",
            format!("a{wrong}b"),
            "unexpected \"-\" symbol after \"x\" parameter in \"bad\" SSI command",
        ),
        ("a<!--#else x=\"1\" -->b", format!("a{wrong}b"), "invalid context of SSI command: \"else\""),
        // The page's end is no command's.
        ("a<!--#echo var=y b", "a".to_owned(), "unexpected \"y\" symbol before value of \"var\" parameter in \"echo\" SSI command"),
    ];
    prefix.write("html/page", "");
    assert!(prefix.run(&[]).status.success());
    for (page, expected, line) in cases {
        prefix.write("html/page", page);
        // The file may have the size and the second of the one before.
        until("the page", || get(port, "/page").unwrap().text() == expected);
        assert!(prefix.read("logs/error.log").contains(&format!("{line} while")), "{page}: {}", prefix.read("logs/error.log"));
    }
}
