//! A script for a POSIX shell: remarks and commands, every word quoted where it has to be.

use serde_json::Value;

/// Lines, in order.
#[derive(Debug, Default)]
pub(super) struct Script(Vec<String>);

impl Script {
    /// A heading, set apart.
    pub(super) fn part(&mut self, title: &str) {
        self.0.push(String::new());
        self.0.push(format!("# ---- {} ----", one_line(title)));
    }

    pub(super) fn remark(&mut self, text: impl AsRef<str>) {
        self.0.push(format!("# {}", one_line(text.as_ref())));
    }

    pub(super) fn run(&mut self, command: Command) {
        self.0.push(command.0);
    }

    pub(super) fn text(self) -> String {
        self.0.join("\n") + "\n"
    }
}

/// One command.
pub(super) struct Command(String);

impl Command {
    /// `aws <service> <operation> --region <region>`
    pub(super) fn aws(service: &str, operation: &str, region: &str) -> Command {
        Command(format!("aws {service} {operation}")).with("--region", region)
    }

    /// `aws dynamodb <operation> --region <region>`
    pub(super) fn dynamodb(operation: &str, region: &str) -> Command {
        Command::aws("dynamodb", operation, region)
    }

    pub(super) fn flag(mut self, flag: &str) -> Command {
        self.0.push_str(&format!(" {flag}"));
        self
    }

    pub(super) fn with(mut self, flag: &str, value: &str) -> Command {
        self.0.push_str(&format!(" {flag} {}", quoted(value)));
        self
    }

    pub(super) fn with_json(self, flag: &str, value: &Value) -> Command {
        self.with(flag, &value.to_string())
    }

    /// The value of a variable that an earlier command set.
    pub(super) fn with_variable(mut self, flag: &str, name: &str) -> Command {
        self.0.push_str(&format!(" {flag} \"${name}\""));
        self
    }

    /// Keeps what the command prints.
    pub(super) fn into_variable(self, name: &str) -> Command {
        Command(format!("{name}=$({})", self.0))
    }
}

/// A word that means itself to a POSIX shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A remark must not end in the middle of what was recorded and let the rest be a command.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_themselves_to_a_shell() {
        for word in
            ["", "a b", "it's", "$(rm -rf /)", "`x`", "a\nb", "\"", "\\", "*", "~", "#", "plain-1.x:y", "{\"a\":1}"]
        {
            let split = shlex::split(&format!("x {} y", quoted(word))).unwrap();
            assert_eq!(split, ["x", word, "y"]);
        }
        assert_eq!(quoted("arn:aws:dynamodb:eu-west-1:1:table/a.b"), "arn:aws:dynamodb:eu-west-1:1:table/a.b");
    }

    #[test]
    fn what_was_recorded_cannot_end_a_remark() {
        let mut script = Script::default();
        script.remark("a\nrm -rf /");
        script.part("b\r\nc");
        assert!(script.text().lines().all(|line| line.is_empty() || line.starts_with('#')));
    }
}
