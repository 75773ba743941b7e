//! A line of text as a QR code.

use crate::outcome::{Explain, Outcome};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// A QR code for a terminal with light letters on a dark ground: what is light is drawn. The text means the same in capitals, which
/// take the code's compact mode.
///
/// # Errors
/// The text is too long for a code.
pub(super) fn drawing(text: &str) -> Outcome<String> {
    let code = QrCode::new(text.to_uppercase()).or_failed("the QR code cannot be drawn")?;
    let drawing = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(format!("{drawing}\n"))
}
