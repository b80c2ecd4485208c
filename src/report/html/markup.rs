//! Text as HTML. Names of nodes and values come from files of strangers: only [`Markup::text`] and
//! [`Markup::attribute`] take such text, and both escape it.

use std::fmt::{self, Display, Write};

/// Markup that grows at its end.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Adds markup of our own.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, escaped.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// Adds ` name="text"`, escaped.
    pub fn attribute(&mut self, name: &str, text: impl Display) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(text).raw("\"")
    }

    /// Adds `<tag>text</tag>`; the tag may have attributes of our own.
    pub fn element(&mut self, tag: &str, text: impl Display) -> &mut Self {
        let name = tag.split(' ').next().unwrap_or(tag);
        self.raw("<").raw(tag).raw(">").text(text).raw("</").raw(name).raw(">")
    }

    /// The markup.
    pub fn finish(self) -> String {
        self.0
    }
}

/// Escapes what is written through it. Control characters that HTML forbids become U+FFFD.
struct Escape<'a>(&'a mut String);

impl Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // Marks that turn the direction of text could make a name read as another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        let mut page = Markup::default();
        page.raw("<p").attribute("title", "\"><script>").raw(">").text("<b>&'\u{0}\u{202e}x");
        page.element("td class=n", "</td>");
        let expected = "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;&amp;&#39;\u{fffd}\u{fffd}x\
                        <td class=n>&lt;/td&gt;</td>";
        assert_eq!(page.finish(), expected);
    }
}
