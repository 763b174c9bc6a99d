//! The terms of a model's weights: from models.toml, or from the model card in its folder.

use super::{ModelFiles, models};

/// The model card, whose head names the licence.
pub(super) const CARD: &str = "README.md";

impl ModelFiles {
    /// The licence of the weights, as far as it is known.
    pub fn license(&self) -> Option<String> {
        let spec = models().iter().find(|spec| spec.name == self.origin);
        let card = || {
            self.has(CARD)
                .then(|| of_card(&self.text(CARD).ok()?))
                .flatten()
        };
        spec.map(|spec| spec.license.clone()).or_else(card)
    }
}

/// Licence in the head of a model card; for `other`, its `license_name`.
fn of_card(card: &str) -> Option<String> {
    let head = card
        .trim_start_matches('\u{feff}')
        .strip_prefix("---")?
        .split("\n---")
        .next()?;
    let value = |key: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    match value("license")? {
        license if license == "other" => value("license_name").or(Some(license)),
        license => Some(license),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_its_licence_in_its_head_alone() {
        assert_eq!(
            of_card("---\nlicense: creativeml-openrail-m\ntags: [a]\n---\n# A").unwrap(),
            "creativeml-openrail-m"
        );
        let own = "---\r\nlicense: other\r\nlicense_name: \"sai-nc-community\"\r\n---\r\n";
        assert_eq!(of_card(own).unwrap(), "sai-nc-community");
        assert_eq!(of_card("---\ntags: []\n---\nlicense: mit"), None);
        assert_eq!(of_card("# No head\nlicense: mit"), None);
    }
}
