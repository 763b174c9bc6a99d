//! Pausing of a run by a file: tests stop a run at an event instead of relying on its duration.

use std::path::PathBuf;
use std::time::Duration;

use crate::event::Event;

/// Path of a file that pauses the run while it exists: after as many steps as the number in it, or
/// from the start if it has none.
#[derive(Clone, Debug, Default)]
pub struct Hold(Option<PathBuf>);

impl Hold {
    /// The file that `SDGEN_HOLD` names.
    pub fn from_env() -> Self {
        Self(super::path("SDGEN_HOLD"))
    }

    /// Waits after `event` while the file demands it and `is_over` is false.
    pub(crate) fn wait(&self, event: &Event, is_over: impl Fn() -> bool) {
        while self.stands(event) && !is_over() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn stands(&self, event: &Event) -> bool {
        let done = if let Event::Step { step, .. } = event {
            *step
        } else {
            0
        };
        let said = self
            .0
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok());
        said.is_some_and(|steps| done >= steps.trim().parse().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_how_far_work_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hold");
        let hold = Hold(Some(file.clone()));
        let stands = |step: usize| {
            hold.stands(&Event::Step {
                step,
                steps: 9,
                image: 0,
                batch: 1,
            })
        };
        assert!(
            !Hold::default().stands(&Event::Note {
                message: String::new()
            }) && !stands(1)
        );
        std::fs::write(&file, "2").unwrap();
        assert_eq!([0, 1, 2, 3].map(stands), [false, false, true, true]);
        std::fs::write(&file, "").unwrap();
        assert!(stands(0));
        hold.wait(
            &Event::Note {
                message: String::new(),
            },
            || true,
        );
    }
}
