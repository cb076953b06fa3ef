//! Where things are: the built library for a test, the scenario for the library.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The scenario's name where the environment names none: it is looked for beside the library.
pub const SCENARIO_FILE: &str = "scenario.json";

/// The environment variable that names the scenario.
const SCENARIO_VARIABLE: &str = "FAKE_NVML_SCENARIO";

/// The environment variable that names the file of counts.
const CALLS_VARIABLE: &str = "FAKE_NVML_CALLS";

/// The library's name in cargo's target directory.
const BUILT: &str = "libnvidia_ml.so";

/// Copies the built library into a directory as `libnvidia-ml.so.1`, and returns its path.
///
/// It is a copy and not a link, so that libraries in several directories are apart from each other even in one
/// process: each has its own state and its own `scenario.json` beside it.
///
/// # Errors
/// The library isn't built beside the running test, or it can't be copied.
pub fn library_in(dir: &Path) -> io::Result<PathBuf> {
    let target = dir.join("libnvidia-ml.so.1");
    fs::copy(built()?, &target)?;
    Ok(target)
}

/// The library in cargo's target directory: tests are in `deps`, as it is; examples and programs are near.
fn built() -> io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    exe.ancestors()
        .skip(1)
        .take(3)
        .flat_map(|dir| [dir.join(BUILT), dir.join("deps").join(BUILT)])
        .find(|path| path.is_file())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {BUILT} near {}", exe.display())))
}

/// The scenario that the library reads.
pub(crate) fn scenario() -> Option<PathBuf> {
    std::env::var_os(SCENARIO_VARIABLE).map(PathBuf::from).or_else(|| Some(own_dir()?.join(SCENARIO_FILE)))
}

/// The file of counts: it must exist, unless the environment names it.
pub(crate) fn calls() -> Option<PathBuf> {
    std::env::var_os(CALLS_VARIABLE)
        .map(PathBuf::from)
        .or_else(|| Some(own_dir()?.join(crate::calls::FILE)).filter(|path| path.is_file()))
}

/// Where the library is: none while nobody asked, the inner none where that can't be told.
static OWN: Mutex<Option<Option<PathBuf>>> = Mutex::new(None);

/// The directory of the library that this code was loaded from, by the map of the process's memory.
fn own_dir() -> Option<PathBuf> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    own.get_or_insert_with(|| {
        let here = (own_dir as *const ()).addr();
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        let path = maps.lines().find_map(|line| file_at(line, here))?;
        Path::new(path.trim_end_matches(" (deleted)")).parent().map(Path::to_path_buf)
    })
    .clone()
}

/// Gives the memory back: the library may be unloaded.
pub(crate) fn forget() {
    if let Ok(mut own) = OWN.try_lock() {
        *own = None;
    }
}

/// The file of a line of the map, if the address is within.
fn file_at(line: &str, address: usize) -> Option<&str> {
    let (range, _) = line.split_once(' ')?;
    let (low, high) = range.split_once('-')?;
    let within =
        usize::from_str_radix(low, 16).ok()? <= address && address < usize::from_str_radix(high, 16).ok()?;
    let path = line.find('/').and_then(|start| line.get(start..))?;
    within.then_some(path)
}
