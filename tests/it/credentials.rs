//! How each kind of credentials opens a repository, with the real git: and that it opens no other.

use crate::support::git_server::GitServer;
use crate::support::github::{Answer, AppKey, Github};
use crate::support::scratch::ScratchDir;
use crate::support::tls_front::TlsFront;
use gitops_reverser::git::classify::Class;
use gitops_reverser::git::cli::{Git, GitError};
use gitops_reverser::git::clone::policy::ClonePolicy;
use gitops_reverser::git::clone::{BranchClone, Opening};
use gitops_reverser::git::credentials::{
    Access, Authentication, ClientCertificate, Credentials, GithubApp, Hidden, Tls,
};
use gitops_reverser::git::places::Places;
use gitops_reverser::resource::{BranchKey, BranchName, NamespacedName, ProviderKey, RepoUrl};
use jiff::{SignedDuration, Timestamp};

const DAVE: &str = "Dave <dave@example.com>";

/// Where clones of one test are.
struct Desk {
    git: Git,
    places: Places,
    scratch: ScratchDir,
}

impl Desk {
    async fn new() -> Self {
        let scratch = ScratchDir::new().unwrap();
        let places = Places::take(&scratch.path().join("clones")).unwrap();
        Self { git: Git::find(true).await.unwrap(), places, scratch }
    }

    /// Makes a new clone of `url`.
    async fn open(&self, url: &str, credentials: &Credentials) -> Result<BranchClone, GitError> {
        let key = BranchKey {
            provider: ProviderKey::ours(NamespacedName::new("team", "provider")),
            provider_uid: format!("{:016x}", fastrand::u64(..)).into(),
            url: RepoUrl::parse(url, true).unwrap(),
            branch: BranchName::new("main").unwrap(),
        };
        let policy = ClonePolicy::default();
        let opened = BranchClone::open(&self.git, &self.places, policy, &key, Opening::AsItIs, credentials, None).await;
        opened.map(|opened| opened.clone)
    }

    /// The class of the failure that `credentials` meet.
    async fn refused(&self, url: &str, credentials: &Credentials) -> Class {
        match self.open(url, credentials).await {
            Ok(_) => panic!("{url} was opened with {credentials:?}"),
            Err(error) => Class::of(&error),
        }
    }
}

fn bearer(token: &str) -> Credentials {
    Credentials { authentication: Authentication::Bearer(Hidden::new(token)), ..Credentials::default() }
}

fn with_authority(credentials: Credentials, authority: &str) -> Credentials {
    let tls = Tls { authority: Some(authority.to_owned()), ..credentials.tls };
    Credentials { tls, ..credentials }
}

#[tokio::test]
async fn a_token_in_a_header_opens_its_host_only() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("bearer");
    repo.commit_file("main", "a", "1", DAVE);
    let desk = Desk::new().await;
    let clone = desk.open(repo.url(), &bearer(server.token())).await.unwrap();
    assert_eq!(desk.refused(repo.url(), &bearer("wrong")).await, Class::Auth);
    // The same server under another name is another host.
    let elsewhere = RepoUrl::parse("http://elsewhere.example/r", true).unwrap();
    let token = bearer(server.token());
    let access = Access::prepare(&desk.git, &token, &elsewhere, &desk.places.secrets, Timestamp::now()).await.unwrap();
    let command = access.apply(desk.git.command(clone.directory(), "ls-remote")).operand(repo.url());
    assert!(command.run().await.unwrap().stderr.contains("could not read Username"));
    // What the Secret says now counts for the next command.
    assert!(clone.fetch(None, &bearer("wrong")).await.is_err());
    assert!(clone.fetch(None, &Credentials::basic(server.user(), server.password())).await.unwrap().exists);
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_the_secret_names_it() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("tls");
    repo.commit_file("main", "a", "1", DAVE);
    let front = TlsFront::start(server.address(), false).await.unwrap();
    let other = TlsFront::start(server.address(), false).await.unwrap();
    let desk = Desk::new().await;
    let url = front.url(repo.url());
    let login = Credentials::basic(server.user(), server.password());
    desk.open(&url, &with_authority(login.clone(), front.authority())).await.unwrap();
    desk.open(&url, &with_authority(bearer(server.token()), front.authority())).await.unwrap();
    assert_eq!(desk.refused(&url, &login).await, Class::Config);
    assert_eq!(desk.refused(&url, &with_authority(login.clone(), other.authority())).await, Class::Config);
    let wrong = Credentials::basic(server.user(), "wrong");
    assert_eq!(desk.refused(&url, &with_authority(wrong, front.authority())).await, Class::Auth);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_host() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("mtls");
    repo.commit_file("main", "a", "1", DAVE);
    let front = TlsFront::start(server.address(), true).await.unwrap();
    let stranger = TlsFront::start(server.address(), true).await.unwrap();
    let desk = Desk::new().await;
    let url = front.url(repo.url());
    let shown = |identity: crate::support::certificates::Identity| {
        let login = Credentials::basic(server.user(), server.password());
        let client = ClientCertificate { certificate: identity.certificate, key: Hidden::new(identity.key) };
        Credentials { tls: Tls { authority: Some(front.authority().to_owned()), client: Some(client) }, ..login }
    };
    desk.open(&url, &shown(front.client().unwrap())).await.unwrap();
    let without = with_authority(Credentials::basic(server.user(), server.password()), front.authority());
    // Whether git reads the server's alert, or meets a closed connection, is a matter of timing.
    for refused in [without, shown(stranger.client().unwrap())] {
        let class = desk.refused(&url, &refused).await;
        assert!(matches!(class, Class::Config | Class::Transient), "{class:?}");
    }
}

