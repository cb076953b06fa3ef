//! The caller's memory: what functions are given to read from and to write to.
//!
//! All of it rests on one promise, which is NVML's contract with every caller: a pointer is null, or it points to
//! memory of the type and number of items that the header states, which nobody else uses during the call.

use std::ffi::{CStr, c_char, c_uint};
use std::mem::MaybeUninit;

use crate::code;
use crate::state::Reply;

/// A place for a value. It may not be initialised, and it may be null.
pub(super) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// A value that is read and written. It may be null.
pub(super) type InOut<'a, T> = Option<&'a mut T>;

/// Writes a value.
pub(super) fn put<T>(out: Out<'_, T>, value: T) -> Reply {
    out.ok_or(code::INVALID_ARGUMENT)?.write(value);
    Ok(())
}

/// Room for items, the number of which is another argument. The pointer
/// must come from the caller.
#[repr(transparent)]
pub(super) struct Buffer<T>(*mut T);

impl<T> Buffer<T> {
    /// A buffer that a struct of the caller points to.
    pub(super) fn at(pointer: *mut T) -> Self {
        Self(pointer)
    }

    pub(super) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// Writes items from the start, no more than there is room for, and says how many.
    pub(super) fn fill(&self, room: usize, items: impl IntoIterator<Item = T>) -> usize {
        if self.is_null() {
            return 0;
        }
        let mut written = 0;
        for item in items.into_iter().take(room) {
            // SAFETY: the buffer holds `room` items by the caller's promise, and `written` is below that.
            unsafe { self.0.add(written).write(item) };
            written += 1;
        }
        written
    }

    /// The items, which the caller has filled.
    pub(super) fn items(&mut self, count: usize) -> Reply<&mut [T]> {
        if self.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: the buffer holds `count` initialised items by the caller's promise; the borrow of `self` ends
        // before the call does.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0, count) })
    }
}

impl Buffer<c_char> {
    /// Writes a text with its final zero, if there is room for all of it.
    pub(super) fn text(&self, room: c_uint, text: &str) -> Reply {
        if self.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if text.len() >= room {
            return Err(code::INSUFFICIENT_SIZE);
        }
        self.fill(room, characters(text));
        Ok(())
    }
}

/// A text as C has it, with its final zero.
pub(super) fn characters(text: &str) -> impl Iterator<Item = c_char> {
    text.bytes().chain([0]).map(|byte| c_char::from_ne_bytes([byte]))
}

/// A text as an array, cut off where it is too long.
pub(super) fn array<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    for (place, character) in array.iter_mut().take(N.saturating_sub(1)).zip(characters(text)) {
        *place = character;
    }
    array
}

/// A text from the caller. Only foreign callers make these.
#[repr(transparent)]
pub(super) struct Text(*const c_char);

impl Text {
    pub(super) fn get(&self) -> Reply<&str> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, so it ends in a zero by the caller's promise; the borrow of `self` ends before the
        // call does.
        let text = unsafe { CStr::from_ptr(self.0) };
        text.to_str().map_err(|_| code::INVALID_ARGUMENT)
    }
}

/// Answers as NVML's lists do: the count says how many items there are; too small a buffer gets none of them, and
/// an empty list is a success whatever the buffer.
pub(super) fn list<T>(count: InOut<'_, c_uint>, buffer: &Buffer<T>, items: Vec<T>) -> Reply {
    let count = count.ok_or(code::INVALID_ARGUMENT)?;
    let room = *count;
    *count = c_uint::try_from(items.len()).unwrap_or(c_uint::MAX);
    if !items.is_empty() && (buffer.is_null() || room < *count) {
        return Err(code::INSUFFICIENT_SIZE);
    }
    buffer.fill(items.len(), items);
    Ok(())
}
