//! Order of the jobs and their grouping into forward passes: jobs that need the same model in
//! memory come together, then those with the same conditioning. Names and images do not depend on
//! the order.

use std::collections::HashMap;

use super::plan::Planned;
use crate::params::{Request, RequestKey};

/// Returns the forward passes, each with the indices of its jobs.
pub fn forwards(planned: &[Planned]) -> Vec<Vec<usize>> {
    let mut models = Groups::default();
    let mut forms = Groups::default();
    let mut prompts = Groups::default();
    let mut order: Vec<(usize, usize, usize, usize)> = planned
        .iter()
        .enumerate()
        .map(|(number, planned)| {
            let request = &planned.plan.request;
            let prompt = prompts.number(request.conditioning());
            let form = forms.number(request.form());
            let machine = Request {
                threads: request.threads,
                device: request.device,
                ..request.machinery()
            };
            (models.number(machine), form, prompt, number)
        })
        .collect();
    // Without batching, jobs with one prompt come together; with batching, jobs of one form.
    let shared = planned
        .iter()
        .any(|planned| planned.plan.request.batch_size > 1);
    order.sort_by_key(|(model, form, prompt, number)| {
        if shared {
            (*model, *form, *prompt, *number)
        } else {
            (*model, *prompt, 0, *number)
        }
    });
    let mut forwards: Vec<Vec<usize>> = Vec::new();
    let mut last = None;
    for (model, form, _, number) in order {
        let plan = &planned[number].plan;
        let room = if plan.refiner.is_some() {
            1
        } else {
            plan.request.batch_size
        };
        match forwards.last_mut() {
            Some(forward) if last == Some((model, form)) && forward.len() < room => {
                forward.push(number);
            }
            _ => forwards.push(vec![number]),
        }
        last = Some((model, form));
    }
    forwards
}

/// Numbers for requests: equal requests get equal numbers, in the order of their first appearance.
#[derive(Default)]
struct Groups(HashMap<RequestKey, usize>);

impl Groups {
    fn number(&mut self, request: Request) -> usize {
        let next = self.0.len();
        *self.0.entry(request.key()).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::draft::Source;
    use super::super::fields::Fields;
    use super::super::formats::Form;
    use super::super::job::jobs;
    use super::super::plan::plan;
    use super::*;
    use crate::env::Hub;
    use crate::event::{Event, Flow};
    use crate::planner::Planner;

    fn drawn(text: &str) -> Vec<Vec<String>> {
        let source = Source::parse(text, Path::new("b.toml"), Form::Toml);
        let (jobs, _) = jobs(&source.drafts, &Fields::default(), &Fields::default());
        let mut planner = Planner::new(Hub {
            offline: true,
            ..Hub::default()
        });
        let (planned, diagnostics) = plan(jobs, &source.output, &mut planner, &mut |_: &Event| {
            Flow::Continue
        })
        .unwrap();
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let names = |forward: Vec<usize>| {
            forward
                .into_iter()
                .map(|i| planned[i].job.name.clone())
                .collect()
        };
        forwards(&planned).into_iter().map(names).collect()
    }

    const JOBS: &str = "[[job]]\nname = 'a'\nprompt = 'x'\n[[job]]\nname = 'b'\nprompt = 'y'\nwidth = 32\n\
                        [[job]]\nname = 'c'\nprompt = 'y'\n[[job]]\nname = 'd'\nprompt = 'x'\nsteps = 3\n";

    #[test]
    fn sizes_come_together_and_then_prompts() {
        let order = drawn(&format!("[defaults]\nmodel = 'demo'\n{JOBS}"));
        assert_eq!(order.concat(), ["a", "d", "c", "b"]);
        assert_eq!(order.len(), 4);
    }

    #[test]
    fn jobs_that_differ_in_prompt_and_seed_share_a_forward() {
        let order = drawn(&format!(
            "[defaults]\nmodel = 'demo'\nbatch_size = 2\n{JOBS}"
        ));
        assert_eq!(order, [vec!["a", "c"], vec!["d"], vec!["b"]]);
    }
}
