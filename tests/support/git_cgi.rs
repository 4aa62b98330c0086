//! One HTTP request answered by `git http-backend`, which speaks CGI (RFC 3875).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::remote_repo::{clean_command, git_command};

/// A response body that is sent while it is made.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// No CGI header section of git is near this size, in bytes.
const HEADERS_LIMIT: usize = 64 * 1024;

/// Runs the backend for repositories below `root`, as the authenticated `user`. Both bodies are streamed, so
/// that a pack of any size passes through; of the request's, `limit` bytes do.
pub(crate) async fn answer(
    root: &Path,
    user: &str,
    request: Request<Incoming>,
    limit: usize,
) -> Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let mut command = backend()?;
    command
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", user)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    pass_header(&mut command, &parts.headers, CONTENT_TYPE.as_str(), "CONTENT_TYPE");
    if limit == usize::MAX {
        // A backend that was promised more than it gets reads its closed input for ever.
        pass_header(&mut command, &parts.headers, CONTENT_LENGTH.as_str(), "CONTENT_LENGTH");
    }
    pass_header(&mut command, &parts.headers, CONTENT_ENCODING.as_str(), "HTTP_CONTENT_ENCODING");
    pass_header(&mut command, &parts.headers, "git-protocol", "GIT_PROTOCOL");

    let mut child = command.spawn().context("starting git http-backend")?;
    let stdin = child.stdin.take().context("git http-backend has no standard input")?;
    let mut stdout = child.stdout.take().context("git http-backend has no standard output")?;
    tokio::spawn(feed(body, stdin, limit));

    let mut read = BytesMut::new();
    let body_at = loop {
        if let Some(end) = end_of_headers(&read) {
            break end;
        }
        if read.len() > HEADERS_LIMIT || stdout.read_buf(&mut read).await? == 0 {
            bail!("git http-backend sent no complete header section");
        }
    };
    let headers = read.split_to(body_at);
    let response = response_head(&headers)?;
    Ok(response.body(stream_body(read.freeze(), stdout, child))?)
}

/// The backend itself: killing `git http-backend` would only kill the `git` that has started it.
fn backend() -> Result<Command> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if PROGRAM.get().is_none() {
        let folder = git_command().arg("--exec-path").output().context("starting git")?.stdout;
        PROGRAM.get_or_init(|| Path::new(String::from_utf8_lossy(&folder).trim_end()).join("git-http-backend"));
    }
    Ok(Command::from(clean_command(PROGRAM.get().context("git did not say where its programs are")?)))
}

fn pass_header(command: &mut Command, headers: &HeaderMap, name: &str, variable: &str) {
    if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) {
        command.env(variable, value);
    }
}

/// Passes the request body on. Ends early when the client is gone or the backend has read enough: either side
/// notices for itself.
async fn feed(mut body: Incoming, mut stdin: ChildStdin, mut limit: usize) {
    while limit > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let passed_on = data.len().min(limit);
        limit -= passed_on;
        if stdin.write_all(&data[..passed_on]).await.is_err() {
            return;
        }
    }
}

/// The place after the empty line, which git ends with CR LF and other programs with LF.
fn end_of_headers(read: &[u8]) -> Option<usize> {
    let crlf = read.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    let lf = read.windows(2).position(|window| window == b"\n\n").map(|at| at + 2);
    crlf.into_iter().chain(lf).min()
}

fn response_head(headers: &[u8]) -> Result<hyper::http::response::Builder> {
    let mut response = Response::builder();
    for line in std::str::from_utf8(headers)?.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').context("a CGI header without a colon")?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            response = response.status(code.parse::<u16>()?);
        } else {
            response = response.header(name, value);
        }
    }
    Ok(response)
}

/// What was read behind the headers, then the rest of the backend's output. Holds the backend: it is killed when
/// the client goes away, and reaped at the end.
fn stream_body(first: Bytes, stdout: ChildStdout, child: Child) -> Body {
    let frames = stream::try_unfold((first, stdout, child), |(first, mut stdout, mut child)| async move {
        let mut data = first;
        if data.is_empty() {
            let mut buffer = BytesMut::with_capacity(64 * 1024);
            stdout.read_buf(&mut buffer).await?;
            data = buffer.freeze();
        }
        if data.is_empty() {
            child.wait().await?;
            return Ok(None);
        }
        Ok(Some((Frame::data(data), (Bytes::new(), stdout, child))))
    });
    StreamBody::new(frames).boxed_unsync()
}
