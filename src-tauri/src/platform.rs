//! What differs between systems, in one place.

use crate::ipc::Language;

/// Whether the system has menu items of its own for editing, windows and quitting. GTK has none of them for a webview.
pub(crate) const HAS_NATIVE_ITEMS: bool = !cfg!(target_os = "linux");

/// Whether a click on the tray opens its menu, as is usual on macOS, rather than the window.
pub(crate) const TRAY_MENU_ON_CLICK: bool = cfg!(target_os = "macos");

/// Whether the language is Russian; the system's is asked where the user left it to that.
pub(crate) fn is_russian(language: Language) -> bool {
    match language {
        Language::En => false,
        Language::Ru => true,
        Language::System => sys_locale::get_locale().is_some_and(|locale| locale.starts_with("ru")),
    }
}

/// A notification's text as the system takes it. Linux desktops read markup in it, and text from stores is none.
pub(crate) fn notification_body(text: &str) -> String {
    if cfg!(target_os = "linux") {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_stores_is_no_markup() {
        let shown = notification_body("<b>Fish & Chips</b>");
        if cfg!(target_os = "linux") {
            assert_eq!(shown, "&lt;b&gt;Fish &amp; Chips&lt;/b&gt;");
        } else {
            assert_eq!(shown, "<b>Fish & Chips</b>");
        }
    }
}
