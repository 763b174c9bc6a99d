//! Tests of TOML batches: their meaning, and the messages of their errors.

use std::path::Path;

use super::super::source::Form;
use super::*;

fn parse(text: &str) -> Source {
    Source::parse(text, Path::new("b.toml"), Form::Toml)
}

fn told(source: &Source) -> Vec<String> {
    source
        .faults
        .iter()
        .map(|fault| format!("{}: {}", fault.place, fault.error))
        .collect()
}

#[test]
fn defaults_templates_and_jobs_lie_over_each_other() {
    let source = parse(
        r#"
        [defaults]
        model = "demo"
        steps = 9
        [template.quick]
        steps = 2
        cfg_scale = 3
        [[job]]
        name = "a"
        extends = "quick"
        prompt = "x"
        cfg_scale = 4
        [[job]]
        extends = ["a"]
        seed = 18446744073709551615
        [output]
        dir = "out"
        "#,
    );
    assert_eq!(told(&source), Vec::<String>::new());
    let params = source
        .drafts
        .iter()
        .map(|draft| draft.fields.params().clone())
        .collect::<Vec<_>>();
    assert_eq!(
        (
            params[0].steps,
            params[0].cfg_scale,
            params[0].model.as_deref()
        ),
        (Some(2), Some(4.0), Some("demo"))
    );
    assert_eq!(
        (params[1].steps, params[1].prompt.as_deref(), params[1].seed),
        (Some(2), Some("x"), Some(u64::MAX.into()))
    );
    assert_eq!(
        (source.drafts[1].name.clone(), source.output.dir.as_deref()),
        (None, Some("out"))
    );
    assert_eq!(source.drafts[0].fields.place("model").unwrap().line, 3);
}

#[test]
fn templates_that_extend_one_another_twice_over_are_read_once() {
    let mut text = "[[job]]\nprompt = 'x'\nextends = 't0'\n".to_owned();
    for depth in 0..60 {
        text += &format!(
            "[template.t{depth}]\nextends = ['t{0}', 't{0}']\n",
            depth + 1
        );
    }
    let source = parse(&format!("{text}[template.t60]\nsteps = 3\n"));
    assert_eq!(told(&source), Vec::<String>::new());
    assert_eq!(source.drafts[0].fields.params().steps, Some(3));
}

#[test]
fn a_matrix_has_lists_ranges_and_tables_in_the_order_of_the_file() {
    let source = parse(
        r#"
        [[job]]
        prompt = "x"
        matrix.steps = [2, 4]
        matrix.seed = "1..=3"
        matrix.size = [{ width = 64, height = 32 }, { name = "tall", width = 32, height = 64 }]
        "#,
    );
    assert_eq!(told(&source), Vec::<String>::new());
    let axes = &source.drafts[0].axes;
    let shown: Vec<(&str, Vec<&str>)> = axes
        .iter()
        .map(|axis| {
            (
                axis.name.as_str(),
                axis.points
                    .iter()
                    .map(|point| point.label.as_str())
                    .collect(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("steps", vec!["2", "4"]),
            ("seed", vec!["1", "2", "3"]),
            ("size", vec!["32 64", "tall"])
        ]
    );
}

#[test]
fn every_fault_has_its_line_and_key() {
    let source = parse(
        "jobs = 1\n[defaults]\nstepz = 3\n[[job]]\nprompt = 'x'\nsteps = 'many'\nextends = 'none'\n\
         [[job]]\nprompt = 4\nchoices = 'all'\n[job.matrix]\nseed = '5..5'\nsampler = ['euler',\n 7]\n[output]\nfile = 'x'\n",
    );
    let told = told(&source);
    for expected in [
        "b.toml:1: jobs: unknown table `jobs`",
        "b.toml:3: stepz: there is no such field",
        "b.toml:6: steps: invalid type",
        "b.toml:7: extends: unknown template or job `none`",
        "b.toml:9: prompt: invalid type",
        "b.toml:10: choices: unknown way to choose `all`",
        "b.toml:12: seed: the range `5..5` has no values",
        "b.toml:14: sampler: invalid type",
        "b.toml:16: file: unknown key of `[output]` `file`",
    ] {
        assert!(
            told.iter().any(|line| line.starts_with(expected)),
            "{expected} is not in {told:#?}"
        );
    }
    assert_eq!(told.len(), 9, "{told:#?}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let source = parse("[[job]]\nprompt = 'x\n[[job]]\nprompt = 'y'\nsteps 4\n");
    let told = told(&source);
    assert!(
        told.iter().any(|line| line.starts_with("b.toml:2: ")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.starts_with("b.toml:5: ")),
        "{told:?}"
    );
}

#[test]
fn included_files_bring_defaults_templates_and_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "common.toml",
        "[defaults]\nsteps = 3\nmodel = 'demo'\n[template.t]\nseed = 5\n[[job]]\nprompt = 'inner'\n",
    );
    write("again.toml", "include = 'again.toml'\nfoo = 1\n");
    let path = folder.path().join("b.toml");
    let text = "include = ['common.toml']\n[defaults]\nsteps = 4\n[[job]]\nextends = 't'\nprompt = 'outer'\n";
    let source = Source::parse(text, &path, Form::Toml);
    assert_eq!(told(&source), Vec::<String>::new());
    let params = source
        .drafts
        .iter()
        .map(|draft| draft.fields.params().clone())
        .collect::<Vec<_>>();
    assert_eq!(
        (params[0].prompt.as_deref(), params[0].steps),
        (Some("inner"), Some(3))
    );
    assert_eq!(
        (params[1].steps, params[1].seed, params[1].model.as_deref()),
        (Some(4), Some(5.into()), Some("demo"))
    );
    let source = Source::parse("include = ['none.toml', 'again.toml']", &path, Form::Toml);
    let told = told(&source);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[1].contains("again.toml:1: include: `again.toml` includes itself"),
        "{told:?}"
    );
}

#[test]
fn an_entry_that_extends_itself_is_refused() {
    let source = parse(
        "[template.a]\nextends = 'b'\n[template.b]\nextends = 'a'\n[[job]]\nprompt = 'x'\nextends = 'a'\n",
    );
    assert!(
        told(&source)[0].contains("extends: `a` extends itself"),
        "{:?}",
        told(&source)
    );
}
