//! Completions, by the shells that they are for.

use crate::daemon::Folder;
use crate::manual;
use crate::tool::{clean, tool};

/// Runs `script` in a shell that finds the completions as `$1`; returns what it writes.
fn shell(test: &str, name: &str, file: &str, script: &str) -> Option<String> {
    let folder = Folder::new();
    manual::write(folder.path()).unwrap();
    let file = folder.path().join("completions").join(file);
    let mut check = tool(test, name, name)?;
    clean(check.arg("-n").arg(&file));
    let mut run = tool(test, name, name)?;
    Some(clean(run.args(["-c", script]).args((name != "fish").then_some(name)).arg(&file)).stdout)
}

#[test]
fn bash_completes_verbs_and_their_options() {
    let test = "admin_files::completions::bash_completes_verbs_and_their_options";
    let script = r#"
        source "$1"
        complete() { COMP_WORDS=(turnstone "$@"); COMP_CWORD=$#; _turnstone turnstone "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"; echo "${COMPREPLY[@]}"; }
        complete und
        complete api-key ""
        complete usage --per"#;
    let Some(said) = shell(test, "bash", "turnstone.bash", script) else { return };
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((lines[0], lines[2]), ("undrain", "--period"), "{said}");
    assert!(
        ["new", "list", "revoke"].iter().all(|verb| lines[1].split(' ').any(|word| word == *verb)),
        "{said}"
    );
}

#[test]
fn zsh_reads_its_completions() {
    let test = "admin_files::completions::zsh_reads_its_completions";
    let script = r#"
        head -n 1 "$1"
        fpath=("${1:h}" $fpath)
        autoload -U +X _turnstone && whence -w _turnstone"#;
    let Some(said) = shell(test, "zsh", "_turnstone", script) else { return };
    assert_eq!(said, "#compdef turnstone\n_turnstone: function\n");
}

#[test]
fn fish_completes_verbs_and_their_options() {
    let test = "admin_files::completions::fish_completes_verbs_and_their_options";
    let script = "source $argv[1]; complete -C 'turnstone und'; complete -C 'turnstone usage --per'";
    let Some(said) = shell(test, "fish", "turnstone.fish", script) else { return };
    let lines: Vec<_> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(lines, ["undrain", "--period"], "{said}");
}
