//! Two targets in one folder of one branch: the older keeps it.

use super::check;

/// Two targets, of these ages and specs.
macro_rules! two {
    ($a:literal, $b:literal) => {
        concat!("Without: GitTarget ns/a\n", "GitTarget ns/x@", $a, "\nGitTarget ns/y@", $b)
    };
}

const Y: &str = "GitTarget ns/y BaseFolderOverlap ";

#[test]
fn overlaps() {
    check(&[
        (
            "the same folder",
            two!("3: {baseFolder: f}", "5: {baseFolder: f}"),
            &[],
            &[
                "GitTarget ns/y BaseFolderOverlap folder f overlaps f of GitTarget ns/x, which had it first, on the same branch; make a target with a folder of its own",
            ],
        ),
        (
            "whatever it is called",
            two!("5: {baseFolder: f}", "3: {baseFolder: f}"),
            &[],
            &["GitTarget ns/x BaseFolderOverlap of GitTarget ns/y"],
        ),
        ("of the same second: the first name", two!("3: {baseFolder: f}", "3: {baseFolder: f}"), &[], &[Y]),
        (
            "a folder below",
            two!("3: {baseFolder: f}", "5: {baseFolder: f/g}"),
            &[],
            &["GitTarget ns/y BaseFolderOverlap folder f/g overlaps f of"],
        ),
        ("a folder above", two!("3: {baseFolder: f/g}", "5: {baseFolder: f}"), &[], &[Y]),
        ("the root", two!("3: {baseFolder: f}", "5: {baseFolder: .}"), &[], &[Y]),
        ("a folder beside", two!("3: {baseFolder: f}", "5: {baseFolder: fg}"), &[], &[]),
        (
            "another branch",
            concat!(
                two!("3: {baseFolder: f}", "5: {baseFolder: f, branch: dev}"),
                "\nGitProvider ns/main: {allowedBranches: ['*']}"
            ),
            &[],
            &[],
        ),
        (
            "another provider, another spelling",
            concat!(
                two!("3: {baseFolder: f}", "5: {baseFolder: f, providerRef: {name: p}}"),
                "\nGitProvider ns/p: {url: 'https://GIT.example.com:443/r.git'}"
            ),
            &[],
            &[Y],
        ),
        (
            "over SSH",
            concat!(
                two!("3: {baseFolder: f}", "5: {baseFolder: f, providerRef: {name: p}}"),
                "\nGitProvider ns/p: {url: 'git@git.example.com:r.git'}"
            ),
            &[],
            &[Y],
        ),
        (
            "another repository",
            concat!(
                two!("3: {baseFolder: f}", "5: {baseFolder: f, providerRef: {name: p}}"),
                "\nGitProvider ns/p: {url: 'https://git.example.com/r2'}"
            ),
            &[],
            &[],
        ),
        (
            "through Flux",
            concat!(
                two!(
                    "3: {baseFolder: f}",
                    "5: {baseFolder: f, providerRef: {group: source.toolkit.fluxcd.io, kind: GitRepository, name: p}}"
                ),
                "\nGitRepository ns/p: {url: 'ssh://git@git.example.com/r'}"
            ),
            &[],
            &[Y],
        ),
        (
            "in another namespace, of which no more is told",
            concat!(
                two!("3: {baseFolder: f/hidden}", "4: {}"),
                "\nGitProvider other/p: {}\nGitTarget other/z@5: {baseFolder: f, providerRef: {name: p}}"
            ),
            &[],
            &[
                "GitTarget other/z BaseFolderOverlap folder f overlaps that of a GitTarget in another namespace, which had it first",
            ],
        ),
        (
            "who was never let in wins nothing",
            concat!(two!("3: {baseFolder: f}", "5: {baseFolder: f}"), "\nDenied ns/x:"),
            &[],
            &["GitTarget ns/x BaseFolderOverlap of GitTarget ns/y"],
        ),
        (
            "nor does the younger",
            concat!(two!("3: {baseFolder: f}", "5: {baseFolder: f}"), "\nDenied ns/y:"),
            &[],
            &[Y],
        ),
        (
            "of two that were never let in, both may try",
            concat!(
                two!("3: {baseFolder: f}", "5: {baseFolder: f, providerRef: {name: p}}"),
                "\nGitProvider ns/p: {}\nDenied ns/x:\nDenied ns/y:"
            ),
            &[],
            &[],
        ),
        (
            "of two that were never let in by the same way, the older may try",
            concat!(two!("3: {baseFolder: f}", "5: {baseFolder: f}"), "\nDenied ns/x:\nDenied ns/y:"),
            &[],
            &[Y],
        ),
        (
            "who has written keeps its folder from an older one that was never tried",
            concat!(two!("3: {baseFolder: f}", "5: {baseFolder: f}"), "\nProven ns/y:"),
            &[],
            &["GitTarget ns/x BaseFolderOverlap of GitTarget ns/y"],
        ),
        (
            "even where that is suspended",
            concat!(two!("3: {baseFolder: f, suspend: true}", "5: {baseFolder: f}"), "\nProven ns/y:"),
            &[],
            &["GitTarget ns/x Suspended "],
        ),
        (
            "and while it is suspended itself",
            concat!(two!("3: {baseFolder: f}", "5: {baseFolder: f, suspend: true}"), "\nProven ns/y:"),
            &[],
            &["GitTarget ns/x BaseFolderOverlap of GitTarget ns/y", "GitTarget ns/y Suspended "],
        ),
        (
            "of two that have written, the older keeps it",
            concat!(two!("3: {baseFolder: f}", "5: {baseFolder: f}"), "\nProven ns/x:\nProven ns/y:"),
            &[],
            &[Y],
        ),
        (
            "who is not allowed the branch wins nothing",
            concat!(
                two!("3: {baseFolder: f, branch: dev}", "5: {baseFolder: f, branch: dev, providerRef: {name: p}}"),
                "\nGitProvider ns/p: {allowedBranches: [dev]}"
            ),
            &[],
            &["GitTarget ns/x BranchNotAllowed "],
        ),
        (
            "who is not let in by the provider wins nothing",
            concat!(
                two!("4: {baseFolder: f}", "5: {baseFolder: g}"),
                "\nGitTarget other/z@3: {baseFolder: f, providerRef: {name: main, namespace: ns}}"
            ),
            &[],
            &["GitTarget other/z AccessDenied "],
        ),
        (
            "who is wrong wins nothing",
            two!("3: {baseFolder: f, foreignEditGrace: soon}", "5: {baseFolder: f}"),
            &[],
            &["GitTarget ns/x InvalidConfiguration "],
        ),
        (
            "who is suspended keeps its folder",
            two!("3: {baseFolder: f, suspend: true}", "5: {baseFolder: f}"),
            &[],
            &["GitTarget ns/x Suspended ", Y],
        ),
        (
            "so does who writes through a provider that is",
            concat!(
                two!("3: {baseFolder: f}", "5: {baseFolder: f, providerRef: {name: p}}"),
                "\nGitProvider ns/main: {suspend: true}\nGitProvider ns/p: {}"
            ),
            &[],
            &["GitProvider ns/main Suspended ", "GitTarget ns/x ProviderNotReady ", Y],
        ),
        (
            "who is suspended takes none",
            two!("5: {baseFolder: f, suspend: true}", "3: {baseFolder: f}"),
            &[],
            &["GitTarget ns/x Suspended "],
        ),
        (
            "who overlaps takes none either",
            concat!(two!("3: {baseFolder: f/g}", "4: {baseFolder: f}"), "\nGitTarget ns/z@5: {baseFolder: f/h}"),
            &[],
            &[Y],
        ),
    ]);
}
