//! A link as a picture for phone cameras.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// An SVG of black squares on white; empty where the link is too long for a picture.
pub fn svg(link: &str) -> String {
    // A screen is clean and flat: the lowest correction makes the largest squares, which old cameras read best.
    let Ok(code) = QrCode::with_error_correction_level(link, EcLevel::L) else {
        return String::new();
    };
    let picture = code
        .render::<svg::Color<'_>>()
        .quiet_zone(false)
        .dark_color(svg::Color("#000000"))
        .light_color(svg::Color("#ffffff"))
        .build();
    // The XML declaration has no place inside of HTML.
    match picture.find("<svg") {
        Some(start) => picture[start..].to_owned(),
        None => String::new(),
    }
}
