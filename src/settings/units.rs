//! Lengths of time as they are written: always with a unit.

use std::time::Duration;

/// Why a length of time was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDuration {
    /// Stable name: `missing_unit` or `bad_duration`.
    pub name: &'static str,
    /// Why, to follow the key's name.
    pub why: String,
    /// What to write.
    pub hint: String,
}

/// Reads `"10s"`, `"200ms"`, `"1m 30s"`. A bare number is refused: its unit would be a guess.
pub fn duration(text: &str) -> Result<Duration, BadDuration> {
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(missing_unit(trimmed));
    }
    humantime::parse_duration(trimmed).map_err(|cause| BadDuration {
        name: "bad_duration",
        why: format!("{text:?} is not a length of time: {cause}"),
        hint: "write a number and a unit: \"200ms\", \"10s\", \"2m\", \"1h 30m\"".into(),
    })
}

/// The refusal of a number that has no unit.
pub fn missing_unit(number: &str) -> BadDuration {
    BadDuration {
        name: "missing_unit",
        why: format!("{number} has no unit"),
        hint: format!("write \"{number}s\" for seconds or \"{number}ms\" for milliseconds"),
    }
}

/// The length as it would be written in the file.
pub fn text(length: Duration) -> String {
    if length.subsec_nanos() == 0 && length.as_secs() < 600 {
        return format!("{}s", length.as_secs());
    }
    humantime::format_duration(length).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_refused_with_the_same_number_and_a_unit() {
        let refusal = duration("10").unwrap_err();
        assert_eq!(refusal.name, "missing_unit");
        assert!(refusal.hint.contains("\"10s\""), "{}", refusal.hint);
        assert_eq!(duration("0").unwrap_err().name, "missing_unit");
        assert_eq!(duration("1.5").unwrap_err().name, "missing_unit");
    }

    #[test]
    fn an_unknown_unit_is_named() {
        let refusal = duration("10parsecs").unwrap_err();
        assert_eq!(refusal.name, "bad_duration");
        assert!(refusal.why.contains("parsecs"), "{}", refusal.why);
        assert_eq!(duration("").unwrap_err().name, "bad_duration");
        assert_eq!(duration("-3s").unwrap_err().name, "bad_duration");
    }

    #[test]
    fn lengths_read_back_as_they_are_shown() {
        for ms in [0, 1, 200, 1_000, 10_000, 60_000, 90_500, 600_000, 3_600_000, 86_400_000] {
            let length = Duration::from_millis(ms);
            assert_eq!(duration(&text(length)), Ok(length), "{}", text(length));
        }
        assert_eq!(text(Duration::from_secs(90)), "90s");
    }
}
