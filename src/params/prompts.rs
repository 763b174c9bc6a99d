//! Prompts of a request, as its text encoders read them.

use super::Request;
use crate::prompt::{Prompt, Reading};

impl Request {
    /// Syntax and treatment of long prompts.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            syntax: self.prompt_syntax,
            long: self.long_prompt,
        }
    }

    /// Prompts of the first and the second text encoder, which are the same unless the request
    /// has a second one.
    pub(crate) fn prompts(&self) -> [Prompt<'_>; 2] {
        let first = Prompt {
            field: "prompt",
            text: &self.prompt,
        };
        let second = self.prompt_2.as_deref().map(|text| Prompt {
            field: "prompt_2",
            text,
        });
        [first, second.unwrap_or(first)]
    }
}
