//! What NVML's errors mean, and the bounded set of words for them.

use std::path::Path;
use std::sync::Arc;

use nvml_wrapper::error::NvmlError;

use crate::gpu::{BackendFailure, Consequence, DeviceFailure};

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH` and `NVML_ERROR_DEPRECATED`, which the wrapper has no names for.
const VERSION_CODES: [u32; 2] = [25, 26];
/// `NVML_ERROR_NOT_READY`.
const NOT_READY: u32 = 27;
/// `NVML_ERROR_GPU_NOT_FOUND`.
const GPU_NOT_FOUND: u32 = 28;

/// Why a call can't be made on a device, for as long as the driver runs or somebody changes a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The device can't do it.
    Unsupported,
    /// Driver and library don't both know the call.
    Missing,
    /// It needs more rights.
    Denied,
    /// A device cgroup or the like is in the way.
    Blocked,
    /// The driver answers, but with nothing.
    Silent,
    /// It failed again and again.
    Failing,
}

impl Why {
    /// The reason of a limitation.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unsupported => "not supported by the device",
            Self::Missing => "not known to this driver or its library",
            Self::Denied => "no permission",
            Self::Blocked => "blocked by the operating system",
            Self::Silent => "the driver has no data",
            Self::Failing => "keeps failing",
        }
    }

    /// What would mend it.
    pub(super) const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Unsupported | Self::Silent | Self::Failing => None,
            Self::Missing => Some("install a newer NVIDIA driver"),
            Self::Denied => Some("run as root, or give the daemon the right that the driver asks for"),
            Self::Blocked => Some("let the daemon's device cgroup use /dev/nvidia*"),
        }
    }
}

/// What an error of one call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is nothing to tell: an empty list.
    Empty,
    /// The handle or an argument isn't valid (any more).
    Stale,
    /// The call is of no use on this device.
    Off(Why),
    /// The device is gone.
    Lost(&'static str),
    /// The library must be initialised anew.
    Uninitialised,
    /// It may pass.
    Passing(&'static str),
}

impl Fault {
    /// Sorts an error of NVML.
    pub(super) fn of(error: &NvmlError) -> Self {
        match error {
            NvmlError::NotFound | NvmlError::NoData => Self::Empty,
            NvmlError::InvalidArg => Self::Stale,
            NvmlError::NotSupported | NvmlError::VgpuEccNotSupported => Self::Off(Why::Unsupported),
            NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => Self::Off(Why::Missing),
            NvmlError::UnexpectedVariant(code) if VERSION_CODES.contains(code) => Self::Off(Why::Missing),
            NvmlError::NoPermission => Self::Off(Why::Denied),
            NvmlError::OperatingSystem => Self::Off(Why::Blocked),
            NvmlError::GpuLost => Self::Lost("fell off the bus"),
            NvmlError::ResetRequired => Self::Lost("needs a reset"),
            NvmlError::IrqIssue => Self::Lost("interrupt problem"),
            NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => Self::Lost("device not found"),
            NvmlError::Uninitialized => Self::Uninitialised,
            NvmlError::Timeout => Self::Passing("driver timed out"),
            NvmlError::UnexpectedVariant(NOT_READY) => Self::Passing("driver not ready"),
            NvmlError::Unknown => Self::Passing("unknown driver error"),
            NvmlError::DriverNotLoaded => Self::Passing("driver not loaded"),
            NvmlError::LibRmVersionMismatch => Self::Passing("driver and library differ in version"),
            NvmlError::InsufficientSize(_) => Self::Passing("list kept growing"),
            NvmlError::InsufficientMemory => Self::Passing("driver out of memory"),
            NvmlError::InsufficientPower => Self::Passing("power cables not attached"),
            NvmlError::CorruptedInfoROM => Self::Passing("corrupted infoROM"),
            NvmlError::InUse => Self::Passing("device in use"),
            NvmlError::Utf8Error(_) => Self::Passing("unreadable answer"),
            _ => Self::Passing("driver error"),
        }
    }

    /// One of the words above, for a device that can't do without the call.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "driver found nothing",
            Self::Stale => "driver refused the handle",
            Self::Off(why) => why.reason(),
            Self::Lost(reason) | Self::Passing(reason) => reason,
            Self::Uninitialised => "driver library not initialised",
        }
    }

    /// What it means for the whole device.
    pub(super) fn failure(self) -> DeviceFailure {
        let consequence = match self {
            Self::Lost(_) => Consequence::Lost,
            Self::Uninitialised => Consequence::Reinitialise,
            Self::Empty | Self::Stale | Self::Off(_) | Self::Passing(_) => Consequence::Transient,
        };
        DeviceFailure { consequence, reason: Arc::from(self.reason()) }
    }

    /// Whether no call on the device can do better.
    pub(super) const fn is_fatal(self) -> bool {
        matches!(self, Self::Lost(_) | Self::Uninitialised)
    }
}

/// That no driver module is there.
pub(super) fn no_driver(module: &Path) -> BackendFailure {
    BackendFailure {
        reason: Arc::from("driver not loaded"),
        detail: format!("NVIDIA driver not loaded: no {}", module.display()),
        remedy: Some("install and load the NVIDIA driver, or switch the nvml collector off"),
        needs_new_container: false,
    }
}

/// Why the library at `library` couldn't be loaded or initialised. A library that is older than the driver, and
/// rights that a container lost, show here.
pub(super) fn no_start(error: &NvmlError, library: &Path) -> BackendFailure {
    let needs_new_container = matches!(error, NvmlError::LibRmVersionMismatch | NvmlError::Unknown);
    BackendFailure { needs_new_container, ..refusal(error, library) }
}

/// Why the library at `library`, once initialised, doesn't list devices.
pub(super) fn refusal(error: &NvmlError, library: &Path) -> BackendFailure {
    const LOADING: &str =
        "install the NVIDIA driver's libraries, hand them to the container, or set nvml.library";
    const LOG: &str = "look for lines with NVRM in the kernel's log";
    let (reason, remedy) = match error {
        NvmlError::DriverNotLoaded => ("driver not loaded", "load the NVIDIA kernel module"),
        NvmlError::LibraryNotFound | NvmlError::LibloadingError(_) => ("library can't be loaded", LOADING),
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            ("library lacks a function", LOADING)
        }
        NvmlError::LibRmVersionMismatch => (
            "driver and library differ in version",
            "reload the driver or reboot; a container with the old library must be started anew",
        ),
        NvmlError::NoPermission => ("no permission", "let the daemon open /dev/nvidiactl and /dev/nvidia*"),
        NvmlError::OperatingSystem => {
            ("blocked by the operating system", "let the device cgroup use /dev/nvidia*")
        }
        NvmlError::Unknown => (
            "unknown driver error",
            "start the container anew if there is one: its right to use the devices may be lost; else look for \
             lines with NVRM in the kernel's log",
        ),
        NvmlError::Timeout => ("driver timed out", LOG),
        NvmlError::UnexpectedVariant(NOT_READY) => {
            ("driver not ready", "wait; if it lasts, reload the driver")
        }
        NvmlError::UnexpectedVariant(GPU_NOT_FOUND) => ("no device", LOG),
        NvmlError::Uninitialized => ("driver library not initialised", LOG),
        NvmlError::InsufficientMemory => ("driver out of memory", LOG),
        NvmlError::IrqIssue => ("interrupt problem", LOG),
        NvmlError::GpuLost => ("fell off the bus", LOG),
        NvmlError::ResetRequired => ("needs a reset", "reset the device with nvidia-smi, or reboot"),
        _ => ("driver error", LOG),
    };
    BackendFailure {
        reason: Arc::from(reason),
        detail: format!("{}: {error}", library.display()),
        remedy: Some(remedy),
        needs_new_container: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_consequences_of_their_rows() {
        use Consequence::{Lost, Reinitialise, Transient};
        for (code, consequence) in [
            (1, Reinitialise),
            (2, Transient),
            (7, Transient),
            (9, Transient),
            (10, Transient),
            (11, Lost),
            (15, Lost),
            (16, Lost),
            (20, Transient),
            (27, Transient),
            (28, Lost),
            (29, Transient),
            (999, Transient),
            (12_345, Transient),
        ] {
            let fault = Fault::of(&NvmlError::from(code));
            assert!(!matches!(fault, Fault::Off(_)), "{code}");
            assert_eq!(fault.failure().consequence, consequence, "{code}");
            assert_eq!(fault.is_fatal(), consequence != Transient, "{code}");
        }
    }

    #[test]
    fn some_codes_switch_a_call_off_and_some_mean_nothing_is_there() {
        for (code, fault) in [
            (3, Fault::Off(Why::Unsupported)),
            (4, Fault::Off(Why::Denied)),
            (6, Fault::Empty),
            (13, Fault::Off(Why::Missing)),
            (17, Fault::Off(Why::Blocked)),
            (21, Fault::Empty),
            (25, Fault::Off(Why::Missing)),
            (26, Fault::Off(Why::Missing)),
        ] {
            assert_eq!(Fault::of(&NvmlError::from(code)), fault, "{code}");
        }
        let missing = NvmlError::FailedToLoadSymbol("nvmlSomething".to_owned());
        assert_eq!(Fault::of(&missing), Fault::Off(Why::Missing));
    }

    #[test]
    fn only_a_stale_library_and_lost_rights_ask_for_a_new_container() {
        for code in 1..1_000 {
            let (error, library) = (NvmlError::from(code), Path::new("libnvidia-ml.so.1"));
            let failure = no_start(&error, library);
            assert_eq!(failure.needs_new_container, [18, 999].contains(&code), "{code}");
            assert!(failure.remedy.is_some());
            assert!(!refusal(&error, library).needs_new_container, "it was initialised");
        }
    }

    #[test]
    fn reasons_hold_no_numbers_or_paths() {
        for code in 1..1_000 {
            let error = NvmlError::from(code);
            for reason in [Fault::of(&error).reason().into(), refusal(&error, Path::new("/x/y.so")).reason] {
                let clean = reason.chars().all(|letter| letter.is_alphabetic() || " '".contains(letter));
                assert!(clean && reason.len() <= 48, "{reason}");
            }
        }
    }
}
