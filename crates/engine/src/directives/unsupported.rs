//! Directives of nginx and OpenResty that are not implemented: using one is an error that says so, never ignored.

/// The page of the manual, from the root of the project. It is also where the names come from.
pub const PAGE: &str = "spec/core/not_supported.md";

const TEXT: &str = include_str!("../../../../spec/core/not_supported.md");

/// The names: what stands between backquotes in the page's lists.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'))
}
