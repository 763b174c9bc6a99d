//! The networks of a run: the denoising network, its ControlNets and its IP-Adapter, prepared for
//! the prompts of the run.

use candle_core::Tensor;

use super::control::{Call, Guide, residuals};
use super::text::{Context, Pooled, count};
use crate::error::Result;
use crate::models::conditioning::{Added, Conditioning};
use crate::models::ip_adapter::IpAdapter;
use crate::models::unet::{Deep, Unet};
use crate::params::Approximations;

/// Networks and settings of a run.
pub(super) struct Cast<'a> {
    pub(super) unet: &'a Unet,
    pub(super) guides: Vec<Guide<'a>>,
    /// IP-Adapter of the image prompt, and its scale.
    pub(super) adapter: Option<(&'a IpAdapter, f64)>,
    /// Guidance scale, for networks that take it as an input.
    pub(super) scale: f64,
    /// Approximations that save work: token merging and DeepCache.
    pub(super) shortcuts: Approximations,
}

/// The networks prepared for a batch of prompts.
pub(super) struct Prepared {
    unet: Conditioning,
    controls: Vec<Conditioning>,
    /// Deep features (DeepCache), and the call that made them.
    deep: Option<(usize, Deep)>,
}

/// Conditioning of joined prompts, each repeated for every image of a batch.
pub(super) struct Joined {
    /// `[b, n, c]`.
    pub(super) states: Tensor,
    /// SDXL's added conditioning.
    pooled: Option<(Tensor, Vec<Vec<f64>>)>,
    /// Tokens of an image prompt, `[b, m, c]`.
    picture: Option<Tensor>,
}

impl Joined {
    fn new(contexts: &[&Context], images: usize) -> Result<Self> {
        let each = |of: &dyn Fn(&Context) -> Option<Tensor>| {
            let parts: Vec<Tensor> = contexts.iter().filter_map(|context| of(context)).collect();
            let repeated = |part: &Tensor| {
                let mut times = vec![1; part.dims().len()];
                times[0] = images;
                part.repeat(times)
            };
            let parts = parts.iter().map(repeated).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, crate::error::Error>(if parts.is_empty() {
                None
            } else {
                Some(Tensor::cat(&parts, 0)?)
            })
        };
        let text = each(&|context| context.added.as_ref().map(|pooled| pooled.text.clone()))?;
        let pooled = contexts.iter().filter_map(|context| context.added.as_ref());
        let ids = pooled
            .flat_map(|Pooled { ids, text }| vec![ids.clone(); images * count(text)])
            .collect();
        let states = each(&|context| Some(context.states.clone()))?;
        Ok(Self {
            states: states.ok_or_else(|| crate::error::Error::internal("no prompt at all"))?,
            pooled: text.map(|text| (text, ids)),
            picture: each(&|context| context.picture.clone())?,
        })
    }

    pub(super) fn added(&self) -> Option<Added<'_>> {
        self.pooled
            .as_ref()
            .map(|(pooled, time_ids)| Added { pooled, time_ids })
    }
}

impl Cast<'_> {
    /// Prepares every network for `contexts`, the prompt last, each for `images` images.
    ///
    /// # Errors
    /// Contexts of another width than the network's; tensor arithmetic.
    pub(super) fn prepare(&self, contexts: &[&Context], images: usize) -> Result<Prepared> {
        let joined = Joined::new(contexts, images)?;
        let unet = self
            .unet
            .condition(&joined.states, joined.added().as_ref())?;
        let mut unet = self
            .unet
            .guided(unet, self.scale)?
            .merging(self.shortcuts.merge_tokens);
        if let (Some((adapter, scale)), Some(tokens)) = (self.adapter, &joined.picture) {
            unet = self.unet.with_picture(unet, adapter, tokens, scale)?;
        }
        let prompt = Joined::new(&contexts[contexts.len() - 1..], images)?;
        let controls = self
            .guides
            .iter()
            .map(|guide| guide.condition(if guide.guess { &prompt } else { &joined }));
        Ok(Prepared {
            unet,
            controls: controls.collect::<Result<_>>()?,
            deep: None,
        })
    }

    /// The output for the network's `input` at `call`. Deep features are computed again only when
    /// those of the calls before are too old.
    ///
    /// # Errors
    /// Tensor arithmetic (out of memory).
    pub(super) fn output(
        &self,
        call: &Call<'_>,
        input: &Tensor,
        prepared: &mut Prepared,
    ) -> Result<Tensor> {
        if let (Some(every), Some((made, deep))) = (self.shortcuts.cache, &prepared.deep)
            && call.i < made + every
        {
            return self
                .unet
                .forward_shallow(input, call.timestep, &prepared.unet, deep);
        }
        let controls = residuals(&self.guides, call, &prepared.controls)?;
        let (output, deep) = self
            .unet
            .forward(input, call.timestep, &prepared.unet, &controls)?;
        prepared.deep = self.shortcuts.cache.map(|_| (call.i, deep));
        Ok(output)
    }
}
