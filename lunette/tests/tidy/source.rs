//! The Rust files of the workspace, with what is test code told apart.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub(crate) struct Source {
    /// Directory name of its crate: `http`, `lunette`.
    pub(crate) crate_name: String,
    /// Path below the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The file as a whole is test code.
    pub(crate) is_test: bool,
}

impl Source {
    /// Lines with their number from 1; test modules at a file's end are left out.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = if self.is_test { "" } else { self.text.as_str() };
        let mut ended = false;
        let lines: Vec<&str> = all.lines().collect();
        let mut keep = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            // A test module behind `#[cfg(test)]` is the last thing in a file.
            ended |= line.trim() == "#[cfg(test)]" && lines.get(i + 1).is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
            if !ended {
                keep.push((i + 1, *line));
            }
        }
        keep.into_iter()
    }

    pub(crate) fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// All sources.
pub(crate) fn all() -> Vec<Source> {
    let root = root();
    let mut files = Vec::new();
    let mut crates: Vec<PathBuf> = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    crates.push(root.join("lunette"));
    crates.sort();
    for home in crates {
        let crate_name = home.file_name().unwrap().to_string_lossy().into_owned();
        for part in ["src", "tests", "examples", "benches", "build.rs"] {
            walk(&home.join(part), &mut |path| {
                let text = fs::read_to_string(path).unwrap();
                let name = path.file_name().unwrap().to_string_lossy();
                let tests = path.components().any(|part| part.as_os_str() == "tests");
                let is_test = tests
                    || part != "src"
                    || matches!(&*name, "tests.rs" | "check.rs" | "smoke.rs" | "corpus.rs")
                    || name.ends_with("_tests.rs");
                let path = path.strip_prefix(&root).unwrap().display().to_string();
                files.push(Source { crate_name: crate_name.clone(), path, text, is_test });
            });
        }
    }
    assert!(files.len() > 50, "the sources were not found");
    files
}

fn walk(path: &Path, found: &mut impl FnMut(&Path)) {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| walk(entry, found));
    } else if path.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
        found(path);
    }
}
