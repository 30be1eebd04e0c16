//! A guard's end of the pipe.

use super::message::FromGuard;
use std::io::Write;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

/// Messages come in, one a line; answers go out.
pub struct Feed {
    lines: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
    answers: Box<dyn Write + Send>,
}

impl Feed {
    /// Over these two.
    pub fn new(messages: impl AsyncRead + Send + Unpin + 'static, answers: impl Write + Send + 'static) -> Self {
        let messages: Box<dyn AsyncRead + Send + Unpin> = Box::new(messages);
        Feed { lines: BufReader::new(messages).lines(), answers: Box::new(answers) }
    }

    /// The next message; `None` at the end of the pipe. Safe to drop and call again.
    pub async fn next_line(&mut self) -> std::io::Result<Option<String>> {
        self.lines.next_line().await
    }

    /// Answers the last message.
    pub fn answer(&mut self, answer: FromGuard) -> Result<(), String> {
        let line = serde_json::to_string(&answer).map_err(|e| e.to_string())?;
        writeln!(self.answers, "{line}").and_then(|()| self.answers.flush()).map_err(|e| e.to_string())
    }
}
