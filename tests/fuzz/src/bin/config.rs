//! Any text is a configuration or is refused at a place in it, and no secret is seen: neither the value of
//! a variable, nor a password that stands in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tickbus::Subject;
use tickbus::hosted::config::{
    BrokerConfig, Config, KafkaSettings, KinesisSettings, MqttSettings, NatsSettings, Place,
    PostgresSettings, RedisSettings, Registry, Settings,
};

const SECRET: &str = "zq7-secret-zq7";

/// All that the settings of an engine show.
fn shown(engine: &Settings) -> String {
    let common = engine.common().expect("it was checked");
    let mut shown = format!("{engine:?} {common:?}");
    match engine.type_name() {
        "redis" => shown += &format!("{:?}", engine.read::<RedisSettings>()),
        "kafka" => shown += &format!("{:?}", engine.read::<KafkaSettings>()),
        "kinesis" => shown += &format!("{:?}", engine.read::<KinesisSettings>()),
        "nats" => shown += &format!("{:?}", engine.read::<NatsSettings>()),
        "postgres" => shown += &format!("{:?}", engine.read::<PostgresSettings>()),
        "mqtt" => shown += &format!("{:?}", engine.read::<MqttSettings>()),
        _ => {}
    }
    shown
}

/// Whether the place is in the text, or right behind a line of it.
fn is_in(place: Place, text: &str) -> bool {
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    let width = text.chars().count() + 1;
    place.line >= 1
        && place.line as usize <= lines + 1
        && place.column >= 1
        && place.column as usize <= width + 1
}

/// What a broker shows may be a secret only where it is not one: its names.
fn broker(section: &BrokerConfig) {
    let login = (&section.redis.password, &section.nats.url);
    assert!(!format!("{:?}", login.0).contains(SECRET));
    // A password stands before the server.
    let url = login.1.expose();
    assert!(!url.contains(&format!("{SECRET}@")) || !login.1.to_string().contains(&format!("{SECRET}@")));
}

fuzz_target!(|text: &str| {
    let loader = Config::loader().variables(|name| match name {
        "EMPTY" => Some(String::new()),
        "FIVE" => Some("5".into()),
        _ if name.starts_with('S') => Some(SECRET.into()),
        _ => None,
    });
    // A text that has it says it itself, where it is a name.
    let says_it = text.contains(SECRET);
    let error = |error: tickbus::hosted::config::ConfigError| {
        let said = format!("{error} {error:?}");
        assert!(says_it || !said.contains(SECRET), "{said}");
        assert_eq!(error.file(), Some("configuration"), "{said}");
        let place = error.place().unwrap_or_else(|| panic!("there is no place: {said}"));
        assert!(is_in(place, text), "{said}");
        assert!(!error.fault().code().is_empty());
    };
    let config = match loader.text(text) {
        Ok(config) => config,
        Err(refused) => return error(refused),
    };
    for engine in config.engines() {
        // A name and a type are no secrets, wherever they come from.
        let is_named = [engine.name(), engine.type_name()].iter().any(|it| it.contains(SECRET));
        let all = shown(engine);
        for word in ["assword: Some(", "token: Some(", "nkey: Some(", "secret_access_key: Some("] {
            for (at, _) in all.match_indices(word) {
                assert!(all[at + word.len()..].starts_with("***)"), "{all}");
            }
        }
        assert!(is_named || !format!("{engine:?}").contains(SECRET));
    }
    if let Some(section) = config.broker() {
        broker(section);
        drop(section.builder().build());
    }
    // The rules decide as a scan over them does, and each can.
    for rule in config.rules() {
        for topic in &rule.topics {
            let subject = topic.replace('*', "x");
            let Ok(subject) = Subject::new(&subject) else { continue };
            assert!(rule.matches(subject));
            let first = config.rules().iter().find(|rule| rule.matches(subject));
            assert_eq!(config.engine_for(subject), first.map(|rule| &*rule.engine));
        }
    }
    if let Err(refused) = Registry::new().build(&config) {
        error(refused);
    }
    // JSON is YAML: what one reads, the other reads too.
    if let Ok(json) = serde_json::from_str::<Value>(text)
        && !text.contains("${")
    {
        let again: Result<Config, _> = serde_json::from_value(json);
        let names = |config: &Config| {
            config.engines().iter().map(|engine| engine.name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&again.expect("it was valid")), names(&config));
    }
});
