//! Directories that must be created before the server runs.

use conf::tree::SettingError;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What lies in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Temporary files, below directories with so many characters in their names; 0: no further level.
    Temporary([u8; 3]),
    /// A cache, which has it for itself.
    Cache,
    /// Files that a module keeps across starts, by names of their own.
    State,
}

struct DirectoryUse {
    layout: Layout,
    /// `FILE:LINE`; `None`: no directive named it.
    position: Option<String>,
}

/// The directories that were asked for. Cloning shares the list.
#[derive(Clone, Default)]
pub struct Directories {
    paths: Rc<RefCell<Vec<PathBuf>>>,
    uses: Rc<RefCell<HashMap<PathBuf, DirectoryUse>>>,
}

impl Directories {
    /// Asks for a directory. `place` is where a directive does, as `FILE:LINE`; a default has none.
    ///
    /// # Errors
    /// nginx's words where the directory was asked for before, for something that does not go together (`ngx_add_path`).
    pub fn claim(&self, path: &Path, layout: Layout, place: Option<String>) -> Result<(), SettingError> {
        let mut claimed = self.uses.borrow_mut();
        let Some(known) = claimed.get(path) else {
            self.paths.borrow_mut().push(path.to_owned());
            claimed.insert(path.to_owned(), DirectoryUse { layout, position: place });
            return Ok(());
        };
        if (known.layout, layout) == (Layout::State, Layout::State) {
            return Ok(());
        }
        let name = path.display();
        let (Layout::Temporary(old), Layout::Temporary(new)) = (known.layout, layout) else {
            let first = known.position.as_deref().unwrap_or("a default path");
            return Err(format!("the same path name \"{name}\" used in {first} and").into());
        };
        if old == new {
            return Ok(());
        }
        let message = match (&known.position, &place) {
            (Some(first), Some(_)) => format!("the same path name \"{name}\" in {first} has the different levels than"),
            (None, None) => format!(
                "the default path name \"{name}\" has the same name as another default path, but the different levels, you need to redefine one of them in http section"
            ),
            (Some(first), None) | (None, Some(first)) => format!(
                "the path name \"{name}\" in {first} has the same name as default path, but the different levels, you need to define default path in http section"
            ),
        };
        Err(message.into())
    }

    /// The directories, in the order of the configuration.
    pub fn list(&self) -> Vec<PathBuf> {
        self.paths.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_use() {
        let (flat, deep) = (Layout::Temporary([0; 3]), Layout::Temporary([1, 2, 0]));
        let levels = "but the different levels, you need to";
        let table = [
            ((flat, Some("f:1")), (flat, Some("f:2")), String::new()),
            ((flat, Some("f:1")), (deep, Some("f:2")), "the same path name \"/x\" in f:1 has the different levels than".to_owned()),
            (
                (flat, Some("f:1")),
                (deep, None),
                format!("the path name \"/x\" in f:1 has the same name as default path, {levels} define default path in http section"),
            ),
            ((Layout::State, Some("f:1")), (Layout::State, Some("f:2")), String::new()),
            ((Layout::State, Some("f:1")), (Layout::Cache, Some("f:2")), "the same path name \"/x\" used in f:1 and".to_owned()),
            ((Layout::Cache, Some("f:1")), (Layout::Cache, Some("f:2")), "the same path name \"/x\" used in f:1 and".to_owned()),
            ((flat, Some("f:1")), (Layout::Cache, Some("f:2")), "the same path name \"/x\" used in f:1 and".to_owned()),
        ];
        for (first, second, expected) in table {
            let directories = Directories::default();
            let claim = |(layout, place): (Layout, Option<&str>)| directories.claim(Path::new("/x"), layout, place.map(str::to_owned));
            claim(first).unwrap();
            assert_eq!(claim(second).err().map(String::from).unwrap_or_default(), expected);
            assert_eq!(directories.list(), [PathBuf::from("/x")]);
        }
    }
}
