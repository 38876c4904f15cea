//! Files and texts of YAML or JSON: [`Loader`].

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use std::path::Path;

use super::error::{ConfigError, ConfigFault, Place};
use super::expand::{Variables, expand};
use super::file::Config;
use super::yaml;

/// Loads a configuration from YAML or JSON with other settings than the defaults: see
/// [`Config::loader`].
#[must_use]
pub struct Loader {
    file: Arc<str>,
    variables: Box<Variables<'static>>,
    other_sections: bool,
}

impl Loader {
    /// Sets the name of a text in errors: `configuration` by default. A file has its path.
    pub fn named(mut self, file: &str) -> Self {
        self.file = file.into();
        self
    }

    /// Sets where the values of variables come from: the environment by default. `variables` returns
    /// `None` for a variable that is not set.
    pub fn variables(mut self, variables: impl Fn(&str) -> Option<String> + 'static) -> Self {
        self.variables = Box::new(variables);
        self
    }

    /// Ignores sections beside `eventbus` and `event_broker`, for a file that configures other parts
    /// of a program too. By default, they are errors.
    pub const fn other_sections(mut self) -> Self {
        self.other_sections = true;
        self
    }

    /// Loads a text.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the text is neither YAML nor JSON, or not a configuration.
    pub fn text(&self, text: &str) -> Result<Config, ConfigError> {
        self.load(text, &self.file)
    }

    /// Loads a file.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] as [`text`](Self::text), and if the file cannot be read.
    pub fn file(&self, path: impl AsRef<Path>) -> Result<Config, ConfigError> {
        let file: Arc<str> = path.as_ref().display().to_string().into();
        let failed = |fault, place| ConfigError::new(fault, place).in_file(Some(&file));
        let bytes = std::fs::read(path)
            .map_err(|error| failed(ConfigFault::Unreadable(error.into()), None))?;
        let text = core::str::from_utf8(&bytes).map_err(|error| {
            let good = core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let line = narrow(good.matches('\n').count() + 1);
            let last = good.rsplit('\n').next().unwrap_or_default();
            let place = Place { line, column: narrow(last.chars().count() + 1) };
            failed(ConfigFault::Syntax("the text is not UTF-8".into()), Some(place))
        })?;
        self.load(text, &file)
    }

    fn load(&self, text: &str, file: &Arc<str>) -> Result<Config, ConfigError> {
        let mut root = yaml::parse(text).map_err(|error| error.in_file(Some(file)))?;
        if self.other_sections
            && let super::node::Value::Map(entries) = &mut root.value
        {
            entries.retain(|entry| matches!(&*entry.key, "eventbus" | "event_broker"));
        }
        expand(&mut root, &self.variables).map_err(|error| error.in_file(Some(file)))?;
        Config::read(&root, Some(file), self.other_sections)
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("file", &self.file)
            .field("other_sections", &self.other_sections)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Loads a text of YAML or JSON. Variables are those of the environment.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the text is neither, or not a configuration.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::hosted::config::Config;
    ///
    /// let error = Config::from_yaml("
    /// eventbus:
    ///   engine: memory
    ///   workerCuont: 5
    /// ").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "configuration:4:3: `eventbus.workerCuont`: \
    ///      unknown key: did you mean `workerCount`?",
    /// );
    /// ```
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        Self::loader().text(text)
    }

    /// Loads a file of YAML or JSON. Variables are those of the environment.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if the file cannot be read, is neither, or not a configuration.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::loader().file(path)
    }

    /// Returns a loader with the defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::hosted::config::{Config, MemorySettings};
    ///
    /// let loader = Config::loader().variables(|name| (name == "WORKERS").then(|| "8".into()));
    /// let config = loader.text("
    /// engine: memory
    /// workerCount: ${WORKERS}
    /// maxEventQueueSize: ${QUEUE:-500}
    /// ")?;
    /// let memory: MemorySettings = config.engines()[0].read()?;
    /// assert_eq!((memory.worker_count.get(), memory.max_event_queue_size.get()), (8, 500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loader() -> Loader {
        Loader {
            file: "configuration".into(),
            variables: Box::new(|name| std::env::var(name).ok()),
            other_sections: false,
        }
    }
}
