//! A file that is being written and has no name yet, or one that nobody else uses.
//!
//! On Linux it has no name at all until it is complete, so that a run that is killed leaves nothing
//! behind. Elsewhere, and where the file system cannot do that, it has a temporary name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::emit::Overwrite;

/// How temporary names begin.
const PREFIX: &str = ".onnxpress-";
/// Permissions of a new file: read and write for everybody the umask lets through.
#[cfg(unix)]
const NEW_FILE: u32 = 0o666;

pub(super) enum Draft {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile),
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn names() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(NEW_FILE));
    }
    builder
}

impl Draft {
    /// An empty file in the folder of `path`.
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed::open(&folder) {
            return Ok(Self::Unnamed(file));
        }
        names().tempfile_in(folder).map(Self::Named)
    }

    /// The file, open for writing.
    pub(super) fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Gives the file its name, in one step.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken and may not be; then nothing changes.
    pub(super) fn place(self, path: &Path, overwrite: Overwrite) -> io::Result<()> {
        match (self, overwrite) {
            #[cfg(target_os = "linux")]
            (Self::Unnamed(file), overwrite) => match unnamed::link(&file, path) {
                Err(error)
                    if overwrite == Overwrite::Replace
                        && error.kind() == io::ErrorKind::AlreadyExists =>
                {
                    // Only a name can take the place of another.
                    let link = |name: &Path| unnamed::link(&file, name);
                    let named = names().make_in(folder_of(path), link)?;
                    named.persist(path).map_err(|failed| failed.error)
                }
                ended => ended,
            },
            (Self::Named(file), Overwrite::Replace) => {
                file.persist(path).map(drop).map_err(|failed| failed.error)
            }
            (Self::Named(file), Overwrite::Never) => {
                file.persist_noclobber(path).map(drop).map_err(|failed| failed.error)
            }
        }
    }
}

/// Files without a name: `O_TMPFILE` of open(2), and linkat(2) by way of `/proc`.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};

    /// A file in `folder`; `None` where that is impossible, or where it could not get a name later.
    pub(super) fn open(folder: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(super::NEW_FILE);
        let file = File::from(rustix::fs::open(folder, flags, mode).ok()?);
        Path::new(&handle(&file)).exists().then_some(file)
    }

    pub(super) fn link(file: &File, name: &Path) -> io::Result<()> {
        rustix::fs::linkat(CWD, handle(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }

    fn handle(file: &File) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn draft(path: &Path, text: &str) -> Draft {
        let draft = Draft::beside(path).unwrap();
        draft.file().write_all(text.as_bytes()).unwrap();
        draft
    }

    #[test]
    fn a_draft_gets_its_name_in_one_step_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.onnx");
        drop(draft(&path, "dropped"));
        draft(&path, "first").place(&path, Overwrite::Never).unwrap();
        let refused = draft(&path, "second").place(&path, Overwrite::Never).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        draft(&path, "third").place(&path, Overwrite::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        let named = Draft::Named(names().tempfile_in(folder.path()).unwrap());
        named.place(&path, Overwrite::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_draft_has_no_name_before() {
        let folder = tempfile::tempdir().unwrap();
        let draft = draft(&folder.path().join("out.onnx"), "text");
        // Not every file system has such files.
        if matches!(draft, Draft::Unnamed(_)) {
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
