//! The directory into which a prolog script writes what it knows of a job (docs/jobs.md).
//!
//! A file `slurm-42` speaks of one job; a file `0` or `0.7` lists the jobs on one GPU or GPU instance, as dcgm-exporter's
//! mapping does (`--hpc-job-mapping-dir`).

use std::io;
use std::path::{Path, PathBuf};

use crate::identity::files::{HostRoot, Stamp};
use crate::identity::{DeviceName, IdentityError};
use crate::workloads::owner::JobManager;

use super::devices;
use super::told::{Told, clean};

/// Of one file.
const MOST_BYTES: usize = 16 * 1024;
/// Files in the directory.
const MOST_FILES: usize = 20_000;
/// Write permission for everybody.
const WRITABLE_BY_ALL: u32 = 0o002;

/// The directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Who owns it; none while it isn't there.
    uid: Option<u32>,
}

/// The jobs on one device.
pub(super) type OnDevice = (DeviceName, Vec<String>);

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, uid: None }
    }

    /// Looks whether it is there, and whether it may be trusted.
    ///
    /// # Errors
    /// It is there, but can't be used.
    pub(super) fn open(&mut self, root: &HostRoot) -> Result<(), IdentityError> {
        self.uid = None;
        match root.stamp(&self.path) {
            Ok(stamp) if stamp.mode & WRITABLE_BY_ALL != 0 => Err(IdentityError::new(
                "the directory of jobs is writable by everybody",
                root.shown(&self.path).display().to_string(),
            )
            .remedy("make it writable by its owner only (chmod 0755)")),
            Ok(stamp) => {
                self.uid = Some(stamp.uid);
                Ok(())
            }
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(IdentityError::new(
                "the directory of jobs can't be read",
                format!("{}: {error}", root.shown(&self.path).display()),
            )),
        }
    }

    /// What the file of a job says; none if there is no such file.
    ///
    /// # Errors
    /// There is one, but it can't be used.
    pub(super) fn told(
        &self,
        root: &HostRoot,
        manager: JobManager,
        id: &str,
    ) -> Result<Option<Told>, IdentityError> {
        // An id is part of a path that the system knows, but never more than one name of it.
        if id.contains('/') {
            return Ok(None);
        }
        let Some((path, text)) = self.read(root, &format!("{}-{id}", manager.as_str()))? else {
            return Ok(None);
        };
        parse(&text).map(Some).map_err(|what| unusable(root, &path, what))
    }

    /// The jobs on each device, of all files that can be used.
    ///
    /// # Errors
    /// What is wrong with the first file that can't.
    pub(super) fn on_devices(&self, root: &HostRoot) -> (Vec<OnDevice>, Option<IdentityError>) {
        let mut found = Vec::new();
        if self.uid.is_none() {
            return (found, None);
        }
        let entries = match root.list(&self.path, MOST_FILES) {
            Ok(entries) => entries,
            Err(error) => return (found, Some(unusable(root, &self.path, error))),
        };
        let mut wrong = None;
        for entry in entries.iter().filter(|entry| !entry.is_directory) {
            let Some(name) = entry.name.to_str() else { continue };
            let Some(device) = devices::of_file(name) else { continue };
            match self.read(root, name) {
                Ok(Some((_, text))) => {
                    found.push((device, text.split_whitespace().map(str::to_owned).collect()));
                }
                Ok(None) => {}
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        (found, wrong)
    }

    fn read(&self, root: &HostRoot, name: &str) -> Result<Option<(PathBuf, String)>, IdentityError> {
        let Some(uid) = self.uid else { return Ok(None) };
        let path = self.path.join(name);
        match root.read(&path, MOST_BYTES) {
            Ok((contents, stamp)) => {
                check(stamp, uid).map_err(|what| unusable(root, &path, what))?;
                let text = String::from_utf8(contents).map_err(|_| unusable(root, &path, "isn't UTF-8"))?;
                Ok(Some((path, text)))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(unusable(root, &path, error)),
        }
    }
}

/// Whether a file is one that a prolog script wrote: what users can write would let them speak for others.
fn check(stamp: Stamp, uid: u32) -> Result<(), &'static str> {
    if stamp.uid != 0 && stamp.uid != uid {
        return Err("belongs neither to root nor to the owner of the directory");
    }
    if stamp.mode & WRITABLE_BY_ALL != 0 {
        return Err("is writable by everybody");
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unusable(root: &HostRoot, path: &Path, what: impl std::fmt::Display) -> IdentityError {
    let detail = format!("{}: {what}", root.shown(path).display());
    IdentityError::new("a file of a job can't be used", detail)
        .remedy("write it as docs/jobs.md says, as root and with mode 0644")
}

/// Lines `key=value`; blank lines, comments and unknown keys are passed over.
fn parse(text: &str) -> Result<Told, &'static str> {
    let mut told = Told::default();
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').ok_or("has a line that isn't key=value")?;
        let field = match key.trim() {
            "name" => &mut told.job_name,
            "user" => &mut told.user,
            "account" => &mut told.account,
            "partition" => &mut told.partition,
            "array_job_id" => &mut told.array_job_id,
            "array_task_id" => &mut told.array_task_id,
            "phase" => &mut told.phase,
            "model" => &mut told.model,
            "variant" => &mut told.variant,
            "gpus" => {
                told.gpus = Some(devices::parse(value).ok_or("has a list of gpus that can't be understood")?);
                continue;
            }
            _ => continue,
        };
        *field = clean(value);
    }
    Ok(told)
}

#[cfg(test)]
mod tests;
