//! What looks after a cache goes on whatever it meets: files that nobody may remove, and more files than it has read so far.

use crate::rig::{Foreground, Prefix, free_port, get, until};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

const LARGE: usize = 100_000;

/// A cache whose loader reads a file, and then none for a long time.
fn start(prefix: &Prefix, parameters: &str) -> (u16, Foreground) {
    let (port, upstream) = (free_port(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log crit; events {{ }} http {{
            proxy_cache_path cache levels=1 keys_zone=one:1m use_temp_path=off loader_files=1 loader_sleep=600s {parameters};
            server {{ listen {port};
              location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache one; proxy_cache_key $uri; proxy_cache_valid 1h;
                add_header X-Cache $upstream_cache_status; }} }}
            server {{ listen {upstream}; root html; }} }}"
        ),
    );
    let running = Foreground::start(prefix, port, "").unwrap();
    (port, running)
}

fn files(prefix: &Prefix) -> Vec<PathBuf> {
    let inside = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    inside(&prefix.path.join("cache")).iter().filter(|path| path.is_dir()).flat_map(|path| inside(path)).collect()
}

/// Nobody has read the directory to its end, so that the file is found again as often as it is looked for.
#[test]
fn a_damaged_file_that_cannot_be_removed_is_a_miss() {
    let prefix = Prefix::new();
    for name in ["large", "b", "c", "d"] {
        prefix.write(&format!("html/{name}"), &"x".repeat(LARGE));
    }
    let (port, running) = start(&prefix, "");
    assert_eq!(get(port, "/large").unwrap().body.len(), LARGE);
    let damaged = files(&prefix).pop().unwrap();
    for name in ["b", "c", "d"] {
        assert_eq!(get(port, &format!("/{name}")).unwrap().body.len(), LARGE);
    }
    drop(running);
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let directory = damaged.parent().unwrap();
    // Where the test may, the directory becomes another's.
    let _ = chown(directory, Some(0), Some(0));
    fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();
    let (port, _running) = start(&prefix, "");
    for _ in 0..2 {
        let answer = get(port, "/large").unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, LARGE));
        assert!(answer.text().bytes().all(|byte| byte == b'x'), "the damaged body");
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_is_not_used_goes_while_the_files_of_an_earlier_run_are_read() {
    let prefix = Prefix::new();
    for n in 0..8 {
        prefix.write(&format!("html/{n}"), "x");
    }
    let (port, running) = start(&prefix, "");
    for n in 0..4 {
        assert_eq!(get(port, &format!("/{n}")).unwrap().text(), "x");
    }
    drop(running);
    let (port, _running) = start(&prefix, "inactive=1s");
    for n in 4..8 {
        assert_eq!(get(port, &format!("/{n}")).unwrap().text(), "x");
    }
    // Three of the first ones have not been read yet.
    until("files to go", || files(&prefix).len() <= 3);
}
