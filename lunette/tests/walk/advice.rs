//! `-t -w` warns of what is dangerous, and `--format=json` tells it to editors.

use crate::rig::{BINARY, Prefix, free_port};
use std::process::Command;

/// Exit code, standard output and standard error.
fn run(prefix: &Prefix, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = prefix.run(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(prefix.path.to_str().unwrap(), "HERE");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What Lua finds in JSON.
fn decoded(prefix: &Prefix, json: &str) -> String {
    prefix.write("found.json", json);
    let code = "for _, p in ipairs(require('cjson').decode(io.open('FILE'):read('*a'))) do
        print(p.level, ' ', p.message, ' ', p.file or '-', ' ', p.line or '-', ' ', p.column or '-') end";
    prefix.write("look.lua", &code.replace("FILE", prefix.path.join("found.json").to_str().unwrap()));
    let output = Command::new(BINARY).arg("resty").arg(prefix.path.join("look.lua")).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_dangerous_is_said() {
    let prefix = Prefix::new();
    let port = free_port();
    let server = format!("server {{ listen {port};\n    location /img {{ alias /srv/img/; }}\n}}\n");
    prefix.write("conf/nginx.conf", "events { }\nhttp { include site.conf; }\n");
    prefix.write("conf/site.conf", &server);
    let words = "\"/img../\" leads out of \"/srv/img/\": the location needs a slash at its end";
    let (code, stdout, stderr) = run(&prefix, &["-t", "-w"]);
    assert_eq!((code, &*stdout), (Some(0), ""));
    assert!(stderr.contains(&format!("nginx: [warn] {words} in HERE/conf/site.conf:2\n")) && stderr.contains("is successful"), "{stderr}");
    assert!(!run(&prefix, &["-t"]).2.contains("leads out"));
    let (code, stdout, stderr) = run(&prefix, &["-w", "--format=json"]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert_eq!(decoded(&prefix, &stdout), format!("warn {words} HERE/conf/site.conf 2 27\n"));
    assert_eq!(run(&prefix, &["-t", "--format=json"]), (Some(0), "[]\n".to_owned(), String::new()));
}

#[test]
fn editors_are_told_what_is_wrong() {
    let prefix = Prefix::new();
    let port = free_port();
    let check = |text: &str| {
        prefix.write("conf/nginx.conf", text);
        let (code, stdout, stderr) = run(&prefix, &["-t", "--format=json"]);
        assert_eq!(stderr, "");
        (code, decoded(&prefix, &stdout))
    };
    let (code, found) = check(&format!("events {{ }}\nhttp {{ server {{\n  lisen {port}; }} }}\n"));
    assert_eq!((code, &*found), (Some(1), "emerg unknown directive \"lisen\" HERE/conf/nginx.conf 3 3\n"));
    // All that is not supported, at once.
    let (code, found) = check("events { }\nhttp { perl_modules x;\n perl_require y; }\n");
    assert_eq!((code, found.lines().count()), (Some(1), 2), "{found}");
    let (code, found) = check("http { }\n");
    assert!(code == Some(1) && found.starts_with("emerg no \"events\" section in configuration - - -"), "{found}");
    // Warnings and what goes wrong later are there, too.
    let (code, found) = check(&format!(
        "events {{ }}\nhttp {{ error_log nowhere/x; server {{ listen {port}; server_name a a; }} server {{ listen {port}; server_name a; }} }}\n"
    ));
    assert!(code == Some(1) && found.contains("warn conflicting server name") && found.contains("emerg open()"), "{found}");
    assert_eq!(run(&prefix, &["--format=json"]).0, Some(1));
}
