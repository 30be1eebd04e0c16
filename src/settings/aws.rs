//! What the AWS environment says about region and endpoints, from variables and local files alone: nothing is asked
//! over the network. Credentials are never looked at here; the SDK's own chain finds them.

use super::environment::Environment;
use super::source::{Source, Told};
use std::path::PathBuf;

/// Region, in the SDK's order: variables, then the profile in the shared files.
pub(super) fn region(environment: &Environment) -> Option<Told<String>> {
    if let Some((name, value)) = environment.first_of(&["AWS_REGION", "AWS_DEFAULT_REGION"]) {
        return Some(Told::new(value.to_owned(), Source::Env(name)));
    }
    let profile = profile(environment);
    let config = file(environment, "AWS_CONFIG_FILE", ".aws/config");
    let credentials = file(environment, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
    let in_config = config.and_then(|path| in_profile(path, &headings(profile), "region"));
    in_config.or_else(|| in_profile(credentials?, &[profile.to_owned()], "region"))
}

/// The profile in force.
fn profile(environment: &Environment) -> &str {
    environment.var("AWS_PROFILE").unwrap_or("default")
}

/// How a profile's section may be called in the `config` file, best first.
fn headings(profile: &str) -> Vec<String> {
    let mut headings = vec![format!("profile {profile}")];
    if profile == "default" {
        headings.push(profile.to_owned());
    }
    headings
}

/// The endpoint for every service, if the environment gives one and does not switch such settings off.
pub(super) fn endpoint(environment: &Environment) -> Option<Told<String>> {
    from_variable(environment, "AWS_ENDPOINT_URL")
}

/// The endpoint for one service, by its own variable.
pub(super) fn service_endpoint(environment: &Environment, variable: &'static str) -> Option<Told<String>> {
    from_variable(environment, variable)
}

fn from_variable(environment: &Environment, name: &'static str) -> Option<Told<String>> {
    let ignored =
        environment.var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let value = environment.var(name).filter(|_| !ignored)?;
    Some(Told::new(value.to_owned(), Source::Env(name)))
}

fn file(environment: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    match environment.var(variable) {
        Some(path) => Some(environment.absolute(path.as_ref())),
        None => Some(PathBuf::from(environment.var("HOME")?).join(below_home)),
    }
}

/// The value of `key` in the first of `sections` that has it. A file that cannot be read says nothing.
fn in_profile(path: PathBuf, sections: &[String], key: &str) -> Option<Told<String>> {
    let text = std::fs::read_to_string(&path).ok()?;
    sections.iter().find_map(|wanted| {
        let (value, line) = find(&text, wanted, key)?;
        Some(Told::new(value, Source::File { path: path.clone(), line }))
    })
}

/// Finds `key = value` in `[section]`. Indented lines belong to a nested setting and are passed over.
fn find(text: &str, section: &str, key: &str) -> Option<(String, usize)> {
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        if let Some(heading) = line.trim_start().strip_prefix('[') {
            let heading = heading.split(']').next().unwrap_or_default();
            inside = heading.split_whitespace().eq(section.split_whitespace());
        } else if inside && !line.starts_with([' ', '\t', '#', ';']) {
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default().trim();
            if name.trim() == key && !value.is_empty() {
                return Some((value.to_owned(), n + 1));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const CONFIG: &str = "[default]\nregion = eu-west-1 # near\n\n[profile bank]\ns3 =\n  region = nested-1\nregion=ap-northeast-1\n[profile bare]\noutput = json\n";

    fn with(vars: &[(&'static str, &str)]) -> Environment {
        Environment::of(Path::new("/"), vars.iter().copied())
    }

    #[test]
    fn variables_win_over_the_profile_file() {
        let env = with(&[("AWS_DEFAULT_REGION", "us-west-2")]);
        assert_eq!(region(&env), Some(Told::new("us-west-2".into(), Source::Env("AWS_DEFAULT_REGION"))));
        let env = with(&[("AWS_DEFAULT_REGION", "us-west-2"), ("AWS_REGION", "us-east-1")]);
        assert_eq!(region(&env).unwrap().value, "us-east-1");
    }

    #[test]
    fn the_profile_in_force_gives_its_region_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, CONFIG).unwrap();
        let file = path.to_str().unwrap();
        let of = |profile: &str| region(&with(&[("AWS_CONFIG_FILE", file), ("AWS_PROFILE", profile)]));
        let source = |line| Source::File { path: path.clone(), line };
        assert_eq!(of("bank"), Some(Told::new("ap-northeast-1".into(), source(7))));
        assert_eq!(of("default"), Some(Told::new("eu-west-1".into(), source(2))));
        assert_eq!(of("bare"), None);
        assert_eq!(of("unknown"), None);
    }

    #[test]
    fn the_credentials_file_may_give_the_region_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), "[default]\nregion = sa-east-1\n").unwrap();
        let env = with(&[("HOME", dir.path().to_str().unwrap())]);
        assert_eq!(region(&env).unwrap().value, "sa-east-1");
    }

    #[test]
    fn endpoints_of_the_environment_can_be_switched_off() {
        let url = ("AWS_ENDPOINT_URL", "http://127.0.0.1:8000");
        assert_eq!(endpoint(&with(&[url])).unwrap().value, "http://127.0.0.1:8000");
        assert_eq!(endpoint(&with(&[url, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")])), None);
    }
}
