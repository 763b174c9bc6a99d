//! `<lora:name:weight>`: references to LoRAs, which are taken out of a prompt before it is read.

use super::Prompt;
use crate::error::{Error, Result};

/// A LoRA that a prompt names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// Further settings that have no meaning here.
    pub(crate) ignored: Vec<String>,
}

const OPEN: &str = "<lora:";

impl Prompt<'_> {
    /// The prompt without its references, and those.
    pub(crate) fn references(&self) -> Result<(String, Vec<Reference>)> {
        let (mut text, mut references) = (String::new(), Vec::new());
        let mut rest = self.text;
        while let Some(start) = rest.find(OPEN) {
            let Some(end) = rest[start..].find('>') else {
                break;
            };
            text.push_str(&rest[..start]);
            references.push(self.reference(&rest[start + OPEN.len()..start + end])?);
            rest = &rest[start + end + 1..];
        }
        text.push_str(rest);
        // Blanks around the references are not part of the prompt either.
        let text = if references.is_empty() {
            text
        } else {
            text.trim().to_owned()
        };
        Ok((text, references))
    }

    /// `name[:weight][:key=value...]`
    fn reference(&self, inside: &str) -> Result<Reference> {
        let wrong = |expected: &str| {
            Error::expected(self.field, expected, format!("{OPEN}{inside}>"))
                .hint("write `<lora:NAME:WEIGHT>`; the weight holds for the text encoders as well")
        };
        let mut parts = inside.split(':').map(str::trim);
        let name = parts
            .next()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| wrong("a LoRA's name"))?;
        let (ignored, numbers): (Vec<&str>, Vec<&str>) =
            parts.partition(|part| part.starts_with("lbw="));
        let weight = match numbers[..] {
            [] => 1.0,
            [number] => number
                .parse()
                .map_err(|_| wrong("a number as the LoRA's weight"))?,
            _ => return Err(wrong("one weight")),
        };
        let ignored = ignored.into_iter().map(str::to_owned).collect();
        Ok(Reference {
            name: name.to_owned(),
            weight,
            ignored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, Vec<Reference>)> {
        Prompt {
            field: "prompt",
            text,
        }
        .references()
    }

    #[test]
    fn references_are_taken_out_of_the_prompt() {
        let named = |name: &str, weight| Reference {
            name: name.to_owned(),
            weight,
            ignored: Vec::new(),
        };
        assert_eq!(read("a cat").unwrap(), ("a cat".to_owned(), Vec::new()));
        assert_eq!(read(" a <b> cat").unwrap().0, " a <b> cat");
        assert_eq!(
            read("a cat, <lora:big cats:0.8> <lora:x:-1>").unwrap(),
            (
                "a cat,".to_owned(),
                vec![named("big cats", 0.8), named("x", -1.0)]
            )
        );
        let (text, references) = read("<lora:x:0.5:lbw=1,0,1> a (b:1.2)").unwrap();
        assert_eq!(
            (text.as_str(), references[0].ignored.as_slice()),
            ("a (b:1.2)", ["lbw=1,0,1".to_owned()].as_slice())
        );
        assert_eq!(read("<lora:x>").unwrap().1, [named("x", 1.0)]);
    }

    #[test]
    fn a_reference_that_cannot_be_read_is_an_error() {
        for text in ["<lora:>", "<lora:x:big>", "<lora:x:1:0.5>", "<lora:x:te=1>"] {
            assert_eq!(
                read(text).unwrap_err().field_name(),
                Some("prompt"),
                "{text}"
            );
        }
        assert_eq!(read("<lora:x").unwrap().0, "<lora:x");
    }
}
