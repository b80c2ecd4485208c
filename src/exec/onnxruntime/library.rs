//! Where the shared library of ONNX Runtime is.

use std::env::{self, consts};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, err};

/// The variable that other programs look at, too.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// What to do when there is none.
const HELP: &str = "name the library with --ort-library or ORT_DYLIB_PATH; the Python package \
                    onnxruntime has it in its folder `capi`";

/// Folders in which libraries are installed, beside those that variables name.
const USUAL: &[&str] = if cfg!(windows) {
    &[]
} else {
    &[
        "/usr/local/lib",
        "/usr/local/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/opt/onnxruntime/lib",
        "/opt/homebrew/lib",
    ]
};

/// Folders of variables with lists of folders in which the system looks for libraries.
const LISTS: &[&str] = if cfg!(windows) {
    &["PATH"]
} else {
    &["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"]
};

/// The library `named`, else that of the environment, else the first that is found.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return at(path);
    }
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return at(Path::new(&path)).map_err(|error| Error {
            message: format!("{} (as {VARIABLE} says)", error.message),
            ..error
        });
    }
    let found = folders().iter().find_map(|folder| inside(folder));
    found.ok_or_else(|| err!(Engine, "no shared library of ONNX Runtime is found").help(HELP))
}

/// The library that a path of the user means.
fn at(path: &Path) -> Result<PathBuf> {
    let found = if path.is_dir() {
        inside(path).ok_or_else(|| {
            let name = file_name();
            err!(Engine, "the folder holds no shared library of ONNX Runtime (`{name}`)")
        })
    } else if path.exists() {
        Ok(path.to_owned())
    } else {
        Err(err!(Engine, "there is no such shared library of ONNX Runtime"))
    };
    let found = found.map_err(|error| error.in_file(path).help(HELP))?;
    // Not looked up anywhere else: the system would, for a bare name.
    std::path::absolute(&found).map_err(|error| Error::io(&found, &error))
}

/// `libonnxruntime.so`, `libonnxruntime.dylib` or `onnxruntime.dll`.
fn file_name() -> String {
    format!("{}onnxruntime{}", consts::DLL_PREFIX, consts::DLL_SUFFIX)
}

/// The library in a folder: under its plain name, or else the newest of those with versions.
fn inside(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(file_name());
    if plain.is_file() {
        return Some(plain);
    }
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let versioned = entries.filter_map(|path| Some((version(path.file_name()?)?, path)));
    versioned.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

/// The version in `libonnxruntime.so.1.2.3` or `libonnxruntime.1.2.3.dylib`.
fn version(name: &OsStr) -> Option<Vec<u32>> {
    let stem = format!("{}onnxruntime.", consts::DLL_PREFIX);
    let rest = name.to_str()?.strip_prefix(&stem)?;
    let suffix = consts::DLL_SUFFIX.trim_start_matches('.');
    let version = match rest.strip_prefix(suffix) {
        Some(version) => version.strip_prefix('.')?,
        None => rest.strip_suffix(consts::DLL_SUFFIX)?,
    };
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Where libraries usually are; the environment that the user has activated comes first.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(program) = env::current_exe()
        && let Some(folder) = program.parent()
    {
        folders.push(folder.to_owned());
    }
    let roots = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(env::var_os);
    // One that is empty or relative would be in the folder that the command happens to run in.
    for root in roots.map(PathBuf::from).filter(|root| root.is_absolute()) {
        folders.extend([root.join("lib"), root.join("Lib/site-packages/onnxruntime/capi")]);
        // The name of this folder has the version of Python.
        let pythons = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
        let packages = pythons.map(|p| p.path().join("site-packages/onnxruntime/capi"));
        folders.extend(packages.filter(|folder| folder.is_dir()));
    }
    for list in LISTS.iter().filter_map(env::var_os) {
        // An empty entry would be the folder that the command happens to run in.
        folders.extend(env::split_paths(&list).filter(|folder| folder.is_absolute()));
    }
    folders.extend(USUAL.iter().map(PathBuf::from));
    // Debian and its kin keep libraries apart by processor.
    folders.push(PathBuf::from(format!("/usr/lib/{}-linux-gnu", consts::ARCH)));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name with a version, as the system has them.
    fn named(version: &str) -> String {
        match consts::OS {
            "macos" => format!("libonnxruntime.{version}.dylib"),
            _ => format!("{}.{version}", file_name()),
        }
    }

    #[test]
    fn the_newest_version_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let others = [named("x"), "libonnxruntime_providers_shared.so".into(), "README".into()];
        for name in &others {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let error = at(folder.path()).unwrap_err().to_string();
        assert!(error.contains("the folder holds no shared library"), "{error}");
        for version in ["1.9.0", "1.31.1", "1.4.2"] {
            std::fs::write(folder.path().join(named(version)), "").unwrap();
        }
        let newest = folder.path().join(named("1.31.1"));
        assert_eq!(at(folder.path()).unwrap(), newest);
        let plain = folder.path().join(file_name());
        std::fs::write(&plain, "").unwrap();
        assert_eq!(at(folder.path()).unwrap(), plain);
        assert_eq!(find(Some(&newest)).unwrap(), newest);
    }

    #[test]
    fn a_path_to_nothing() {
        let error = find(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so"), "{error}");
        assert!(error.contains("no such shared library"), "{error}");
        assert!(error.contains("--ort-library"), "{error}");
    }
}
