//! Where the root key of a workflow is.

use std::path::Path;

use super::{Error, Project};
use crate::error::IoError;
use crate::identity::Key;

/// The root key, read from where the workflow says; made on the first run if it says so.
///
/// # Errors
/// When there is no usable key.
pub fn load_key(project: &Project) -> Result<Key, Error> {
    let source = &project.workflow.identity.key;
    if let Some(fd) = source.fd {
        return Ok(Key::load(Path::new(&format!("/dev/fd/{fd}")))?);
    }
    let path = project.path(source.file.clone().unwrap_or_default());
    if !source.create || path.exists() {
        return Ok(Key::load(&path)?);
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(IoError::at("creating", parent))?;
    }
    match Key::create(&path) {
        // Another first run was quicker; it is its key then.
        Err(_) if path.exists() => Ok(Key::load(&path)?),
        made => Ok(made?),
    }
}

/// Whether there is a root key to read; not before the first run of a workflow that makes its own.
pub fn has_key(project: &Project) -> bool {
    let source = &project.workflow.identity.key;
    source.file.as_ref().is_none_or(|file| project.path(file).exists())
}

/// Id of the root key, without making one: `new` when the first run will.
///
/// # Errors
/// When there is a key and it is not usable.
pub fn peek_key_id(project: &Project) -> Result<String, Error> {
    let create = project.workflow.identity.key.create;
    if create && !has_key(project) { Ok("new".into()) } else { Ok(load_key(project)?.kid()) }
}
