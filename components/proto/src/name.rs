//! Names that the owner gives.

use crate::limits::NAME_BYTES_MAX;

/// Whether the owner can give this name to a friend, a relay or an index server.
///
/// # Errors
/// A message that says what a name is.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"));
    }
    Ok(())
}