#[tokio::test]
async fn an_app_gets_a_token_and_another_before_it_ends() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("app");
    repo.commit_file("main", "a", "1", DAVE);
    let desk = Desk::new().await;
    let key = AppKey::new(desk.scratch.path()).unwrap();
    let private = Hidden::new(key.private.clone());
    let hour = SignedDuration::from_hours(1);
    let now = Timestamp::now();
    let good = Answer::Token(server.token().to_owned(), now + hour);
    let github = Github::start(key, good.clone()).await.unwrap();
    let app = GithubApp::new("123", "456", private.clone(), &github.url()).unwrap();
    let credentials = Credentials { authentication: Authentication::GithubApp(app.clone()), ..Credentials::default() };

    let clone = desk.open(repo.url(), &credentials).await.unwrap();
    clone.fetch(None, &credentials).await.unwrap();
    let seen = github.seen();
    let [Ok(claims)] = &seen[..] else { panic!("one token for all commands: {seen:?}") };
    assert_eq!(claims["iss"], "123");
    let (from, until) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert!(from < Timestamp::now().as_second() && until - from <= 600, "{claims}");

    // Shortly before the end of a token there is another, and one that was refused is not shown again.
    app.login(None, true, now + hour - SignedDuration::from_mins(20)).await.unwrap();
    assert_eq!(github.seen().len(), 0);
    app.login(None, true, now + hour - SignedDuration::from_mins(10)).await.unwrap();
    assert_eq!(github.seen().len(), 1);
    github.answer(Answer::Token("revoked".into(), now + hour));
    app.forget().await;
    assert!(clone.fetch(None, &credentials).await.is_err());
    github.answer(good);
    clone.fetch(None, &credentials).await.unwrap();
    assert_eq!(github.seen().len(), 2);

    // Somebody else's key.
    let stranger = AppKey::new(desk.scratch.path()).unwrap();
    let stranger = GithubApp::new("123", "456", Hidden::new(stranger.private), &github.url()).unwrap();
    stranger.login(None, true, now).await.unwrap();
    assert_eq!(github.seen(), [Err("the signature is not the app's".to_owned())]);
}

