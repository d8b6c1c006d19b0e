//! Terminal control sequences in text: CSI (colours), OSC (titles, links) and two-byte escapes.

use std::borrow::Cow;

const ESCAPE: char = '\u{1b}';

/// Takes the terminal control sequences out of a text; borrows where there are none.
pub(crate) fn strip(text: &str) -> Cow<'_, str> {
    if memchr::memchr(0x1b, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != ESCAPE {
            plain.push(c);
            continue;
        }
        match chars.peek() {
            // Parameters and intermediates, up to the final byte (ECMA-48, 5.4).
            Some('[') => {
                chars.next();
                while let Some(&c) = chars.peek() {
                    if !(' '..='~').contains(&c) {
                        break;
                    }
                    chars.next();
                    if ('@'..='~').contains(&c) {
                        break;
                    }
                }
            }
            // A string, up to BEL or ESC \.
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' {
                        break;
                    }
                    if c == ESCAPE {
                        chars.next_if_eq(&'\\');
                        break;
                    }
                }
            }
            Some('@'..='_') => {
                chars.next();
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn colours_and_links_go_and_text_stays() {
        assert_eq!(strip("plain"), "plain");
        assert_eq!(strip("\u{1b}[36m[LOG]\u{1b}[39m 'x'"), "[LOG] 'x'");
        assert_eq!(strip("\u{1b}[38;2;1;2;3m▌\u{1b}[0m"), "▌");
        assert_eq!(strip("\u{1b}]8;;https://a\u{1b}\\text\u{1b}]8;;\u{7}!"), "text!");
        assert_eq!(strip("cut \u{1b}[3"), "cut ");
        assert_eq!(strip("\u{1b}"), "");
        assert_eq!(strip("\u{1b}[12é"), "é");
    }
}
