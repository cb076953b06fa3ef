//! NVML's return codes, under short names.

use nvml_wrapper_sys::bindings as sys;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:ident, $text:literal;)*) => {
        $($(#[$doc])* pub const $name: u32 = sys::$value;)*

        /// What `nvmlErrorString` says of a code.
        pub(crate) const fn text(code: u32) -> &'static std::ffi::CStr {
            match code {
                $($name => $text,)*
                _ => c"Unknown Error",
            }
        }
    };
}

codes! {
    /// All went well.
    SUCCESS = nvmlReturn_enum_NVML_SUCCESS, c"Success";
    /// The library isn't initialised, or the driver was loaded anew since.
    UNINITIALIZED = nvmlReturn_enum_NVML_ERROR_UNINITIALIZED, c"Uninitialized";
    /// A null pointer, a stale handle, a number out of range.
    INVALID_ARGUMENT = nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT, c"Invalid Argument";
    /// The device can't do this.
    NOT_SUPPORTED = nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED, c"Not Supported";
    /// The caller may not do this.
    NO_PERMISSION = nvmlReturn_enum_NVML_ERROR_NO_PERMISSION, c"Insufficient Permissions";
    /// Nothing of this kind is there; for samples: nothing new.
    NOT_FOUND = nvmlReturn_enum_NVML_ERROR_NOT_FOUND, c"Not Found";
    /// The buffer is too small; the count says what is needed.
    INSUFFICIENT_SIZE = nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE, c"Insufficient Size";
    /// No driver.
    DRIVER_NOT_LOADED = nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED, c"Driver Not Loaded";
    /// The driver didn't answer in time.
    TIMEOUT = nvmlReturn_enum_NVML_ERROR_TIMEOUT, c"Timeout";
    /// The device's interrupts don't arrive.
    IRQ_ISSUE = nvmlReturn_enum_NVML_ERROR_IRQ_ISSUE, c"Interrupt Request Issue";
    /// The library or a part of it is missing.
    LIBRARY_NOT_FOUND = nvmlReturn_enum_NVML_ERROR_LIBRARY_NOT_FOUND, c"NVML Shared Library Not Found";
    /// The driver lacks the function behind a symbol.
    FUNCTION_NOT_FOUND = nvmlReturn_enum_NVML_ERROR_FUNCTION_NOT_FOUND, c"Function Not Found";
    /// The device fell off the bus.
    GPU_IS_LOST = nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST, c"GPU is lost";
    /// The device must be reset.
    RESET_REQUIRED = nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED, c"GPU requires reset";
    /// The system refused (a device cgroup, for one).
    OPERATING_SYSTEM = nvmlReturn_enum_NVML_ERROR_OPERATING_SYSTEM, c"The operating system has blocked the request";
    /// Library and driver are of different versions.
    LIB_RM_VERSION_MISMATCH = nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH, c"Driver/library version mismatch";
    /// Out of memory.
    MEMORY = nvmlReturn_enum_NVML_ERROR_MEMORY, c"Insufficient Memory";
    /// No data.
    NO_DATA = nvmlReturn_enum_NVML_ERROR_NO_DATA, c"No data";
    /// A struct's version is unknown.
    ARGUMENT_VERSION_MISMATCH = nvmlReturn_enum_NVML_ERROR_ARGUMENT_VERSION_MISMATCH, c"Argument version mismatch";
    /// Not ready yet.
    NOT_READY = nvmlReturn_enum_NVML_ERROR_NOT_READY, c"Not Ready";
    /// No GPU at all.
    GPU_NOT_FOUND = nvmlReturn_enum_NVML_ERROR_GPU_NOT_FOUND, c"No GPUs were found";
    /// Not possible in this state.
    INVALID_STATE = nvmlReturn_enum_NVML_ERROR_INVALID_STATE, c"Invalid State";
    /// Anything else.
    UNKNOWN = nvmlReturn_enum_NVML_ERROR_UNKNOWN, c"Unknown Error";
}
