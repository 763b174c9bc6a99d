//! Cache of encoded prompts: a server and a batch ask for the same ones again and again.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::text::EncodedPrompts;
use crate::error::Result;
use crate::event::{Event, Flow, Observer, tell};
use crate::params::Request;

/// Number of requests whose conditioning is kept.
const KEPT: usize = 32;
/// Total number of tokens kept at most, so that long prompts take no more memory than as many of
/// one chunk.
const TOKENS: usize = KEPT * 77;

/// The conditioning of recent requests, the latest last.
#[derive(Default)]
pub(super) struct PromptCache(RefCell<VecDeque<Known>>);

/// A conditioning and what it depends on.
struct Known {
    request: Request,
    encoded: EncodedPrompts,
    /// Warnings reported while it was made.
    warnings: Vec<Event>,
}

impl PromptCache {
    /// The conditioning of `request`'s prompts, made by `encode` unless it is cached. Its warnings
    /// are reported each time.
    pub(super) fn get(
        &self,
        request: &Request,
        observer: &mut dyn Observer,
        encode: impl FnOnce(&mut dyn Observer) -> Result<EncodedPrompts>,
    ) -> Result<EncodedPrompts> {
        let request = request.conditioning();
        let mut known = self.0.borrow_mut();
        if let Some(at) = known.iter().position(|known| known.request == request)
            && let Some(found) = known.remove(at)
        {
            found
                .warnings
                .iter()
                .try_for_each(|warning| tell(observer, warning))?;
            let encoded = found.encoded.clone();
            known.push_back(found);
            return Ok(encoded);
        }
        let mut warnings = Vec::new();
        let mut listening = |event: &Event| -> Flow {
            if matches!(event, Event::Warning { .. }) {
                warnings.push(event.clone());
            }
            observer.on(event)
        };
        let encoded = encode(&mut listening)?;
        known.push_back(Known {
            request,
            encoded: encoded.clone(),
            warnings,
        });
        let tokens = |known: &VecDeque<Known>| {
            known
                .iter()
                .map(|known| known.encoded.length())
                .sum::<usize>()
        };
        while known.len() > KEPT || tokens(&known) > TOKENS {
            known.pop_front();
        }
        Ok(encoded)
    }
}
