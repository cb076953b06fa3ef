//! The forms that ids and names take in cgroup paths.

/// Longest name, unit or id kept, in bytes. A path component has at most 255.
const MAX_LABEL_BYTES: usize = 253;

/// A pod's UID with dashes: a UUID, or for static pods a hash of 32 hexadecimal digits.
pub(super) fn pod_uid(text: &str) -> Option<String> {
    let uid = text.replace('_', "-");
    let groups: Vec<usize> =
        uid.split('-').map(|group| if is_lower_hex(group) { group.len() } else { 0 }).collect();
    matches!(groups.as_slice(), [32] | [8, 4, 4, 4, 12]).then_some(uid)
}

/// Ids of OCI containers are 64 lower-case hexadecimal digits in every runtime named here.
pub(super) fn is_container_id(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One or more decimal digits.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `42`, or `42[7]` for an element of a job array.
pub(super) fn is_indexed_number(text: &str) -> bool {
    match text.split_once('[') {
        Some((number, index)) => is_number(number) && index.strip_suffix(']').is_some_and(is_number),
        None => is_number(text),
    }
}

/// `42.server` or `42[7].server`; the server's name may hold dots.
pub(super) fn is_pbs_job_id(text: &str) -> bool {
    let (sequence, server) = text.split_once('.').unwrap_or((text, "server"));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    is_indexed_number(sequence) && !server.is_empty() && server.bytes().all(is_host)
}

/// What follows `<number>-`.
pub(super) fn after_number(text: &str) -> Option<&str> {
    text.split_once('-').filter(|(number, _)| is_number(number)).map(|(_, rest)| rest)
}

/// Undoes systemd's `\xNN` escapes of single bytes. A name that isn't fit for printing when decoded (not
/// UTF-8, control characters) stays as it was.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let [b'\\', b'x', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (nibble(*high), nibble(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|name| !name.contains(char::is_control))
        .unwrap_or_else(|| text.to_owned())
}

fn nibble(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// At most [`MAX_LABEL_BYTES`] of a text, ending between two characters.
pub(super) fn clip(text: &str) -> Box<str> {
    let end = (0..=MAX_LABEL_BYTES).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    text.get(..end).unwrap_or(text).into()
}
