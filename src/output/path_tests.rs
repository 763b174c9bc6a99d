//! Tests of the names that templates give, and of the templates that are refused.

use super::*;
use crate::output::metadata::tests::request;

fn name(template: &str, prompt: &str, count: u64) -> String {
    let request = Request {
        prompt: prompt.to_owned(),
        ..request()
    };
    let values = Values {
        request: &request,
        model: "sd15",
        seed: 7,
        index: 2,
        name: "cat",
    };
    let template = Template::parse(template).unwrap().numbered(count);
    template.path(&values).to_string_lossy().into_owned()
}

fn refusal(text: &str) -> (String, Vec<String>) {
    let error = Destination::parse(Some(text), Existing::Keep, 1).unwrap_err();
    (error.to_string(), error.hints().to_vec())
}

#[test]
fn every_field_has_its_value() {
    let all = "{seed}_{index}_{model}_{sampler}_{steps}_{width}x{height}_{prompt}_{name}.png";
    assert_eq!(
        name(all, "a cat", 1),
        "7_2_sd15_euler_a_20_512x768_a cat_cat.png"
    );
    assert_eq!(name(DEFAULT_TEMPLATE, "a cat", 1), "sd15-7.png");
    assert_eq!(name("{{{seed}}}.PNG", "", 1), "{7}.PNG");
}

#[test]
fn several_pictures_are_numbered_unless_the_template_tells_them_apart() {
    assert_eq!(name("a.png", "", 1), "a.png");
    assert_eq!(name("a.png", "", 3), "a-2.png");
    assert_eq!(name("{model}.png", "", 3), "sd15-2.png");
    assert_eq!(name("a-{seed}.png", "", 3), "a-7.png");
}

#[test]
fn no_value_leaves_the_folder_or_makes_an_illegal_name() {
    for (prompt, expected) in [
        ("../../etc/passwd", "_.._etc_passwd.png"),
        ("/abs", "_abs.png"),
        ("a\\b:c*?\"<>|\u{7}\n d", "a_b_c_______ d.png"),
        ("..", "_.png"),
        ("", "_.png"),
        (" . ", "_.png"),
        ("con", "_con.png"),
        ("COM1.x", "_COM1.x.png"),
        ("{seed}", "{seed}.png"),
        ("ends. ", "ends.png"),
    ] {
        assert_eq!(name("{prompt}.png", prompt, 1), expected, "{prompt:?}");
    }
}

#[test]
fn long_values_are_cut_between_characters() {
    let long = name("{prompt}.png", &"灯".repeat(500), 1);
    assert_eq!(long, format!("{}.png", "灯".repeat(26)));
    let four = name("{prompt}{prompt}{prompt}{prompt}.png", &"x".repeat(500), 1);
    assert_eq!(four.len(), MAX_NAME + 4);
}

#[test]
fn wrong_outputs_are_refused_with_a_way_out() {
    let (message, hints) = refusal("{sed}.png");
    assert_eq!(message, "output: unknown template field `sed`");
    assert!(hints[0].contains("did you mean `seed`?"), "{hints:?}");
    let (message, hints) = refusal("a.jpg");
    assert_eq!(
        message,
        "output: expected a name that ends in .png, got `a.jpg`"
    );
    assert!(hints[0].contains("a.png"));
    assert!(
        refusal("a{seed.png")
            .0
            .contains("a brace without its partner")
    );
    assert!(refusal("").0.contains("empty"));
    let (message, hints) = refusal("/");
    assert_eq!(message, "output: `/` is a folder, expected a file");
    assert!(hints[0].contains("/{model}-{seed}.png"));
    let (message, hints) = refusal("no/such/folder/a.png");
    assert_eq!(message, "the output folder `no/such/folder` does not exist");
    assert_eq!(hints, ["create it first: `mkdir -p no/such/folder`"]);
    assert!(Destination::parse(Some("-"), Existing::Keep, 2).is_err());
}

#[test]
fn a_folder_with_fields_is_checked_once_their_values_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let template = format!("{}/{{model}}/{{seed}}.png", folder.path().display());
    let destination = Destination::parse(Some(&template), Existing::Keep, 1).unwrap();
    let request = request();
    let values = Values {
        request: &request,
        model: "sd15",
        seed: 7,
        index: 0,
        name: "cat",
    };
    assert!(
        destination
            .check(&values)
            .unwrap_err()
            .to_string()
            .contains("sd15` does not exist")
    );
    std::fs::create_dir(folder.path().join("sd15")).unwrap();
    destination.check(&values).unwrap();
    assert_eq!(
        std::fs::read_dir(folder.path().join("sd15"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_name_that_no_file_system_takes_is_refused() {
    let named = |length: usize| Template::parse(&format!("{}.png", "n".repeat(length)));
    assert!(named(MAX_NAME).is_ok());
    let error = named(MAX_NAME + 1).unwrap_err().to_string();
    assert!(error.contains("235 bytes"), "{error}");
    assert!(Template::parse(&format!("{}/a.png", "n".repeat(300))).is_ok());
}
