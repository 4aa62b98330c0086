//! The operator as a process, with a repository behind SSH and signed commits: from Secrets to what is on the branch.

use crate::support::operator::{Mirror, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::sshd::{self, Access, SshServer};

/// A value in a YAML document, indented as a block.
fn block(text: &str) -> String {
    text.lines().map(|line| format!("\n    {line}")).collect()
}

#[tokio::test]
async fn a_locked_key_opens_the_repository_and_another_signs() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "ssh").await.unwrap();
    let server = SshServer::start().await.unwrap();
    let key = server.new_key("ed25519", "correct horse").unwrap();
    let signing = server.new_key("ecdsa", "").unwrap();
    server.allow(&[(&key, Access::Write)]).unwrap();
    let repo = server.create_repo("job");
    let namespace = &mirror.namespace;
    let secrets = |passphrase: &str, signing: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: git, namespace: {namespace}}}\nstringData:\n  \
             password: {passphrase}\n  known_hosts: |{hosts}\n  identity: |{identity}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: signing, namespace: {namespace}}}\nstringData:\n  \
             ssh-privatekey: |{signing}\n",
            hosts = block(&server.known_hosts()),
            identity = block(&key.private),
            signing = block(signing),
        )
    };
    let configuration = mirror.configuration(&["configmaps"]).replace(mirror.repo.url(), repo.url());
    let (_, configuration) = configuration.split_once("---").unwrap();
    let signed = "allowedBranches: [main]\n  commit: {signing: {secretRef: {name: signing}}}";
    let configuration = configuration.replace("allowedBranches: [main]", signed);
    apply(cluster, &secrets("wrong", &signing.private)).await.unwrap();
    apply(cluster, &configuration).await.unwrap();

    let says = async |part: &str| {
        eventually(SOON, part, async || {
            let mut get = cluster.kubectl();
            let field = "jsonpath={.status.conditions[?(@.type=='Ready')].message}";
            let output = get.args(["get", "--namespace", namespace, "gitprovider/git", "--output", field]).output();
            let message = String::from_utf8(output.await?.stdout)?;
            anyhow::ensure!(message.contains(part), "{message}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    };
    says("the passphrase under the key password does not open it").await;
    apply(cluster, &secrets("correct horse", &signing.public)).await.unwrap();
    says("does not sign commits: its key ssh-privatekey cannot be used: it is the public half").await;
    assert_eq!(repo.head("main"), None);

    apply(cluster, &secrets("correct horse", &signing.private)).await.unwrap();
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\n");
    apply(cluster, &map).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let file = mirror.config_map("web");
    eventually(SOON, "the object on the branch", async || Ok(repo.head("main").and_then(|_| repo.read("main", &file))))
        .await
        .unwrap();
    let signers = repo.path().join("allowed-signers");
    std::fs::write(&signers, format!("* {}\n", signing.public)).unwrap();
    let allowed = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let program = format!("gpg.ssh.program={}", sshd::program("ssh-keygen").unwrap().display());
    let found = repo.git(&["-c", &allowed, "-c", &program, "log", "--format=%G?", "main"]);
    assert!(!found.is_empty() && found.lines().all(|signature| signature == "G"), "{found}");
    // Neither Secret is mirrored, nor in anything that is.
    assert!(!repo.files("main").iter().any(|file| file.contains("/secrets/")));
}
