//! The output of `-T`: every file that was read, once, under its name.

use std::collections::BTreeSet;

use crate::tree::Files;

/// Appends all files to `out` as nginx prints them; the argument of `-g` is not one of them.
pub fn dump(files: &Files, out: &mut Vec<u8>) {
    let mut seen = BTreeSet::new();
    for file in files.iter().filter(|file| !file.command_line) {
        if seen.insert(&file.name) {
            out.extend_from_slice(b"# configuration file ");
            out.extend_from_slice(&file.name);
            out.extend_from_slice(b":\n");
            out.extend_from_slice(&file.text);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    #[test]
    fn each_file_once() {
        let mut files = Files::default();
        for (name, text, command_line) in [("", "a;", true), ("/n", "b;\n", false), ("/n", "b;\n", false)] {
            files.push(File { name: name.into(), text: text.into(), command_line });
        }
        let mut out = Vec::new();
        dump(&files, &mut out);
        assert_eq!(out, b"# configuration file /n:\nb;\n\n");
    }
}
