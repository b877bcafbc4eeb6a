//! Rows of the core module, by subject.
