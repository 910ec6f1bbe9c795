//! The guide runner itself, without a cluster.

use stackube_e2e::guide::{Mismatch, parse};

const GUIDE: &str = "# First\n```console\n$ cat <<EOF\n> a\n> EOF\na\n\n$ kubectl get ns\nNAME [..]\n...\ntest [..]\n```\n## Second\n```yaml\n$ not a command\n```\n```console\n$ false\n? 1\n```\n";

#[test]
fn reads_commands_output_and_status() {
    let steps = parse(GUIDE);
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[0].command, "cat <<EOF\na\nEOF");
    assert_eq!((steps[0].section.as_str(), steps[0].expected.as_str()), ("First", "a"));
    assert_eq!((steps[2].section.as_str(), steps[2].status), ("Second", 1));
}

#[test]
fn wildcards_match_and_differences_show() {
    let steps = parse(GUIDE);
    assert_eq!(steps[1].check("NAME STATUS\nother x\ntest Active\n", Some(0)), Ok(()));
    assert!(matches!(
        steps[1].check("NAME STATUS\nother x\n", Some(0)),
        Err(Mismatch::Output(_))
    ));
    assert!(matches!(steps[0].check("b\n", Some(0)), Err(Mismatch::Output(_))));
    assert!(matches!(
        steps[0].check("a\n", Some(2)),
        Err(Mismatch::Status {
            expected: 0,
            actual: Some(2)
        })
    ));
    assert_eq!(steps[2].check("", Some(1)), Ok(()));
}