#[tokio::test]
async fn an_app_that_gets_no_token_says_why() {
    let desk = Desk::new().await;
    let key = AppKey::new(desk.scratch.path()).unwrap();
    let private = Hidden::new(key.private.clone());
    let github = Github::start(key, Answer::Status(500, String::new())).await.unwrap();
    let app = GithubApp::new("123", "456", private.clone(), &github.url()).unwrap();
    let table = [
        (Answer::Status(401, "{}".into()), Class::Auth, "githubAppPrivateKey"),
        (Answer::Status(403, "{}".into()), Class::Auth, "suspended"),
        (Answer::Status(404, "{}".into()), Class::Auth, "githubAppInstallationID"),
        (Answer::Status(429, "{}".into()), Class::Transient, "tried again"),
        (Answer::Status(503, "{}".into()), Class::Transient, "tried again"),
        (Answer::Status(201, "{\"token\": 1}".into()), Class::Config, "no token"),
        (Answer::Status(201, "x".repeat(1 << 20)), Class::Transient, "length limit exceeded"),
        (Answer::Redirect(github.url()), Class::Config, "redirects are not followed"),
    ];
    for (answer, class, part) in table {
        github.answer(answer.clone());
        let error = app.login(None, true, Timestamp::now()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(github.seen().len(), 1);
    }
    // Over TLS with an authority of its own.
    let front = TlsFront::start(github.address(), false).await.unwrap();
    github.answer(Answer::Token("t".into(), Timestamp::now()));
    let app = GithubApp::new("123", "456", private, &front.url(&github.url())).unwrap();
    assert!(app.login(Some(front.authority()), true, Timestamp::now()).await.is_ok());
    let error = app.login(None, true, Timestamp::now()).await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    let error = app.login(Some(front.authority()), false, Timestamp::now()).await.unwrap_err();
    assert!(error.to_string().contains("--allow-insecure-transports"), "{error}");
}

/// Not a test: the git of an operator that has credentials of its own, in every place where git looks for some. Does
/// nothing unless `AMBIENT_URL` names a repository.
#[tokio::test]
#[ignore = "started by another test"]
async fn operator_with_credentials_of_its_own() {
    let Ok(url) = std::env::var("AMBIENT_URL") else { return };
    let is_ambient = std::env::var_os("IS_AMBIENT").is_some();
    let authentication = if is_ambient { Authentication::Ambient } else { Authentication::None };
    let credentials = Credentials { authentication, ..Credentials::default() };
    match Desk::new().await.open(&url, &credentials).await {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused: {:?}", Class::of(&error)),
    }
}

/// What an operator with this environment does to `url` for a provider without a Secret.
fn operator(url: &str, is_ambient: bool, environment: &[(&str, String)]) -> String {
    let mut operator = std::process::Command::new(std::env::current_exe().unwrap());
    operator.args(["credentials::operator_with_credentials_of_its_own", "--exact", "--ignored", "--nocapture"]);
    operator.env("AMBIENT_URL", url).envs(environment.iter().map(|(name, value)| (name, value)));
    for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK"] {
        if environment.iter().all(|(set, _)| *set != name) {
            operator.env_remove(name);
        }
    }
    if is_ambient {
        operator.env("IS_AMBIENT", "1");
    }
    let output = operator.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said =
        text.lines().find_map(|line| line.find("opened").or(line.find("refused")).map(|at| line[at..].to_owned()));
    said.unwrap_or_else(|| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_credentials_are_for_those_who_may_use_them() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("ambient");
    repo.commit_file("main", "a", "1", DAVE);
    let scratch = ScratchDir::new().unwrap();
    let (host, login) = (server.address(), format!("{}:{}", server.user(), server.password()));
    let store = |name: &str, content: String| {
        let path = scratch.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let logins = store("logins", format!("http://{login}@{host}\n"));
    let helper = format!("[credential]\n\thelper = store --file={logins}\n");
    let header = format!("[http]\n\textraHeader = \"Authorization: Bearer {}\"\n", server.token());
    let rewrite = format!("[url \"http://{login}@{host}/\"]\n\tinsteadOf = http://{host}/\n");
    let empty = store("home-empty/.keep", String::new()).replace("/.keep", "");
    let config = store("home-config/.gitconfig", helper.clone()).replace("/.gitconfig", "");
    let netrc_file = format!("machine 127.0.0.1 login {} password {}\n", server.user(), server.password());
    let netrc = store("home-netrc/.netrc", netrc_file).replace("/.netrc", "");
    let xdg = store("xdg/git/config", helper.clone()).replace("/git/config", "");
    let home = |home: &str, more: (&'static str, String)| vec![("HOME", home.to_owned()), more];
    let table: [(&str, Vec<(&str, String)>); 7] = [
        ("a mounted helper", home(&empty, ("GIT_CONFIG_GLOBAL", store("global", helper.clone())))),
        ("a mounted header", home(&empty, ("GIT_CONFIG_GLOBAL", store("header", header)))),
        ("another URL", home(&empty, ("GIT_CONFIG_GLOBAL", store("rewrite", rewrite)))),
        ("the system's configuration", home(&empty, ("GIT_CONFIG_SYSTEM", store("system", helper)))),
        ("$XDG_CONFIG_HOME", home(&empty, ("XDG_CONFIG_HOME", xdg))),
        ("~/.gitconfig", vec![("HOME", config)]),
        ("~/.netrc", vec![("HOME", netrc)]),
    ];
    for (what, environment) in &table {
        // transfer.credentialsInUrl forbids the rewritten URL for everybody.
        let expected = if *what == "another URL" { "refused" } else { "opened" };
        let said = operator(repo.url(), true, environment);
        assert!(said.starts_with(expected), "{what}, ambient: {said}");
        assert_eq!(operator(repo.url(), false, environment), "refused: Auth", "{what}");
    }
}
